// Clients that know the legacy API alone, at a server with the OAuth 2.0 API: they send their users to its pages and get a login token.
// Specification: client-server API, "OAuth 2.0 aware clients"; MSC3824.

import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import {
  clientId,
  clientSecret,
  type FakeProvider,
  startFakeProvider,
} from '../support/fake-openid-provider.ts'
import { formOf, passSignIn, signedIn, startOauthServer, submitTo } from '../support/oauth-client.ts'
import { startServer, type TestServer } from '../support/server.ts'
import { loginTokenIn, newVisitor } from '../support/sso-visitor.ts'

const api = '/_matrix/client/v3'
const redirect = (query: Record<string, string> = {}) =>
  `${api}/login/sso/redirect?${new URLSearchParams({ redirectUrl: 'https://client.test/?a=1#/x', ...query }).toString()}`
const ssoFlow = async (server: TestServer) => {
  const { body } = await server.request('GET', `${api}/login`)
  return (body['flows'] as { type: string }[]).find(({ type }) => type === 'm.login.sso')
}

let server: TestServer
beforeAll(async () => {
  server = await startOauthServer()
  await server.register('alice')
})
afterAll(() => server.stop())

describe('MSC3824: a client', () => {
  it('is told to leave it to the pages', async () => {
    expect(await ssoFlow(server)).toEqual({
      type: 'm.login.sso',
      oauth_aware_preferred: true,
      'org.matrix.msc3824.delegated_oidc_compatibility': true,
    })
  })

  it('is told nothing of it where there are no such pages', async () => {
    const plain = await startServer()
    expect(await ssoFlow(plain)).toBeUndefined()
    await plain.stop()
  })

  it('gets a login token for who signs in there by password, and agrees', async () => {
    const visitor = newVisitor(server.url)
    const asked = await visitor.follow(await visitor.open(redirect({ action: 'login' })))
    expect(asked.text).toContain('autocomplete="current-password"')
    const page = await passSignIn(visitor, asked, 'alice')
    expect(page.text).toContain('@alice:test.local')
    expect(page.text).toContain('https://client.test')
    expect(page.headers.get('Content-Security-Policy')).toContain("form-action 'self' https://client.test;")
    const answer = await submitTo(visitor, page, 'login')
    expect([answer.status, answer.location?.startsWith('https://client.test/?a=1&loginToken=')]).toEqual([
      303,
      true,
    ])
    const body = { type: 'm.login.token', token: loginTokenIn(answer) }
    const login = await server.request('POST', `${api}/login`, { body })
    expect(login.body['user_id']).toBe('@alice:test.local')
    expect((await server.request('POST', `${api}/login`, { body })).status).toBe(403)
  })

  it('gets one of another account where its user has two', async () => {
    await server.register('second')
    const visitor = await signedIn(server, 'second')
    const page = await visitor.follow(await visitor.open(redirect()))
    expect(page.text).toContain('@second:test.local')
    const asked = await visitor.follow(await submitTo(visitor, page, 'sign-out'))
    const other = await passSignIn(visitor, asked, 'alice')
    const body = { type: 'm.login.token', token: loginTokenIn(await submitTo(visitor, other, 'login')) }
    expect((await server.request('POST', `${api}/login`, { body })).body['user_id']).toBe('@alice:test.local')
  })

  it('at an IPv6 address is led to by browsers, which know none in a Content-Security-Policy', async () => {
    const visitor = await signedIn(server, 'alice')
    const page = await visitor.follow(await visitor.open(redirect({ redirectUrl: 'http://[::1]:4321/' })))
    expect(page.headers.get('Content-Security-Policy')).toContain("form-action 'self' http:;")
  })

  it('gets none without end', async () => {
    const limited = await startOauthServer({ RATE_LIMITS: 'on' })
    await limited.register('alice')
    const visitor = await signedIn(limited, 'alice')
    const page = await visitor.follow(await visitor.open(redirect()))
    const statuses: number[] = []
    for (let n = 0; n < 45; n += 1) statuses.push((await submitTo(visitor, page, 'login')).status)
    expect(new Set(statuses)).toEqual(new Set([303, 429]))
    await limited.stop()
  })

  it('gets one for who comes for an account', async () => {
    const visitor = newVisitor(server.url)
    const form = await visitor.follow(await visitor.open(redirect({ action: 'register' })))
    const made = await submitTo(visitor, form, 'register', { username: 'newcomer', password: 'a password' })
    const page = await visitor.follow(made)
    const body = { type: 'm.login.token', token: loginTokenIn(await submitTo(visitor, page, 'login')) }
    expect((await server.request('POST', `${api}/login`, { body })).body['user_id']).toBe(
      '@newcomer:test.local',
    )
  })
})

describe('a login token is not given', () => {
  it('without consent to the very client', async () => {
    const alice = await signedIn(server, 'alice')
    const page = await alice.follow(await alice.open(redirect()))
    const evil = { request: 'login?redirectUrl=https%3A%2F%2Fevil.test%2F' }
    expect((await submitTo(alice, page, 'login', evil)).status).toBe(403)
    const other = await signedIn(server, 'alice')
    const forged = await submitTo(other, page, 'login')
    expect([forged.status, forged.location]).toEqual([403, null])
    expect(formOf(page, 'login').fields['request']).toContain('client.test')
  })

  it.each(['javascript:alert(1)', 'data:text/html,x', '', 'https://user@client.test/'])(
    'to %j',
    async (redirectUrl) => {
      const alice = await signedIn(server, 'alice')
      const page = await alice.follow(await alice.open(redirect({ redirectUrl })))
      expect([page.status, page.location]).toEqual([400, null])
    },
  )
})

describe('with identity providers', () => {
  let provider: FakeProvider
  beforeAll(async () => {
    provider = await startFakeProvider()
  })
  afterAll(() => provider.stop())
  const providers = () =>
    JSON.stringify([
      {
        id: 'fake',
        name: 'Fake',
        issuer: provider.issuer,
        client_id: clientId,
        client_secret: clientSecret,
        register: true,
      },
    ])

  it('the pages offer them beside the password', async () => {
    const both = await startOauthServer({ SSO_PROVIDERS: providers() })
    expect(await ssoFlow(both)).toMatchObject({
      identity_providers: [{ id: 'fake' }],
      oauth_aware_preferred: true,
    })
    const visitor = newVisitor(both.url)
    const page = await visitor.follow(await visitor.open(redirect()))
    expect(page.text).toContain('autocomplete="current-password"')
    const href = /href="([^"]*)">Continue with Fake</.exec(page.text)?.[1]?.replaceAll('&amp;', '&') ?? ''
    const { location } = await visitor.open(href)
    const back = await visitor.open(
      provider.signIn(location ?? '', { sub: 'bob', preferred_username: 'bob' }).href,
    )
    const asked = await visitor.follow(back)
    expect(asked.text).toContain('@bob:test.local')
    const body = { type: 'm.login.token', token: loginTokenIn(await submitTo(visitor, asked, 'login')) }
    expect((await both.request('POST', `${api}/login`, { body })).body['user_id']).toBe('@bob:test.local')
    await both.stop()
  })

  it('nothing else is in between where there are no passwords', async () => {
    const sole = await startOauthServer({ SSO_PROVIDERS: providers(), PASSWORD_LOGIN: 'off' })
    expect(await ssoFlow(sole)).toMatchObject({ oauth_aware_preferred: true })
    const answer = await newVisitor(sole.url).open(redirect())
    expect(answer.location?.startsWith(provider.issuer)).toBe(true)
    await sole.stop()
  })
})
