// What users do on the account page: their profile, password and addresses. Specification: client-server API, "Account management" of the
// OAuth 2.0 API.

import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Mailbox, mailbox, mailVars } from '../support/mailbox.ts'
import {
  agree,
  formOf,
  logIn,
  newOauthClient,
  oauthPath,
  type OauthClient,
  signedIn,
  startOauthServer,
  submitTo,
} from '../support/oauth-client.ts'
import { refusal } from '../support/room-client.ts'
import type { TestServer } from '../support/server.ts'
import { newVisitor } from '../support/sso-visitor.ts'
import { textOf } from '../support/text-of.ts'

const account = `${oauthPath}/account`

let box: Mailbox
let server: TestServer
let client: OauthClient
beforeAll(async () => {
  box = mailbox()
  server = await startOauthServer({ MAIL_FROM: mailVars.MAIL_FROM }, { mail: box.handler })
  client = await newOauthClient(server)
})
afterAll(() => server.stop())

const at = (action: string) => `${account}?action=${action}`
const setUser = async (localpart: string, column: string, value: number) => {
  const db = await server.mf.getD1Database('DB')
  await db
    .prepare(`UPDATE users SET ${column} = ? WHERE user_id = ?`)
    .bind(value, `@${localpart}:test.local`)
    .run()
}

it('leads to all that there is, and all of it says whose it is', async () => {
  await server.register('alice')
  const alice = await signedIn(server, 'alice')
  const { body } = await server.request('GET', '/_matrix/client/v1/auth_metadata')
  const list = await alice.open(account)
  const links = [...list.text.matchAll(/href="([^"]*action=[^"]*)"/g)].map(([, href = '']) =>
    href.replaceAll('&amp;', '&'),
  )
  const supported = body['account_management_actions_supported']
  for (const action of [
    'org.matrix.profile',
    'org.matrix.account_deactivate',
    'org.matrix.cross_signing_reset',
  ]) {
    expect(supported).toContain(action)
    expect(links.some((href) => href.endsWith(`action=${action}`))).toBe(true)
  }
  for (const href of links) {
    const { status, text } = await alice.open(href)
    expect([href, status, text.includes('@alice:test.local')]).toEqual([href, 200, true])
  }
})

describe('the profile', () => {
  const profile = async (localpart: string) =>
    (await server.request('GET', `/_matrix/client/v3/profile/@${localpart}:test.local`)).body

  it('gets another name, or none, in rooms as well', async () => {
    const { token } = await server.register('named')
    const room = await server.request('POST', '/_matrix/client/v3/createRoom', { token, body: {} })
    const named = await signedIn(server, 'named')
    const page = await named.open(at('org.matrix.profile'))
    const saved = await named.follow(
      await submitTo(named, page, 'account/profile', { displayname: ' <i>N</i> ' }),
    )
    expect(saved.text).toContain('value="&lt;i&gt;N&lt;/i&gt;"')
    expect(await profile('named')).toEqual({ displayname: '<i>N</i>' })
    const member = `/_matrix/client/v3/rooms/${textOf(room.body, 'room_id')}/state/m.room.member/@named:test.local`
    await expect
      .poll(async () => (await server.request('GET', member, { token })).body['displayname'])
      .toBe('<i>N</i>')
    await submitTo(named, saved, 'account/profile', { displayname: ' ' })
    expect(await profile('named')).toEqual({})
  })

  it('is left as it is by what is too long, by others, and by who is suspended', async () => {
    await server.register('steady')
    await server.register('mallory')
    const steady = await signedIn(server, 'steady')
    const page = await steady.open(at('org.matrix.profile'))
    const long = await submitTo(steady, page, 'account/profile', { displayname: 'x'.repeat(257) })
    expect([long.status, long.text.includes('role="alert"')]).toEqual([400, true])
    const mallory = await signedIn(server, 'mallory')
    expect((await submitTo(mallory, page, 'account/profile', { displayname: 'M' })).status).toBe(403)
    await setUser('steady', 'suspended', 1)
    expect((await submitTo(steady, page, 'account/profile', { displayname: 'S' })).status).toBe(403)
    expect(await profile('steady')).toEqual({})
  })
})

describe('the password', () => {
  it('is changed by who knows the one of before, and nobody stays signed in elsewhere', async () => {
    const { token } = await server.register('bob')
    const elsewhere = await signedIn(server, 'bob')
    const bob = await signedIn(server, 'bob')
    const tokens = await logIn(client, bob, 'BOB')
    const pending = client.request('PENDING')
    const code = (await agree(elsewhere, pending.path)).get('code') ?? ''
    const page = await bob.open(at('hearth.password'))
    const right = { password: 'password of bob', new_password: 'another password', again: 'another password' }
    for (const [wrong, status] of [
      [{ password: 'wrong' }, 403],
      [{ new_password: 'short', again: 'short' }, 400],
      [{ again: 'something else' }, 400],
    ] as const) {
      const answer = await submitTo(bob, page, 'account/password', { ...right, ...wrong })
      expect([answer.status, answer.text.includes('role="alert"')]).toEqual([status, true])
    }
    const done = await submitTo(bob, page, 'account/password', { ...right, sign_out: 'yes' })
    expect([done.status, done.text.includes('Your password is changed')]).toEqual([200, true])
    // Who has changed it goes on.
    expect((await bob.open(account)).text).toContain('Your sessions')
    expect((await elsewhere.open(account)).text).toContain('Sign in')
    expect((await client.exchange(code, pending)).body['error']).toBe('invalid_grant')
    for (const ended of [token, tokens.access_token]) {
      expect(await server.request('GET', '/_matrix/client/v3/account/whoami', { token: ended })).toEqual(
        refusal(401, 'M_UNKNOWN_TOKEN'),
      )
    }
    const visitor = newVisitor(server.url)
    const signIn = await visitor.open(account)
    expect(
      (await submitTo(visitor, signIn, 'sign-in', { user: 'bob', password: 'password of bob' })).status,
    ).toBe(403)
    expect(
      (await submitTo(visitor, signIn, 'sign-in', { user: 'bob', password: 'another password' })).status,
    ).toBe(303)
  })

  it('may leave applications signed in, but no browser, also when it is changed by an application', async () => {
    const { token } = await server.register('carol')
    const change = {
      password: 'password of carol',
      new_password: 'another password',
      again: 'another password',
    }
    const thief = await signedIn(server, 'carol')
    const carol = await signedIn(server, 'carol')
    await submitTo(carol, await carol.open(at('hearth.password')), 'account/password', change)
    expect((await server.request('GET', '/_matrix/client/v3/account/whoami', { token })).status).toBe(200)
    expect((await thief.open(account)).text).toContain('Sign in')
    const auth = {
      type: 'm.login.password',
      identifier: { type: 'm.id.user', user: 'carol' },
      password: 'another password',
    }
    const body = { new_password: 'a third password', logout_devices: false, auth }
    expect(
      (await server.request('POST', '/_matrix/client/v3/account/password', { token, body })).status,
    ).toBe(200)
    expect((await carol.open(account)).text).toContain('Sign in')
  })
})

describe('an address', () => {
  const addresses = async (localpart: string) => {
    const db = await server.mf.getD1Database('DB')
    const { results } = await db
      .prepare('SELECT address FROM threepids WHERE user_id = ?')
      .bind(`@${localpart}:test.local`)
      .all<{ address: string }>()
    return results.map(({ address }) => address)
  }
  const confirmMail = async (address: string) => {
    const [mail] = await box.mailsTo(address)
    const link = mail?.text.split(/\s+/).find((word) => word.startsWith(server.url))
    await server.fetch('/_matrix/client/unstable/hearth/email/confirm', {
      method: 'POST',
      body: new URL(link ?? '').searchParams,
      redirect: 'manual',
    })
  }

  it('is added once it is confirmed, by who knows the password, and taken away', async () => {
    await server.register('dave')
    const dave = await signedIn(server, 'dave')
    const page = await dave.open(at('org.matrix.profile'))
    const email = 'dave@example.org'
    const wrong = await submitTo(dave, page, 'account/confirm-address', { email, password: 'wrong' })
    expect(wrong.status).toBe(403)
    expect(box.received.some(({ to }) => to.includes(email))).toBe(false)
    const asked = await submitTo(dave, page, 'account/confirm-address', {
      email,
      password: 'password of dave',
    })
    expect(asked.text).toContain('dave@example.org')
    const early = await submitTo(dave, asked, 'account/add-address')
    expect([early.status, await addresses('dave')]).toEqual([403, []])
    await confirmMail(email)
    // Nobody else takes it.
    await server.register('eve')
    const eve = await signedIn(server, 'eve')
    expect((await submitTo(eve, asked, 'account/add-address')).status).toBe(403)
    const added = await dave.follow(await submitTo(dave, early, 'account/add-address'))
    expect([added.text.includes(email), await addresses('dave')]).toEqual([true, [email]])
    expect((await submitTo(eve, added, 'account/remove-address')).status).toBe(403)
    const removed = await dave.follow(await submitTo(dave, added, 'account/remove-address'))
    expect([removed.text.includes(email), await addresses('dave')]).toEqual([false, []])
  })

  it('of another account is not added', async () => {
    await server.register('frank')
    const db = await server.mf.getD1Database('DB')
    await db
      .prepare("INSERT INTO threepids VALUES ('email', 'grace@example.org', '@grace:test.local', 1, 1)")
      .run()
    const frank = await signedIn(server, 'frank')
    const page = await frank.open(at('org.matrix.profile'))
    const asked = await submitTo(frank, page, 'account/confirm-address', {
      email: 'grace@example.org',
      password: 'password of frank',
    })
    expect(asked.status).toBe(400)
    expect(formOf(asked, 'account/confirm-address').target).toContain('confirm-address')
  })
})

it('asks who has no password for none, and lets them have none', async () => {
  await server.register('heidi')
  const heidi = await signedIn(server, 'heidi')
  const db = await server.mf.getD1Database('DB')
  await db.prepare("UPDATE users SET password_hash = NULL WHERE user_id = '@heidi:test.local'").run()
  expect((await heidi.open(account)).text).not.toContain('hearth.password')
  expect((await heidi.open(at('hearth.password'))).status).toBe(403)
  const page = await heidi.open(at('org.matrix.account_deactivate'))
  expect(page.text).not.toContain('type="password"')
  const closed = await submitTo(heidi, page, 'account/deactivate', { user: '@heidi:test.local' })
  expect([closed.status, closed.text.includes('is closed')]).toEqual([200, true])
})
