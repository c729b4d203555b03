// Who attacks accounts by the pages: with somebody else's browser, an address, a race, or a name that is not what it seems.
// Specification: client-server API, "Account management" of the OAuth 2.0 API, "Password management".

import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import {
  clientId,
  clientSecret,
  type FakeProvider,
  startFakeProvider,
} from '../support/fake-openid-provider.ts'
import { type Mailbox, mailbox, mailVars } from '../support/mailbox.ts'
import { formOf, oauthPath, signedIn, startOauthServer, submitTo } from '../support/oauth-client.ts'
import type { TestServer } from '../support/server.ts'
import { newVisitor, type Shown, type Visitor } from '../support/sso-visitor.ts'

const account = `${oauthPath}/account`
const at = (action: string) => `${account}?action=${action}`

let box: Mailbox
let server: TestServer
beforeAll(async () => {
  box = mailbox()
  server = await startOauthServer({ MAIL_FROM: mailVars.MAIL_FROM }, { mail: box.handler })
})
afterAll(() => server.stop())

const run = async (sql: string, ...values: unknown[]) => {
  const db = await server.mf.getD1Database('DB')
  return await db
    .prepare(sql)
    .bind(...values)
    .run()
}
const giveAddress = async (localpart: string, address: string) =>
  await run("INSERT INTO threepids VALUES ('email', ?, ?, 1, 1)", address, `@${localpart}:test.local`)
const lastLink = async (address: string) => {
  const mail = (await box.mailsTo(address)).at(-1)
  return mail?.text.split(/\s+/).find((word) => /^https?:/.test(word)) ?? ''
}
const confirmMail = async (address: string) =>
  await server.fetch('/_matrix/client/unstable/hearth/email/confirm', {
    method: 'POST',
    body: new URL(await lastLink(address)).searchParams,
    redirect: 'manual',
  })
const recover = async (visitor: Visitor, email: string): Promise<Shown> => {
  const page = await visitor.open(`${oauthPath}/recover?next=account`)
  return await submitTo(visitor, page, 'recover', { email })
}
const chosen = (password: string) => ({ new_password: password, again: password })
const signIn = async (user: string, password: string): Promise<number> => {
  const visitor = newVisitor(server.url)
  return (await submitTo(visitor, await visitor.open(account), 'sign-in', { user, password })).status
}

describe('a forgotten password', () => {
  it('is replaced once: whoever else was about to is not any more', async () => {
    await server.register('alice')
    await giveAddress('alice', 'alice@example.org')
    const thief = newVisitor(server.url)
    const waiting = await recover(thief, 'alice@example.org')
    await confirmMail('alice@example.org')
    const alice = newVisitor(server.url)
    const own = await recover(alice, 'alice@example.org')
    await confirmMail('alice@example.org')
    expect((await submitTo(alice, own, 'recover/password', chosen('password by mail'))).status).toBe(303)
    const late = await submitTo(thief, waiting, 'recover/password', chosen('password of a thief'))
    expect([late.status, late.location]).toEqual([403, null])
    expect(await signIn('alice', 'password by mail')).toBe(303)
  })

  it('tells who waits for a mail of somebody else nothing, not even that it was replaced', async () => {
    await server.register('agnes')
    await giveAddress('agnes', 'agnes@example.org')
    const curious = newVisitor(server.url)
    const pages = [
      await recover(curious, 'agnes@example.org'),
      await recover(curious, 'nobody-at-all@example.org'),
    ]
    const agnes = newVisitor(server.url)
    const own = await recover(agnes, 'agnes@example.org')
    await confirmMail('agnes@example.org')
    expect((await submitTo(agnes, own, 'recover/password', chosen('password by mail'))).status).toBe(303)
    for (const page of pages) {
      const { status, text } = await submitTo(curious, page, 'recover/password', chosen('some password'))
      expect([status, text.includes('not been confirmed yet')]).toEqual([403, true])
    }
  })

  it('signs applications out where that is wanted', async () => {
    const { token } = await server.register('anna')
    await giveAddress('anna', 'anna@example.org')
    const anna = newVisitor(server.url)
    const page = await recover(anna, 'anna@example.org')
    await confirmMail('anna@example.org')
    await submitTo(anna, page, 'recover/password', { ...chosen('password by mail'), sign_out: 'yes' })
    expect((await server.request('GET', '/_matrix/client/v3/account/whoami', { token })).status).toBe(401)
  })

  it('is asked for by a mail with a link to this server, whatever the request says where it is', async () => {
    await server.register('arno')
    await giveAddress('arno', 'arno@example.org')
    const visitor = newVisitor(server.url)
    const page = await visitor.open(`${oauthPath}/recover?next=account`)
    const fields = [...page.text.matchAll(/<input type="hidden" name="([^"]*)" value="([^"]*)"/g)]
    await fetch(`${server.url}${oauthPath}/recover`, {
      method: 'POST',
      headers: {
        'X-Forwarded-Host': 'evil.test',
        Forwarded: 'host=evil.test',
        Cookie: [...visitor.cookies].map(([name, { value }]) => `${name}=${value}`).join('; '),
      },
      body: new URLSearchParams({
        ...Object.fromEntries(fields.map(([, name = '', value = '']) => [name, value])),
        email: 'arno@example.org',
      }),
    })
    expect((await lastLink('arno@example.org')).startsWith(`${server.url}/_matrix/`)).toBe(true)
  })

  it('sends nobody mails without end, and says the same whether there is an account or not', async () => {
    const limited = await startOauthServer(
      { MAIL_FROM: mailVars.MAIL_FROM, RATE_LIMITS: 'on' },
      { mail: box.handler },
    )
    await limited.register('busy')
    const db = await limited.mf.getD1Database('DB')
    await db
      .prepare("INSERT INTO threepids VALUES ('email', 'busy@example.org', '@busy:test.local', 1, 1)")
      .run()
    const statuses: Record<string, number[]> = {}
    for (const address of ['busy@example.org', 'nobody@example.org']) {
      const visitor = newVisitor(limited.url)
      for (let n = 0; n < 10; n += 1) {
        const page = await visitor.open(`${oauthPath}/recover?next=account`)
        const { status } = await submitTo(visitor, page, 'recover', { email: address })
        statuses[address] = [...(statuses[address] ?? []), status]
      }
    }
    const [known, unknown] = Object.values(statuses)
    expect(known).toEqual([200, 200, 200, 200, 200, 200, 200, 200, 429, 429])
    expect(unknown).toEqual(known)
    await limited.stop()
  })
})

describe('in front of a browser that is signed in, without the password', () => {
  it('nobody lets an application have new cross-signing keys', async () => {
    await server.register('bob')
    const bob = await signedIn(server, 'bob')
    const page = await bob.open(at('org.matrix.cross_signing_reset'))
    const resets = async () => (await run('SELECT * FROM cross_signing_resets')).results.length
    for (const password of ['', 'wrong']) {
      const answer = await submitTo(bob, page, 'account/reset-cross-signing', { password })
      expect([answer.status, answer.text.includes('role="alert"'), await resets()]).toEqual([403, true, 0])
    }
    const right = { password: 'password of bob' }
    expect((await submitTo(bob, page, 'account/reset-cross-signing', right)).status).toBe(200)
    expect(await resets()).toBe(1)
  })

  it('nobody closes the account, adds an address or changes the password', async () => {
    const { userId } = await server.register('bea')
    const bea = await signedIn(server, 'bea')
    const before = await run('SELECT * FROM users WHERE user_id = ?', userId)
    for (const [action, form, fields] of [
      ['org.matrix.account_deactivate', 'account/deactivate', { user: userId }],
      ['org.matrix.profile', 'account/confirm-address', { email: 'thief@example.org' }],
      ['hearth.password', 'account/password', chosen('password of a thief')],
    ] as const) {
      for (const password of [{}, { password: '' }, { password: 'wrong' }]) {
        const answer = await submitTo(bea, await bea.open(at(action)), form, { ...fields, ...password })
        expect([form, answer.status]).toEqual([form, 403])
      }
    }
    expect((await run('SELECT * FROM users WHERE user_id = ?', userId)).results).toEqual(before.results)
    expect(box.received.some(({ to }) => to.includes('thief@example.org'))).toBe(false)
  })
})

describe('a browser whose user', () => {
  it.each([
    ['was locked', 'UPDATE users SET locked = 1 WHERE user_id = ?'],
    ['was deactivated', 'UPDATE users SET deactivated_at = 1 WHERE user_id = ?'],
  ])('%s meanwhile does nothing any more', async (what, sql) => {
    const localpart = what.replaceAll(' ', '-')
    const { userId } = await server.register(localpart)
    const visitor = await signedIn(server, localpart)
    const pages = await Promise.all(
      (
        [
          ['org.matrix.profile', 'account/profile', { displayname: 'changed' }],
          ['hearth.password', 'account/password', chosen('changed password')],
          ['org.matrix.cross_signing_reset', 'account/reset-cross-signing', {}],
          ['org.matrix.account_deactivate', 'account/deactivate', { user: userId }],
        ] as const
      ).map(async ([action, form, fields]) => ({ page: await visitor.open(at(action)), form, fields })),
    )
    await run(sql, userId)
    const before = await run('SELECT * FROM users WHERE user_id = ?', userId)
    for (const { page, form, fields } of pages) {
      const answer = await submitTo(visitor, page, form, {
        ...fields,
        password: `password of ${localpart}`,
      })
      expect([form, answer.status, (await visitor.follow(answer)).text.includes('Sign in')]).toEqual([
        form,
        303,
        true,
      ])
    }
    expect((await run('SELECT * FROM users WHERE user_id = ?', userId)).results).toEqual(before.results)
    expect((await run('SELECT * FROM cross_signing_resets WHERE user_id = ?', userId)).results).toEqual([])
  })
})

it('a browser whose user gets another password elsewhere does nothing any more', async () => {
  const { token } = await server.register('elsewhere')
  const visitor = await signedIn(server, 'elsewhere')
  const page = await visitor.open(at('org.matrix.profile'))
  const auth = {
    type: 'm.login.password',
    identifier: { type: 'm.id.user', user: 'elsewhere' },
    password: 'password of elsewhere',
  }
  const body = { new_password: 'another password', logout_devices: false, auth }
  const changed = await server.request('POST', '/_matrix/client/v3/account/password', { token, body })
  expect(changed.status).toBe(200)
  const answer = await submitTo(visitor, page, 'account/profile', { displayname: 'of a thief' })
  expect((await visitor.follow(answer)).text).toContain('Sign in')
  const profile = await server.request('GET', '/_matrix/client/v3/profile/@elsewhere:test.local')
  expect(profile.body['displayname']).toBeUndefined()
})

it.each(['GET', 'HEAD'])('nothing is done by %s', async (method) => {
  const { userId, token } = await server.register(`looked-at-by-${method.toLowerCase()}`)
  const visitor = await signedIn(server, `looked-at-by-${method.toLowerCase()}`)
  const cookies = structuredClone(visitor.cookies)
  const before = await run('SELECT * FROM users WHERE user_id = ?', userId)
  for (const [action, form] of [
    ['org.matrix.profile', 'account/profile'],
    ['org.matrix.profile', 'account/confirm-address'],
    ['org.matrix.account_deactivate', 'account/deactivate'],
    ['org.matrix.cross_signing_reset', 'account/reset-cross-signing'],
    ['hearth.password', 'account/password'],
    ['org.matrix.devices_list', 'sign-out'],
  ] as const) {
    const { target, fields } = formOf(await visitor.open(at(action)), form)
    const filledIn = {
      ...fields,
      ...chosen('another password'),
      user: userId,
      displayname: 'by a link',
      password: `password of looked-at-by-${method.toLowerCase()}`,
      email: 'looked@example.org',
    }
    const answer = await visitor.open(`${target}?${new URLSearchParams(filledIn).toString()}`, { method })
    expect([form, answer.status]).toEqual([form, 302])
  }
  expect(visitor.cookies).toEqual(cookies)
  expect((await run('SELECT * FROM users WHERE user_id = ?', userId)).results).toEqual(before.results)
  expect((await run('SELECT * FROM cross_signing_resets WHERE user_id = ?', userId)).results).toEqual([])
  expect((await server.request('GET', '/_matrix/client/v3/account/whoami', { token })).status).toBe(200)
})

it('neither passwords nor addresses, cookies or what a mail has in it are logged', async () => {
  await server.register('quiet')
  await giveAddress('quiet', 'quiet@example.org')
  const quiet = newVisitor(server.url)
  const page = await recover(quiet, 'quiet@example.org')
  const token = new URL(await lastLink('quiet@example.org')).searchParams.get('token') ?? ''
  await confirmMail('quiet@example.org')
  await submitTo(quiet, page, 'recover/password', chosen('a secret password'))
  const wrong = await submitTo(newVisitor(server.url), page, 'recover/password', chosen('a secret password'))
  expect(wrong.status).toBe(403)
  await signIn('quiet@example.org', 'a wrong secret')
  await signIn('unknown@example.org', 'a wrong secret')
  const logged = server.logs.join('\n')
  expect(logged).toContain('browser_signed_in')
  const cookies = [...quiet.cookies.values()].map(({ value }) => value)
  for (const secret of ['secret', 'quiet@example.org', 'unknown@example.org', token, ...cookies]) {
    expect(logged.includes(secret)).toBe(false)
  }
})

describe('an address', () => {
  it('that another account has got meanwhile stays there', async () => {
    await server.register('carol')
    const carol = await signedIn(server, 'carol')
    const asked = await submitTo(
      carol,
      await carol.open(at('org.matrix.profile')),
      'account/confirm-address',
      {
        email: 'shared@example.org',
        password: 'password of carol',
      },
    )
    await confirmMail('shared@example.org')
    await giveAddress('mallory', 'shared@example.org')
    const late = await submitTo(carol, asked, 'account/add-address')
    expect([late.status, late.text.includes('belongs to another account')]).toEqual([400, true])
    const { results } = await run("SELECT user_id FROM threepids WHERE address = 'shared@example.org'")
    expect(results).toEqual([{ user_id: '@mallory:test.local' }])
  })

  it('of somebody else is not removed', async () => {
    await server.register('carl')
    await giveAddress('victim', 'victim@example.org')
    await giveAddress('carl', 'carl@example.org')
    const carl = await signedIn(server, 'carl')
    const page = await carl.open(at('org.matrix.profile'))
    const other = { address: 'victim@example.org' }
    expect((await submitTo(carl, page, 'account/remove-address', other)).status).toBe(403)
    const { results } = await run("SELECT user_id FROM threepids WHERE address = 'victim@example.org'")
    expect(results).toEqual([{ user_id: '@victim:test.local' }])
  })
})

it('one registration is one account, however often its last form is sent', async () => {
  const visitor = newVisitor(server.url)
  const page = await visitor.open(`${oauthPath}/register?next=account`)
  const filled = (username: string) => ({ username, password: 'some password' })
  const before = new Map(visitor.cookies)
  const first = await submitTo(visitor, page, 'register', filled('first-one'))
  expect(first.status).toBe(303)
  visitor.cookies.clear()
  for (const [name, cookie] of before) visitor.cookies.set(name, cookie)
  const second = await submitTo(visitor, page, 'register', filled('second-one'))
  expect(second.status).toBe(403)
  expect((await run("SELECT * FROM users WHERE user_id = '@second-one:test.local'")).results).toEqual([])
})

describe('a session', () => {
  it.each(['', ' ', '\u202e\u200b'])('called %j can be found and ended', async (name) => {
    const localpart = `hidden${name.length}${name.codePointAt(0) ?? ''}`
    const { token, deviceId } = await server.register(localpart)
    await server.request('PUT', `/_matrix/client/v3/devices/${deviceId}`, {
      token,
      body: { display_name: name },
    })
    const visitor = await signedIn(server, localpart)
    const list = await visitor.open(account)
    const link = new RegExp(`<a href="([^"]*device_id=${deviceId})"[^>]*>([\\s\\S]*?)</a>`).exec(list.text)
    expect(link?.[2]?.replaceAll(/<[^>]*>/g, '')).toContain(deviceId)
    const page = await visitor.open(link?.[1]?.replaceAll('&amp;', '&') ?? '')
    expect(/<h1>([^<]*)/.exec(page.text)?.[1]).toContain(deviceId)
    await submitTo(visitor, page, 'account/end-session')
    expect((await server.request('GET', '/_matrix/client/v3/account/whoami', { token })).status).toBe(401)
  })
})

describe('whose user has an identity provider, where passwords are off', () => {
  let provider: FakeProvider
  let only: TestServer
  beforeAll(async () => {
    provider = await startFakeProvider()
    const registered = {
      id: 'fake',
      name: 'Fake <b>Provider</b>',
      issuer: provider.issuer,
      client_id: clientId,
      client_secret: clientSecret,
      register: true,
    }
    only = await startOauthServer({ PASSWORD_LOGIN: 'off', SSO_PROVIDERS: JSON.stringify([registered]) })
  })
  afterAll(async () => {
    await only.stop()
    await provider.stop()
  })

  it('the account is closed without the password of former times', async () => {
    const visitor = newVisitor(only.url)
    const page = await visitor.open(account)
    expect(page.text).toContain('Fake &lt;b&gt;Provider&lt;/b&gt;')
    const href = /class="button" href="([^"]*)"/.exec(page.text)?.[1]?.replaceAll('&amp;', '&') ?? ''
    const away = await visitor.open(href)
    const form = await visitor.follow(
      await visitor.open(provider.signIn(away.location ?? '', { sub: 'dora' }).href),
    )
    const list = await visitor.follow(await visitor.submit(form, { username: 'dora' }))
    expect(list.text).toContain('@dora:test.local')
    const db = await only.mf.getD1Database('DB')
    await db.prepare("UPDATE users SET password_hash = 'of former times'").run()
    const close = await visitor.open(at('org.matrix.account_deactivate'))
    expect(close.text).not.toContain('type="password"')
    const done = await submitTo(visitor, close, 'account/deactivate', { user: '@dora:test.local' })
    expect([done.status, done.text.includes('is closed')]).toEqual([200, true])
  })
})
