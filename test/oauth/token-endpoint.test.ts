// The endpoints that clients post forms to, when something fails or somebody tries something. Specification: client-server API, "Grant
// types", "Token revocation"; RFC 6749, section 5.2.

import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { testDevice } from '../support/device-keys.ts'
import {
  agree,
  logIn,
  nativeClient,
  newOauthClient,
  oauthPath,
  type OauthClient,
  passSignIn,
  scopeOf,
  signedIn,
  startOauthServer,
  submitTo,
} from '../support/oauth-client.ts'
import { refusal } from '../support/room-client.ts'
import type { TestServer } from '../support/server.ts'
import { newVisitor } from '../support/sso-visitor.ts'
import { textOf } from '../support/text-of.ts'

let server: TestServer
let client: OauthClient
let native: OauthClient
let watcher: string
beforeAll(async () => {
  server = await startOauthServer()
  ;({ token: watcher } = await server.register('alice'))
  client = await newOauthClient(server)
  native = await newOauthClient(server, nativeClient)
})
afterAll(() => server.stop())

const whoami = (token: string) => server.request('GET', '/_matrix/client/v3/account/whoami', { token })
const oauthError = (error: string, status = 400) =>
  expect.objectContaining({ status, body: expect.objectContaining({ error }) })
const invalidGrant = oauthError('invalid_grant')
const deviceGrant = 'urn:ietf:params:oauth:grant-type:device_code'

const session = async (deviceId: string, user = 'alice') =>
  await logIn(client, await signedIn(server, user), deviceId)

async function issued(deviceId: string) {
  const request = client.request(deviceId)
  const visitor = await signedIn(server, 'alice')
  return { request, code: (await agree(visitor, request.path)).get('code') ?? '' }
}

/** A device code that somebody has agreed to. */
async function agreedDeviceCode(deviceId: string, user = 'alice'): Promise<string> {
  const { body } = await native.post('device-authorization', { scope: scopeOf(deviceId) })
  const visitor = newVisitor(server.url)
  const page = await visitor.open(`${oauthPath}/link?user_code=${textOf(body, 'user_code')}`)
  await submitTo(visitor, await passSignIn(visitor, page, user), 'link', { decision: 'allow' })
  return textOf(body, 'device_code')
}

const pollFor = (code: string) => native.post('token', { grant_type: deviceGrant, device_code: code })

const deviceStatus = async (deviceId: string) =>
  (await server.request('GET', `/_matrix/client/v3/devices/${deviceId}`, { token: watcher })).status

async function d1(sql: string): Promise<void> {
  await (await server.mf.getD1Database('DB')).prepare(sql).run()
}

/** What happens while a kind of write to D1 fails. */
async function whileFailing<T>(write: string, run: () => Promise<T>): Promise<T> {
  await d1(`CREATE TRIGGER injected BEFORE ${write} BEGIN SELECT RAISE(ABORT, 'injected'); END`)
  try {
    return await run()
  } finally {
    await d1('DROP TRIGGER injected')
  }
}

describe('where the database fails', () => {
  const failed = oauthError('server_error', 500)

  it('a refresh is no 4xx, changes nothing, and can be repeated', async () => {
    const tokens = await session('FAILREFRESH')
    for (const write of ['INSERT ON sessions', 'INSERT ON refresh_tokens', 'UPDATE ON refresh_tokens']) {
      expect(await whileFailing(write, () => client.refresh(tokens.refresh_token))).toEqual(failed)
      expect((await whoami(tokens.access_token)).status).toBe(200)
    }
    expect((await client.refresh(tokens.refresh_token)).status).toBe(200)
  })

  it('a revocation is no success, and can be repeated', async () => {
    const tokens = await session('FAILREVOKE')
    for (const write of ['DELETE ON refresh_tokens', 'DELETE ON oauth_browser_sessions']) {
      await signedIn(server, 'alice')
      const answer = await whileFailing(write, () => client.revoke(tokens.access_token))
      expect(answer).toEqual(failed)
      expect((await whoami(tokens.access_token)).status).toBe(200)
    }
    expect((await client.revoke(tokens.access_token)).status).toBe(200)
    expect(await whoami(tokens.access_token)).toEqual(refusal(401, 'M_UNKNOWN_TOKEN'))
    expect(await deviceStatus('FAILREVOKE')).toBe(404)
  })

  it('a code brings no tokens, and none later', async () => {
    const { request, code } = await issued('FAILCODE')
    expect(await whileFailing('INSERT ON sessions', () => client.exchange(code, request))).toEqual(failed)
    expect(await client.exchange(code, request)).toEqual(invalidGrant)
  })

  it('a code of which it cannot be noted what came of it brings no tokens', async () => {
    const { request, code } = await issued('FAILNOTE')
    const noting = 'UPDATE OF generation ON oauth_codes'
    expect(await whileFailing(noting, () => client.exchange(code, request))).toEqual(failed)
    expect(await client.exchange(code, request)).toEqual(invalidGrant)
  })
})

describe('who attacks', () => {
  it('with a code once more ends the session, and no device: it may have been there before', async () => {
    const before = await session('REPLAYED')
    const key = testDevice({ userId: '@alice:test.local', deviceId: 'REPLAYED' }).deviceKeys
    const upload = { token: before.access_token, body: { device_keys: key } }
    expect((await server.request('POST', '/_matrix/client/v3/keys/upload', upload)).status).toBe(200)
    const { request, code } = await issued('REPLAYED')
    const { body } = await client.exchange(code, request)
    expect((await whoami(textOf(body, 'access_token'))).status).toBe(200)
    expect(await native.exchange(code, { ...request, verifier: 'x'.repeat(43) })).toEqual(invalidGrant)
    expect(await whoami(textOf(body, 'access_token'))).toEqual(refusal(401, 'M_UNKNOWN_TOKEN'))
    expect(await deviceStatus('REPLAYED')).toBe(200)
    const query = { token: watcher, body: { device_keys: { '@alice:test.local': ['REPLAYED'] } } }
    const { body: keys } = await server.request('POST', '/_matrix/client/v3/keys/query', query)
    expect(JSON.stringify(keys)).toContain('ed25519:REPLAYED')
  })

  it('with a code of before ends nothing of a later login', async () => {
    const { request, code } = await issued('LATERLOGIN')
    expect((await client.exchange(code, request)).status).toBe(200)
    const tokens = await session('LATERLOGIN')
    expect(await client.exchange(code, request)).toEqual(invalidGrant)
    expect((await whoami(tokens.access_token)).status).toBe(200)
  })

  it('with one token in the place of another gets nothing', async () => {
    const tokens = await session('SWAPPED')
    expect(await whoami(tokens.refresh_token)).toEqual(refusal(401, 'M_UNKNOWN_TOKEN'))
    expect(await client.refresh(tokens.access_token)).toEqual(invalidGrant)
    const { request, code } = await issued('SWAPPED2')
    expect(await whoami(code)).toEqual(refusal(401, 'M_UNKNOWN_TOKEN'))
    expect(await pollFor(code)).toEqual(invalidGrant)
    expect(await client.exchange(tokens.refresh_token, request)).toEqual(invalidGrant)
  })

  it('with the device id of somebody else touches nothing of theirs', async () => {
    const tokens = await session('SHARED')
    await server.register('bob')
    const bob = await session('SHARED', 'bob')
    expect((await whoami(bob.access_token)).body['user_id']).toBe('@bob:test.local')
    await client.revoke(bob.access_token)
    expect((await whoami(tokens.access_token)).body).toMatchObject({
      user_id: '@alice:test.local',
      device_id: 'SHARED',
    })
    expect((await client.refresh(tokens.refresh_token)).status).toBe(200)
  })

  it('by asking many times at once gets one session of a device code', async () => {
    const code = await agreedDeviceCode('MANY')
    const answers = await Promise.all(Array.from({ length: 5 }, () => pollFor(code)))
    expect(answers.filter(({ status }) => status === 200)).toHaveLength(1)
  })
})

it('a device taken over keeps the name that its user gave it', async () => {
  const tokens = await session('NAMED')
  const device = '/_matrix/client/v3/devices/NAMED'
  await server.request('PUT', device, { token: tokens.access_token, body: { display_name: 'My phone' } })
  const after = await session('NAMED')
  const { body } = await server.request('GET', device, { token: after.access_token })
  expect(body['display_name']).toBe('My phone')
})

describe('who was', () => {
  const setUser = (localpart: string, column: string, value: number | null) =>
    d1(`UPDATE users SET ${column} = ${value} WHERE user_id = '@${localpart}:test.local'`)

  it.each(['deactivated_at', 'locked'])(
    '%s gets no session of what they agreed to before',
    async (column) => {
      const user = column.slice(0, 4)
      await server.register(user)
      const deviceCode = await agreedDeviceCode('GONE', user)
      const request = client.request('GONE')
      const code = (await agree(await signedIn(server, user), request.path)).get('code') ?? ''
      await setUser(user, column, 1)
      expect(await pollFor(deviceCode)).toEqual(invalidGrant)
      expect(await client.exchange(code, request)).toEqual(invalidGrant)
    },
  )

  it('suspended may still come in, and refresh', async () => {
    await server.register('suspended')
    await setUser('suspended', 'suspended', 1)
    const tokens = await session('SUSPENDED', 'suspended')
    expect((await client.refresh(tokens.refresh_token)).status).toBe(200)
  })

  it('locked may still revoke', async () => {
    await server.register('lockedout')
    const tokens = await session('LOCKEDOUT', 'lockedout')
    await setUser('lockedout', 'locked', 1)
    expect((await client.revoke(tokens.access_token)).status).toBe(200)
    await setUser('lockedout', 'locked', 0)
    expect(await client.refresh(tokens.refresh_token)).toEqual(invalidGrant)
  })

  it('deactivated leaves nothing of it', async () => {
    await server.register('leaver')
    await agreedDeviceCode('LEAVER', 'leaver')
    await agree(await signedIn(server, 'leaver'), client.request('LEAVER').path)
    await d1(`INSERT INTO cross_signing_resets VALUES ('@leaver:test.local', ${Date.now() + 600_000})`)
    const tokens = await session('LEAVER', 'leaver')
    const visitor = await signedIn(server, 'leaver')
    const page = await visitor.open(`${oauthPath}/account?action=org.matrix.account_deactivate`)
    const fields = { user: '@leaver:test.local', password: 'password of leaver' }
    expect((await submitTo(visitor, page, 'account/deactivate', fields)).text).toContain('is closed')
    expect(await client.refresh(tokens.refresh_token)).toEqual(invalidGrant)
    const db = await server.mf.getD1Database('DB')
    for (const table of [
      'oauth_codes',
      'oauth_device_codes',
      'oauth_browser_sessions',
      'cross_signing_resets',
    ]) {
      const { results } = await db
        .prepare(`SELECT * FROM ${table} WHERE user_id = '@leaver:test.local'`)
        .all()
      expect([table, results]).toEqual([table, []])
    }
  })
})

describe('a request that is none', () => {
  const post = async (page: string, init: RequestInit) => {
    const response = await server.fetch(`${oauthPath}/${page}`, { method: 'POST', ...init })
    expect([page, response.headers.get('Cache-Control')]).toEqual([page, 'no-store'])
    const body = JSON.parse(await response.text())
    return { status: response.status, headers: response.headers, body }
  }
  const pages = ['token', 'revoke', 'device-authorization']

  it.each(pages)('as JSON, without a type or too large is refused: %s', async (page) => {
    const json = { body: '{"token":"x"}', headers: { 'Content-Type': 'application/json' } }
    expect(await post(page, json)).toEqual(oauthError('invalid_request'))
    expect(await post(page, { body: new Uint8Array([97]) })).toEqual(oauthError('invalid_request'))
    const body = new URLSearchParams({ token: 'x'.repeat(100_000), client_id: client.clientId })
    expect(await post(page, { body })).toEqual(oauthError('invalid_request'))
  })

  // Clients are public: what they registered is token_endpoint_auth_method "none".
  it.each(['token', 'device-authorization'])(
    'with a secret is told that there are none: %s',
    async (page) => {
      const { refresh_token: token } = await session('SECRET')
      const fields = { token, refresh_token: token, grant_type: 'refresh_token', client_id: client.clientId }
      const basic = await post(page, {
        body: new URLSearchParams(fields),
        headers: { Authorization: `Basic ${btoa(`${client.clientId}:secret`)}` },
      })
      expect(basic).toEqual(oauthError('invalid_client', 401))
      expect(basic.headers.get('WWW-Authenticate')).toMatch(/^Basic /)
      for (const name of ['client_secret', 'client_assertion']) {
        const body = new URLSearchParams({ ...fields, [name]: 'secret' })
        expect(await post(page, { body })).toEqual(oauthError('invalid_client'))
      }
      expect((await client.refresh(token)).status).toBe(200)
    },
  )

  it('with a secret revokes all the same: who finds a token shall be able to end it', async () => {
    const { refresh_token: token } = await session('FOUND')
    const headers = { Authorization: 'Basic c2Nhbm5lcjpzZWNyZXQ=' }
    const response = await server.fetch(`${oauthPath}/revoke`, {
      method: 'POST',
      body: new URLSearchParams({ token }),
      headers,
    })
    expect(response.status).toBe(200)
    expect(await client.refresh(token)).toEqual(invalidGrant)
  })
})
