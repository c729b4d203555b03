// Logging in by the authorization code grant, as clients and their users go through it. Specification: client-server API, "Authorisation
// code flow".

import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import {
  answerIn,
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
import { newVisitor, type Visitor } from '../support/sso-visitor.ts'
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

it('MSC3861: MSC2964: a user signs in, agrees, and their client gets tokens that work', async () => {
  const visitor = newVisitor(server.url)
  const request = client.request('FIRSTDEVICE')
  const asked = await visitor.open(request.path)
  expect(asked.status).toBe(200)
  const consent = await passSignIn(visitor, asked, 'alice')
  expect(consent.text).toContain('Example &lt;b&gt;Client&lt;/b&gt;')
  for (const shown of [
    'FIRSTDEVICE',
    '@alice:test.local',
    'https://client.test/terms',
    'https://client.test/privacy',
  ]) {
    expect(consent.text).toContain(shown)
  }
  const answer = await submitTo(visitor, consent, 'consent', { decision: 'allow' })
  expect(answer.status).toBe(303)
  expect(answer.location).toMatch(/^https:\/\/client\.test\/callback#/)
  expect(answer.headers.get('Cache-Control')).toBe('no-store')
  const parameters = answerIn(answer)
  // RFC 9207.
  expect(parameters.get('iss')).toBe(`${server.url}/`)
  expect(parameters.get('state')).toBe('state of FIRSTDEVICE')

  const { status, headers, body } = await client.exchange(parameters.get('code') ?? '', request)
  expect([status, headers.get('Cache-Control'), headers.get('Access-Control-Allow-Origin')]).toEqual([
    200,
    'no-store',
    '*',
  ])
  expect(body).toEqual({
    access_token: expect.any(String),
    refresh_token: expect.any(String),
    token_type: 'Bearer',
    expires_in: 3600,
    scope: scopeOf('FIRSTDEVICE'),
  })
  const token = textOf(body, 'access_token')
  expect((await server.request('GET', whoami, { token })).body).toMatchObject({
    user_id: '@alice:test.local',
    device_id: 'FIRSTDEVICE',
  })
  const device = await server.request('GET', '/_matrix/client/v3/devices/FIRSTDEVICE', { token })
  expect(device.body['display_name']).toBe('Example <b>Client</b>')
})

describe('answers to the client', () => {
  it('go into the query where it asks for that, beside what is there', async () => {
    const request = client.request('QUERY', {
      response_mode: 'query',
      redirect_uri: 'https://app.client.test/?a=1',
    })
    const page = await alice.open(request.path)
    const { location } = await submitTo(alice, page, 'consent', { decision: 'allow' })
    expect(location).toMatch(/^https:\/\/app\.client\.test\/\?a=1&code=[\w-]+&state=state\+of\+QUERY&iss=/)
  })

  it('say no where the user does, by either way', async () => {
    const request = client.request('DENIED')
    const page = await alice.open(request.path)
    const denied = answerIn(await submitTo(alice, page, 'consent', { decision: 'deny' }))
    expect([denied.get('error'), denied.get('state'), denied.has('code')]).toEqual([
      'access_denied',
      'state of DENIED',
      false,
    ])
    const { text } = await newVisitor(server.url).open(request.path)
    expect(text).toContain('https://client.test/callback#error=access_denied')
  })

  it.each([
    ['test.client.app:/callback', /^test\.client\.app:\/callback#code=/],
    ['http://127.0.0.1:49152/callback', /^http:\/\/127\.0\.0\.1:49152\/callback#code=/],
    ['http://[::1]:1/callback', /^http:\/\/\[::1\]:1\/callback#code=/],
  ])('reach a native client at %s', async (redirectUri, expected) => {
    const request = native.request('NATIVE', { redirect_uri: redirectUri })
    const page = await alice.open(request.path)
    const answer = await submitTo(alice, page, 'consent', { decision: 'allow' })
    expect(answer.location).toMatch(expected)
    // What the policy of the page lets its form lead to.
    const policy = page.headers.get('Content-Security-Policy') ?? ''
    const target = /form-action 'self' ([^; ]*)/.exec(policy)?.[1] ?? ''
    expect(redirectUri.startsWith(target)).toBe(true)
    const { status } = await native.exchange(answerIn(answer).get('code') ?? '', request)
    expect(status).toBe(200)
  })

  it.each([
    ['response_type', undefined, 'invalid_request'],
    ['response_type', 'token', 'unsupported_response_type'],
    ['response_mode', 'form_post', 'invalid_request'],
    ['scope', undefined, 'invalid_scope'],
    ['request', 'x.y.z', 'request_not_supported'],
    ['request_uri', 'https://client.test/r', 'request_uri_not_supported'],
    ['prompt', 'none', 'interaction_required'],
    // Without S256 somebody who gets hold of a code can use it.
    ['code_challenge', undefined, 'invalid_request'],
    ['code_challenge', 'short', 'invalid_request'],
    ['code_challenge_method', undefined, 'invalid_request'],
    ['code_challenge_method', 'plain', 'invalid_request'],
  ])('tell it what is wrong with %s %s', async (name, value, error) => {
    const { path } = client.request('WRONG', { [name]: value })
    const shown = await alice.open(path)
    expect(shown.status).toBe(400)
    expect(shown.text).toMatch(/href="https:\/\/client\.test\/callback[#?]/)
    const answer = answerIn(shown)
    expect([answer.get('error'), answer.get('state'), answer.get('iss')]).toEqual([
      error,
      'state of WRONG',
      `${server.url}/`,
    ])
  })

  it('tell it that a parameter comes twice', async () => {
    const shown = await alice.open(`${client.request('TWICE').path}&code_challenge=x`)
    expect(answerIn(shown).get('error')).toBe('invalid_request')
  })

  it.each([
    ['redirect_uri', 'https://client.test/callback/'],
    ['redirect_uri', 'https://client.test/callback?x=1'],
    ['redirect_uri', 'https://client.test.evil.test/callback'],
    ['redirect_uri', 'https://evil.test/'],
    ['redirect_uri', undefined],
    ['client_id', 'nobody'],
    ['client_id', undefined],
  ])('never go to an address that is not registered: %s %s', async (name, value) => {
    const { status, location, headers, text } = await alice.open(
      client.request('EVIL', { [name]: value }).path,
    )
    expect([status, location]).toEqual([400, null])
    expect(headers.get('Content-Type')).toMatch(/^text\/html/)
    expect(text).not.toContain('evil.test')
    const twice = `${client.request('EVIL').path}&redirect_uri=https%3A%2F%2Fevil.test%2F`
    expect((await alice.open(twice)).status).toBe(400)
  })
})

describe('MSC2967: the scope', () => {
  it.each([
    ['no device', 'urn:matrix:client:api:*'],
    ['two devices', `${scopeOf('ONE')} urn:matrix:client:device:TWO`],
    ['no access', 'urn:matrix:client:device:ONE'],
    ['an empty device id', scopeOf('')],
    ['a device id that is too long', scopeOf('D'.repeat(256))],
    ['characters that are none of a scope', scopeOf('A"B')],
    ['a device of another name', 'urn:matrix:client:api:* urn:matrix:device:ONE'],
  ])('with %s is refused', async (_, scope) => {
    const shown = await alice.open(client.request('X', { scope }).path)
    expect(answerIn(shown).get('error')).toBe('invalid_scope')
  })

  it('may have the names it had at first, and what is not known is not granted', async () => {
    const old =
      'urn:matrix:org.matrix.msc2967.client:api:* urn:matrix:org.matrix.msc2967.client:device:OLDNAMES'
    const tokens = await logIn(client, alice, 'OLDNAMES', { scope: `openid ${old} urn:example:more` })
    expect(tokens.scope).toBe(old)
    const { body } = await server.request('GET', whoami, { token: tokens.access_token })
    expect(body['device_id']).toBe('OLDNAMES')
  })

  it('lets a device id have all characters that there may be', async () => {
    const deviceId = "!#$%&'()*+,-./:;<=>?@[]^_`{|}~aZ09"
    const tokens = await logIn(client, alice, deviceId)
    expect((await server.request('GET', whoami, { token: tokens.access_token })).body['device_id']).toBe(
      deviceId,
    )
  })

  it('with a known device takes it over: its keys stay, its tokens end', async () => {
    const before = await logIn(client, alice, 'KNOWN')
    const request = client.request('KNOWN')
    expect((await alice.open(request.path)).text).toContain('takes it over')
    const after = await logIn(client, alice, 'KNOWN')
    expect(await server.request('GET', whoami, { token: before.access_token })).toEqual(
      refusal(401, 'M_UNKNOWN_TOKEN'),
    )
    expect(await client.refresh(before.refresh_token)).toEqual(oauthError('invalid_grant'))
    expect((await server.request('GET', whoami, { token: after.access_token })).status).toBe(200)
  })
})

describe('the consent page', () => {
  it('is believed to the browser alone that was shown it', async () => {
    const request = client.request('FORGED')
    const page = await alice.open(request.path)
    // Another site makes the browser of somebody else send what it was shown itself.
    const bob = await signedIn(server, 'bob')
    const forged = await submitTo(bob, page, 'consent', { decision: 'allow' })
    expect([forged.status, forged.location]).toEqual([403, null])
    const bare = await bob.open(`${oauthPath}/consent`, {
      method: 'POST',
      body: new URLSearchParams({ request: request.path.replace(`${oauthPath}/`, ''), decision: 'allow' }),
    })
    expect([bare.status, bare.location]).toEqual([403, null])
  })

  it('counts for the request alone that it showed', async () => {
    const page = await alice.open(client.request('SHOWN').path)
    const other = client.request('OTHER').path.replace(`${oauthPath}/`, '')
    const answer = await submitTo(alice, page, 'consent', { decision: 'allow', request: other })
    expect([answer.status, answer.location]).toEqual([403, null])
  })

  it('of somebody who has become somebody else counts for neither', async () => {
    const visitor = await signedIn(server, 'alice')
    const request = client.request('SWITCHED')
    const page = await visitor.open(request.path)
    const next = await visitor.follow(await submitTo(visitor, page, 'sign-out'))
    await passSignIn(visitor, next, 'bob')
    expect((await submitTo(visitor, page, 'consent', { decision: 'allow' })).status).toBe(403)
  })

  it('cannot be framed, runs no script, and leads nowhere else', async () => {
    const { headers } = await alice.open(client.request('FRAMED').path)
    const policy = headers.get('Content-Security-Policy') ?? ''
    for (const part of [
      "default-src 'none'",
      "frame-ancestors 'none'",
      "form-action 'self' https://client.test",
    ]) {
      expect(policy).toContain(part)
    }
    expect([headers.get('Referrer-Policy'), headers.get('Cache-Control')]).toEqual([
      'no-referrer',
      'no-store',
    ])
  })
})
