// The end of a session: by its client, by whoever finds a token, or on the account page. Specification: client-server API, "Token
// revocation", "Account management" of the OAuth 2.0 API.

import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import {
  agree,
  formOf,
  logIn,
  newOauthClient,
  oauthPath,
  type OauthClient,
  postForm,
  signedIn,
  startOauthServer,
  submitTo,
  type Tokens,
  webClient,
} from '../support/oauth-client.ts'
import { refusal } from '../support/room-client.ts'
import type { TestServer } from '../support/server.ts'
import { newVisitor } from '../support/sso-visitor.ts'
import { textOf } from '../support/text-of.ts'

let server: TestServer
let client: OauthClient
beforeAll(async () => {
  server = await startOauthServer()
  await server.register('alice')
  await server.register('bob')
  client = await newOauthClient(server)
})
afterAll(() => server.stop())

const session = async (deviceId: string): Promise<Tokens> =>
  await logIn(client, await signedIn(server, 'alice'), deviceId)

const whoami = (token: string) => server.request('GET', '/_matrix/client/v3/account/whoami', { token })

async function devicesOf(localpart: string): Promise<string[]> {
  const body = {
    type: 'm.login.password',
    identifier: { type: 'm.id.user', user: localpart },
    password: `password of ${localpart}`,
  }
  const login = await server.request('POST', '/_matrix/client/v3/login', { body })
  const token = textOf(login.body, 'access_token')
  const { body: answer } = await server.request('GET', '/_matrix/client/v3/devices', { token })
  await server.request('POST', '/_matrix/client/v3/logout', { token, body: {} })
  return (answer['devices'] as { device_id: string }[]).map(({ device_id: id }) => id)
}

async function expectEnded({ access_token: access, refresh_token: refresh }: Tokens, deviceId: string) {
  expect(await whoami(access)).toEqual(refusal(401, 'M_UNKNOWN_TOKEN'))
  expect((await client.refresh(refresh)).body['error']).toBe('invalid_grant')
  expect(await devicesOf('alice')).not.toContain(deviceId)
}

describe('MSC4254: revoking', () => {
  it.each(['access_token', 'refresh_token'] as const)(
    'an %s ends both tokens and the device at once',
    async (kind) => {
      const deviceId = `REVOKED${kind}`
      const tokens = await session(deviceId)
      expect(await devicesOf('alice')).toContain(deviceId)
      const answer = await client.post('revoke', { token: tokens[kind], token_type_hint: kind })
      expect([answer.status, answer.body]).toEqual([200, {}])
      await expectEnded(tokens, deviceId)
      // Once more is no mistake.
      expect((await client.revoke(tokens[kind])).status).toBe(200)
    },
  )

  it('does not mind a wrong hint, a foreign client or none, nor a token that is none', async () => {
    for (const [n, fields] of [{ client_id: 'nobody' }, { token_type_hint: 'refresh_token' }, {}].entries()) {
      const tokens = await session(`LEAKED${n}`)
      const { status } = await postForm(server, 'revoke', { token: tokens.access_token, ...fields })
      expect(status).toBe(200)
      await expectEnded(tokens, `LEAKED${n}`)
    }
    expect((await client.revoke('nothing')).status).toBe(200)
  })

  it('ends what comes after a refresh as well, by the token before it', async () => {
    const tokens = await session('ROTATED')
    const next = await client.refresh(tokens.refresh_token)
    expect((await client.revoke(tokens.refresh_token)).status).toBe(200)
    await expectEnded(next.body as unknown as Tokens, 'ROTATED')
  })

  it('without a token is refused as RFC 6749 has it', async () => {
    const answer = await client.post('revoke', {})
    expect([answer.status, answer.body['error']]).toEqual([400, 'invalid_request'])
  })

  it('signs the browser out that let the application in, and no other user', async () => {
    const alice = await signedIn(server, 'alice')
    const bob = await signedIn(server, 'bob')
    const tokens = await logIn(client, alice, 'BROWSER')
    await client.revoke(tokens.access_token)
    expect((await alice.open(`${oauthPath}/account`)).text).toContain('Sign in')
    expect((await bob.open(`${oauthPath}/account`)).text).toContain('Your sessions')
  })

  it('leaves nothing that a code on its way could bring back', async () => {
    const alice = await signedIn(server, 'alice')
    const request = client.request('AFTERWARDS')
    const code = (await agree(alice, request.path)).get('code') ?? ''
    const tokens = (await client.exchange(code, request)).body as unknown as Tokens
    await client.revoke(tokens.access_token)
    expect((await client.exchange(code, request)).status).toBe(400)
    await expectEnded(tokens, 'AFTERWARDS')
  })
})

it('/logout and /logout/all end a session of the OAuth 2.0 API as well', async () => {
  for (const path of ['/logout', '/logout/all']) {
    const tokens = await session('LOGOUT')
    const answer = await server.request('POST', `/_matrix/client/v3${path}`, {
      token: tokens.access_token,
      body: {},
    })
    expect(answer.status).toBe(200)
    await expectEnded(tokens, 'LOGOUT')
  }
})

it('/logout/all leaves nothing that was agreed to and not taken yet', async () => {
  const tokens = await session('ALLOUT')
  const alice = await signedIn(server, 'alice')
  const request = client.request('PENDING')
  const code = (await agree(alice, request.path)).get('code') ?? ''
  await server.request('POST', '/_matrix/client/v3/logout/all', { token: tokens.access_token, body: {} })
  expect((await client.exchange(code, request)).body['error']).toBe('invalid_grant')
  expect((await alice.open(`${oauthPath}/account`)).text).toContain('Sign in')
})

describe('the account page', () => {
  const account = `${oauthPath}/account`

  it('shows the sessions, and ends one', async () => {
    const tokens = await session('ONPAGE')
    const kept = await session('KEPT')
    const alice = await signedIn(server, 'alice')
    const list = await alice.open(`${account}?action=org.matrix.devices_list`)
    expect(list.text).toContain('device_id=ONPAGE')
    // By the name of before as well.
    for (const action of ['org.matrix.device_view', 'org.matrix.device_delete', 'org.matrix.session_end']) {
      const { text } = await alice.open(`${account}?action=${action}&device_id=ONPAGE`)
      expect(text).toContain('<b>ONPAGE</b>')
    }
    const page = await alice.open(`${account}?action=org.matrix.device_delete&device_id=ONPAGE`)
    const after = await alice.follow(await submitTo(alice, page, 'account/end-session'))
    expect(after.text).not.toContain('device_id=ONPAGE')
    await expectEnded(tokens, 'ONPAGE')
    expect((await whoami(kept.access_token)).status).toBe(200)
  })

  it('ends none of somebody else, nor for another site, nor another than it showed', async () => {
    const tokens = await session('GUARDED')
    await session('SHOWN')
    const bob = await signedIn(server, 'bob')
    expect((await bob.open(`${account}?action=org.matrix.device_view&device_id=GUARDED`)).status).toBe(404)
    const alice = await signedIn(server, 'alice')
    const page = await alice.open(`${account}?action=org.matrix.device_view&device_id=SHOWN`)
    expect((await submitTo(bob, page, 'account/end-session')).status).toBe(403)
    expect((await submitTo(alice, page, 'account/end-session', { device_id: 'GUARDED' })).status).toBe(403)
    expect((await whoami(tokens.access_token)).status).toBe(200)
  })

  it('closes the account of who confirms it, and of nobody else', async () => {
    const { token, userId } = await server.register('leaving')
    const leaving = await signedIn(server, 'leaving')
    const page = await leaving.open(`${account}?action=org.matrix.account_deactivate`)
    const alice = await signedIn(server, 'alice')
    const right = { user: userId, password: 'password of leaving' }
    expect((await submitTo(alice, page, 'account/deactivate', right)).status).toBe(403)
    for (const wrong of [{ user: '@alice:test.local' }, { password: 'wrong' }, { password: '' }]) {
      const { status, text } = await submitTo(leaving, page, 'account/deactivate', { ...right, ...wrong })
      expect([status, text.includes('role="alert"')]).toEqual([403, true])
    }
    expect((await whoami(token)).status).toBe(200)
    expect((await submitTo(leaving, page, 'account/deactivate', right)).text).toContain('is closed')
    expect(await whoami(token)).toEqual(refusal(401, 'M_UNKNOWN_TOKEN'))
    expect((await leaving.open(account)).text).toContain('Sign in')
  })

  it('asks who somebody is first, and goes on to what was asked for', async () => {
    const visitor = newVisitor(server.url)
    const path = `${account}?action=org.matrix.device_view&device_id=%3Cb%3E`
    const page = await visitor.open(path)
    expect(formOf(page, 'sign-in').fields['next']).toBe(
      'account?action=org.matrix.device_view&device_id=%3Cb%3E',
    )
    const answer = await submitTo(visitor, page, 'sign-in', { user: 'alice', password: 'password of alice' })
    expect(answer.location).toBe(`${server.url}${path}`)
  })
})

it('an end of the session on the way does not leave a client without its registration', async () => {
  const other = await newOauthClient(server, { ...webClient, client_name: 'Other' })
  const tokens = await logIn(other, await signedIn(server, 'alice'), 'OTHER')
  await other.revoke(tokens.access_token)
  expect((await logIn(other, await signedIn(server, 'alice'), 'OTHER')).token_type).toBe('Bearer')
})
