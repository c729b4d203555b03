// Refreshing, and what comes of tokens in the wrong hands. Specification: client-server API, "Refresh token grant", "Refreshing access
// tokens", "Soft logout".

import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import type { JsonObject } from '../../src/matrix/json.ts'
import {
  agree,
  logIn,
  nativeClient,
  newOauthClient,
  type OauthClient,
  scopeOf,
  signedIn,
  startOauthServer,
  type Tokens,
} from '../support/oauth-client.ts'
import { refusal } from '../support/room-client.ts'
import type { TestServer } from '../support/server.ts'
import type { Visitor } from '../support/sso-visitor.ts'
import { textOf } from '../support/text-of.ts'

let server: TestServer
let client: OauthClient
let native: OauthClient
let alice: Visitor
let watcher: string
beforeAll(async () => {
  server = await startOauthServer()
  ;({ token: watcher } = await server.register('alice'))
  await server.register('bob')
  client = await newOauthClient(server)
  native = await newOauthClient(server, nativeClient)
})
// To revoke tokens signs browsers out.
beforeEach(async () => {
  alice = await signedIn(server, 'alice')
})
afterAll(() => server.stop())

const whoami = (token: string) => server.request('GET', '/_matrix/client/v3/account/whoami', { token })
/** A token of an answer, which may have none. */
const tokenIn = (body: JsonObject, field: string) =>
  typeof body[field] === 'string' ? body[field] : 'no token'
const invalidGrant = expect.objectContaining({
  status: 400,
  body: expect.objectContaining({ error: 'invalid_grant' }),
})

async function refreshed(token: string): Promise<Tokens> {
  const { status, body } = await client.refresh(token)
  expect(status, JSON.stringify(body)).toBe(200)
  return body as unknown as Tokens
}

const deviceStatus = async (deviceId: string) =>
  (await server.request('GET', `/_matrix/client/v3/devices/${deviceId}`, { token: watcher })).status

async function run(sql: string, ...values: unknown[]) {
  const db = await server.mf.getD1Database('DB')
  await db
    .prepare(sql)
    .bind(...values)
    .run()
}

describe('MSC2964: a refresh token', () => {
  it('brings new tokens, and works again as long as none of them has been used', async () => {
    const tokens = await logIn(client, alice, 'REFRESHED')
    const first = await client.refresh(tokens.refresh_token)
    expect(first.status).toBe(200)
    expect(first.body['scope']).toBe(scopeOf('REFRESHED'))
    // The answer was lost.
    const second = await client.refresh(tokens.refresh_token)
    expect(second.status).toBe(200)
    const token = textOf(second.body, 'access_token')
    expect((await whoami(token)).status).toBe(200)
    // Now the old one is somebody else's.
    expect(await client.refresh(tokens.refresh_token)).toEqual(invalidGrant)
    expect(await whoami(token)).toEqual(refusal(401, 'M_UNKNOWN_TOKEN'))
    expect(await client.refresh(textOf(second.body, 'refresh_token'))).toEqual(invalidGrant)
  })

  it('goes on through many turns, and is its client’s alone', async () => {
    let { refresh_token: token } = await logIn(client, alice, 'TURNS')
    for (let turn = 0; turn < 3; turn += 1) {
      expect(await native.refresh(token)).toEqual(invalidGrant)
      const { status, body } = await client.refresh(token)
      expect(status).toBe(200)
      token = textOf(body, 'refresh_token')
    }
  })

  it('outlives a lock of the account: nothing that passes is a 4xx', async () => {
    const carol = await server.register('carol')
    const tokens = await logIn(client, await signedIn(server, 'carol'), 'LOCKED')
    const db = await server.mf.getD1Database('DB')
    const lock = (value: number) =>
      db.prepare('UPDATE users SET locked = ? WHERE user_id = ?').bind(value, carol.userId).run()
    await lock(1)
    const locked = await client.refresh(tokens.refresh_token)
    expect([locked.status, locked.body['error']]).toEqual([503, 'temporarily_unavailable'])
    await lock(0)
    expect((await client.refresh(tokens.refresh_token)).status).toBe(200)
  })

  it('keeps the two ways to log in apart', async () => {
    const legacy = await server.request('POST', '/_matrix/client/v3/login', {
      body: {
        type: 'm.login.password',
        identifier: { type: 'm.id.user', user: 'bob' },
        password: 'password of bob',
        refresh_token: true,
      },
    })
    const oldToken = textOf(legacy.body, 'refresh_token')
    expect(await client.refresh(oldToken)).toEqual(invalidGrant)
    const tokens = await logIn(client, alice, 'APART')
    const refreshed = await server.request('POST', '/_matrix/client/v3/refresh', {
      body: { refresh_token: tokens.refresh_token },
    })
    expect(refreshed).toEqual(refusal(401, 'M_UNKNOWN_TOKEN'))
    // Neither was harmed.
    expect((await client.refresh(tokens.refresh_token)).status).toBe(200)
    expect(
      (await server.request('POST', '/_matrix/client/v3/refresh', { body: { refresh_token: oldToken } }))
        .status,
    ).toBe(200)
  })
})

describe('MSC2964: of two who refresh with one token', () => {
  it('the later one has the session, and the other ends it', async () => {
    const { refresh_token: shared } = await logIn(client, alice, 'FORKED')
    const thief = await refreshed(shared)
    const owner = await refreshed(shared)
    expect((await whoami(owner.access_token)).status).toBe(200)
    // The thief has waited for that: nothing of theirs goes on beside it unnoticed.
    expect(await whoami(thief.access_token)).toEqual(refusal(401, 'M_UNKNOWN_TOKEN'))
    expect((await whoami(owner.access_token)).status).toBe(200)
    expect(await client.refresh(thief.refresh_token)).toEqual(invalidGrant)
    expect(await whoami(owner.access_token)).toEqual(refusal(401, 'M_UNKNOWN_TOKEN'))
  })

  it('at once, one alone goes on', async () => {
    const { refresh_token: shared } = await logIn(client, alice, 'TOGETHER')
    const all = await Promise.all(Array.from({ length: 5 }, () => refreshed(shared)))
    const statuses = await Promise.all(
      all.map(async ({ access_token: token }) => (await whoami(token)).status),
    )
    expect(statuses.filter((status) => status === 200)).toHaveLength(1)
  })

  it('the one who comes too late ends the session, its device and what is pushed for it', async () => {
    const tokens = await logIn(client, alice, 'STOLEN')
    const pusher = {
      kind: 'http',
      app_id: 'test.app',
      pushkey: 'key of STOLEN',
      app_display_name: 'App',
      device_display_name: 'Phone',
      lang: 'en',
      data: { url: 'https://push.test/_matrix/push/v1/notify' },
    }
    await server.request('POST', '/_matrix/client/v3/pushers/set', {
      token: tokens.access_token,
      body: pusher,
    })
    const pushers = async () => {
      const { body } = await server.request('GET', '/_matrix/client/v3/pushers', { token: watcher })
      return JSON.stringify(body)
    }
    expect(await pushers()).toContain('key of STOLEN')
    const next = await refreshed(tokens.refresh_token)
    await whoami(next.access_token)
    expect(await client.refresh(tokens.refresh_token)).toEqual(invalidGrant)
    expect(await whoami(next.access_token)).toEqual(refusal(401, 'M_UNKNOWN_TOKEN'))
    expect(await deviceStatus('STOLEN')).toBe(404)
    expect(await pushers()).not.toContain('key of STOLEN')
    expect(server.logs.join('\n')).toContain('oauth_refresh_token_reused')
  })

  it('who logs in with the device meanwhile is not harmed by what was before', async () => {
    const before = await logIn(client, alice, 'ANEW')
    const next = await refreshed(before.refresh_token)
    await whoami(next.access_token)
    const after = await logIn(client, alice, 'ANEW')
    for (const { refresh_token: token } of [before, next]) {
      expect(await client.refresh(token)).toEqual(invalidGrant)
    }
    expect((await whoami(after.access_token)).status).toBe(200)
  })
})

it('what is refreshed while it is revoked does not go on', async () => {
  for (let n = 0; n < 5; n += 1) {
    const tokens = await logIn(client, await signedIn(server, 'alice'), `RACE${n}`)
    const [refresh, revoke] = await Promise.all([
      client.refresh(tokens.refresh_token),
      client.revoke(n % 2 === 0 ? tokens.access_token : tokens.refresh_token),
    ])
    expect(revoke.status).toBe(200)
    const left = [tokens.access_token, tokenIn(refresh.body, 'access_token')]
    for (const token of left) expect((await whoami(token)).status).toBe(401)
    expect(await client.refresh(tokenIn(refresh.body, 'refresh_token'))).toEqual(invalidGrant)
    expect(await deviceStatus(`RACE${n}`)).toBe(404)
  }
})

it('of two codes for one device that are exchanged at once, one makes the session', async () => {
  const requests = [client.request('TWOCODES'), client.request('TWOCODES')]
  const codes: string[] = []
  for (const { path } of requests) codes.push((await agree(alice, path)).get('code') ?? '')
  const answers = await Promise.all(
    requests.map(async (request, n) => await client.exchange(codes[n] ?? '', request)),
  )
  const statuses = await Promise.all(
    answers.map(async ({ body }) => (await whoami(tokenIn(body, 'access_token'))).status),
  )
  expect(statuses.filter((status) => status === 200)).toHaveLength(1)
})

it('lost answers leave nothing behind', async () => {
  const { refresh_token: token } = await logIn(client, alice, 'LOSSY')
  for (let n = 0; n < 5; n += 1) await refreshed(token)
  const db = await server.mf.getD1Database('DB')
  const count = await db
    .prepare("SELECT count(*) AS count FROM sessions WHERE device_id = 'LOSSY'")
    .first<number>('count')
  expect(count).toBe(2)
})

describe('an access token that has expired', () => {
  const expire = (deviceId: string) =>
    run('UPDATE sessions SET expires_at = ? WHERE device_id = ?', Date.now() - 1000, deviceId)
  const softLogout = expect.objectContaining({
    status: 401,
    body: expect.objectContaining({ errcode: 'M_UNKNOWN_TOKEN', soft_logout: true }),
  })

  it('is a soft logout: the session goes on with the refresh token', async () => {
    const tokens = await logIn(client, alice, 'EXPIRED')
    await expire('EXPIRED')
    expect(await whoami(tokens.access_token)).toEqual(softLogout)
    const next = await refreshed(tokens.refresh_token)
    expect((await whoami(next.access_token)).body['device_id']).toBe('EXPIRED')
    // A request that was under way while another one refreshed: nobody is to forget their keys for it.
    expect(await whoami(tokens.access_token)).toEqual(softLogout)
  })

  it('can still be revoked', async () => {
    const tokens = await logIn(client, alice, 'EXPIREDREVOKED')
    await expire('EXPIREDREVOKED')
    expect((await client.revoke(tokens.access_token)).status).toBe(200)
    expect(await client.refresh(tokens.refresh_token)).toEqual(invalidGrant)
    expect(await deviceStatus('EXPIREDREVOKED')).toBe(404)
  })
})

describe('the scope of a refresh', () => {
  const withScope = (token: string, scope: string) =>
    client.post('token', { grant_type: 'refresh_token', refresh_token: token, scope })

  it.each([
    ['another device', scopeOf('OTHER')],
    ['one more device', `${scopeOf('SCOPED')} urn:matrix:client:device:OTHER`],
    ['what is no scope', 'a"b'],
  ])('with %s is refused, and the token goes on', async (_, scope) => {
    const tokens = await logIn(client, alice, 'SCOPED')
    const { status, body } = await withScope(tokens.refresh_token, scope)
    expect([status, body['error']]).toEqual([400, 'invalid_scope'])
    await refreshed(tokens.refresh_token)
  })

  it.each([
    ['the same', scopeOf('SCOPED')],
    ['what was not granted the first time', `openid ${scopeOf('SCOPED')} urn:example:more`],
    ['the names it had at first', scopeOf('SCOPED').replaceAll(':client:', ':org.matrix.msc2967.client:')],
    ['less', 'urn:matrix:client:api:*'],
  ])('with %s changes nothing', async (_, scope) => {
    const tokens = await logIn(client, alice, 'SCOPED')
    const { status, body } = await withScope(tokens.refresh_token, scope)
    expect([status, body['scope']]).toEqual([200, scopeOf('SCOPED')])
  })
})
