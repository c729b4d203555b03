// Codes for tokens, and those who try to get them otherwise. Specification: client-server API, "Authorisation code grant"; RFC 6749,
// sections 4.1.2 and 4.1.3; RFC 7636.

import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import {
  agree,
  challengeOf,
  nativeClient,
  newOauthClient,
  oauthPath,
  type OauthClient,
  postForm,
  signedIn,
  startOauthServer,
  submitTo,
} from '../support/oauth-client.ts'
import { refusal } from '../support/room-client.ts'
import type { TestServer } from '../support/server.ts'
import type { Visitor } from '../support/sso-visitor.ts'
import { textOf } from '../support/text-of.ts'

const whoami = '/_matrix/client/v3/account/whoami'

let server: TestServer
let client: OauthClient
let native: OauthClient
let alice: Visitor
beforeAll(async () => {
  server = await startOauthServer()
  await server.register('alice')
  await server.register('bob')
  client = await newOauthClient(server)
  native = await newOauthClient(server, nativeClient)
  alice = await signedIn(server, 'alice')
})
afterAll(() => server.stop())

const oauthError = (error: string) =>
  expect.objectContaining({ status: 400, body: expect.objectContaining({ error }) })

describe('a code', () => {
  const issued = async (deviceId: string) => {
    const request = client.request(deviceId)
    return { request, code: (await agree(alice, request.path)).get('code') ?? '' }
  }

  it('is not given for what is not the challenge, and then not any more', async () => {
    const { request, code } = await issued('PKCE')
    const wrong = await client.exchange(code, { ...request, verifier: 'x'.repeat(43) })
    expect(wrong).toEqual(oauthError('invalid_grant'))
    expect(await client.exchange(code, request)).toEqual(oauthError('invalid_grant'))
  })

  it('is not exchanged without a verifier, nor with the challenge in its place', async () => {
    const { request, code } = await issued('DOWNGRADE')
    const fields = { grant_type: 'authorization_code', code, redirect_uri: request.redirectUri }
    expect(await client.post('token', fields)).toEqual(oauthError('invalid_request'))
    const verifier = challengeOf(request.verifier)
    expect(await client.exchange(code, { ...request, verifier })).toEqual(oauthError('invalid_grant'))
  })

  it('injected into the session of another user of the client is of no use', async () => {
    const stolen = await issued('STOLEN')
    const own = client.request('STOLEN')
    expect(await client.exchange(stolen.code, own)).toEqual(oauthError('invalid_grant'))
  })

  it('is of no use to another client, nor with another redirect URI', async () => {
    const one = await issued('MIXUP')
    expect(await native.exchange(one.code, one.request)).toEqual(oauthError('invalid_grant'))
    const two = await issued('MIXUP')
    const redirectUri = 'https://app.client.test/?a=1'
    expect(await client.exchange(two.code, { ...two.request, redirectUri })).toEqual(
      oauthError('invalid_grant'),
    )
  })

  it('used twice ends the session that it was for', async () => {
    const { request, code } = await issued('REPLAYED')
    const first = await client.exchange(code, request)
    const token = textOf(first.body, 'access_token')
    expect((await server.request('GET', whoami, { token })).status).toBe(200)
    expect(await client.exchange(code, request)).toEqual(oauthError('invalid_grant'))
    expect(await server.request('GET', whoami, { token })).toEqual(refusal(401, 'M_UNKNOWN_TOKEN'))
    expect(await client.refresh(textOf(first.body, 'refresh_token'))).toEqual(oauthError('invalid_grant'))
  })

  it('used many times at once leaves no session', async () => {
    const { request, code } = await issued('RACED')
    const answers = await Promise.all(Array.from({ length: 5 }, () => client.exchange(code, request)))
    const tokens = answers
      .filter(({ status }) => status === 200)
      .map(({ body }) => textOf(body, 'access_token'))
    expect(tokens.length).toBeLessThanOrEqual(1)
    for (const token of tokens) {
      expect(await server.request('GET', whoami, { token })).toEqual(refusal(401, 'M_UNKNOWN_TOKEN'))
    }
  })

  it('is good for a minute', async () => {
    const { request, code } = await issued('LATE')
    const db = await server.mf.getD1Database('DB')
    const ahead = await db
      .prepare('SELECT expires_at - ? AS ahead FROM oauth_codes WHERE device_id = ?')
      .bind(Date.now(), 'LATE')
      .first<number>('ahead')
    expect(ahead).toBeLessThanOrEqual(60_000)
    await db.prepare('UPDATE oauth_codes SET expires_at = 1 WHERE device_id = ?').bind('LATE').run()
    expect(await client.exchange(code, request)).toEqual(oauthError('invalid_grant'))
  })

  it('is stored as a hash, and neither it nor a token is ever logged', async () => {
    const { request, code } = await issued('HASHED')
    const { body } = await client.exchange(code, request)
    const logged = server.logs.join('\n')
    expect(logged).toContain('oauth_session')
    for (const secret of [code, textOf(body, 'access_token'), textOf(body, 'refresh_token')]) {
      expect(logged).not.toContain(secret)
    }
    const db = await server.mf.getD1Database('DB')
    const { results } = await db.prepare('SELECT * FROM oauth_codes').all()
    expect(JSON.stringify(results)).not.toContain(code)
  })
})

it('nobody makes codes without end', async () => {
  const limited = await startOauthServer({ RATE_LIMITS: 'on' })
  await limited.register('alice')
  const visitor = await signedIn(limited, 'alice')
  const page = await visitor.open((await newOauthClient(limited)).request('ENDLESS').path)
  const allow = async () => (await submitTo(visitor, page, 'consent', { decision: 'allow' })).status
  const statuses: number[] = []
  for (let n = 0; n < 45; n += 1) statuses.push(await allow())
  expect(new Set(statuses)).toEqual(new Set([303, 429]))
  await limited.stop()
})

describe('the token endpoint', () => {
  it.each([
    [{}, 'invalid_request'],
    [{ grant_type: 'password', username: 'alice', password: 'password of alice' }, 'unsupported_grant_type'],
    [
      { grant_type: 'authorization_code', code: 'x', redirect_uri: 'x', code_verifier: 'x'.repeat(43) },
      'invalid_grant',
    ],
    [{ grant_type: 'authorization_code' }, 'invalid_request'],
    [{ grant_type: 'refresh_token' }, 'invalid_request'],
    [{ grant_type: 'refresh_token', refresh_token: 'x' }, 'invalid_grant'],
  ])('answers %j with %s', async (fields, error) => {
    expect(await client.post('token', fields as Record<string, string>)).toEqual(oauthError(error))
  })

  it('takes forms alone, and each parameter once', async () => {
    const json = await server.request('POST', `${oauthPath}/token`, { body: { grant_type: 'refresh_token' } })
    expect(json).toEqual(oauthError('invalid_request'))
    const twice = new URLSearchParams({ grant_type: 'refresh_token', client_id: client.clientId })
    twice.append('grant_type', 'refresh_token')
    expect(await postForm(server, 'token', twice)).toEqual(oauthError('invalid_request'))
  })
})
