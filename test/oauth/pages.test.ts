// The pages of the OAuth 2.0 API, as browsers are to take them: kept to themselves, and no stepping stone to elsewhere. RFC 9700,
// sections 4.7, 4.11.2 and 4.16.

import { once } from 'node:events'
import { createServer, request } from 'node:http'
import * as oauth from 'oauth4webapi'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { JsonObject } from '../../src/matrix/json.ts'
import { appRoutes } from '../../scripts/coverage.ts'
import {
  answerIn,
  formOf,
  nativeClient,
  newOauthClient,
  oauthPath,
  type OauthClient,
  passSignIn,
  signedIn,
  startOauthServer,
  submitTo,
  webClient,
} from '../support/oauth-client.ts'
import { freePort } from '../support/launcher.ts'
import type { TestServer } from '../support/server.ts'
import { newVisitor } from '../support/sso-visitor.ts'

const account = `${oauthPath}/account`

let server: TestServer
let client: OauthClient
beforeAll(async () => {
  server = await startOauthServer()
  await server.register('alice')
  client = await newOauthClient(server)
})
afterAll(() => server.stop())

const endpoints = ['register-client', 'token', 'revoke', 'device-authorization']
const routes = appRoutes()
  .filter(({ path }) => path.startsWith(`${oauthPath}/`))
  .map(({ method, path }) => ({
    method,
    path,
    isPage: !endpoints.includes(path.slice(oauthPath.length + 1)),
  }))

describe.each(routes)('$method $path', ({ method, path, isPage }) => {
  it(isPage ? 'is nothing for other sites' : 'is there for applications of other sites', async () => {
    const headers = { Origin: 'https://client.test' }
    const answer = await server.fetch(path, { method, headers })
    const asked = await server.fetch(path, {
      method: 'OPTIONS',
      headers: { ...headers, 'Access-Control-Request-Method': method },
    })
    for (const { headers: given } of [answer, asked]) {
      expect(given.get('Access-Control-Allow-Origin')).toBe(isPage ? null : '*')
    }
    if (!isPage) return
    expect(answer.headers.get('Cache-Control')).toBe('no-store')
    expect(answer.headers.get('Content-Security-Policy')).toContain("frame-ancestors 'none'")
    expect(answer.headers.get('X-Frame-Options')).toBe('DENY')
    expect(answer.headers.get('Referrer-Policy')).toBe('no-referrer')
  })
})

it('HEAD is GET without a body', async () => {
  for (const path of [client.request('HEAD').path, account]) {
    const answer = await server.fetch(path, { method: 'HEAD' })
    expect([answer.status, await answer.text()]).toEqual([200, ''])
  }
})

describe('somebody whom a link leads here', () => {
  it('goes to no application that asks for nonsense, unless they want to', async () => {
    for (const visitor of [newVisitor(server.url), await signedIn(server, 'alice')]) {
      const shown = await visitor.open(client.request('X', { scope: 'nonsense' }).path)
      expect([shown.status, shown.location]).toEqual([400, null])
      expect(shown.text).toContain('client.test')
      expect(answerIn(shown).get('error')).toBe('invalid_scope')
    }
  })

  it('reads nothing that whoever made the link wants to say, nor does the application', async () => {
    const words = 'Your account is "locked", call\u00a01234'
    const query = new URLSearchParams([
      [words, '1'],
      [words, '2'],
    ])
    const shown = await newVisitor(server.url).open(`${client.request('X').path}&${query.toString()}`)
    expect([shown.status, shown.text.includes('1234')]).toEqual([400, false])
    // RFC 6749, section 4.1.2.1.
    expect(answerIn(shown).get('error_description')).toMatch(/^[\x20-\x21\x23-\x5b\x5d-\x7e]+$/)
  })

  it('is told where the way back leads', async () => {
    const { text } = await newVisitor(server.url).open(client.request('X').path)
    expect(text).toMatch(/href="https:\/\/client\.test\/callback#error=access_denied[^"]*">[^<]*client\.test/)
  })

  it('still finds it after a wrong password', async () => {
    const visitor = newVisitor(server.url)
    const page = await visitor.open(client.request('X').path)
    const again = await submitTo(visitor, page, 'sign-in', { user: 'alice', password: 'wrong' })
    expect(again.status).toBe(403)
    expect(answerIn(again).get('error')).toBe('access_denied')
  })
})

describe('who asks for consent', () => {
  const asks = async (metadata: JsonObject, changes = {}) => {
    const visitor = await signedIn(server, 'alice')
    return (await visitor.open((await newOauthClient(server, metadata)).request('ASKS', changes).path)).text
  }

  it('is named shortly, apart from the text around, and with the site they have proved to have', async () => {
    const name = `\u05d0 of server.test, which you know.${' Go on.'.repeat(30)}`
    const text = await asks({ ...webClient, client_name: name })
    expect(text).toMatch(/<bdi>\u05d0 of server\.test.{0,60}…<\/bdi>/)
    expect(text).toContain('<a href="https://client.test/"')
    expect(text).not.toContain('is what it says itself')
    expect(text).not.toContain('<img')
  })

  it('is not taken for the site whose application they say to be', async () => {
    const text = await asks(nativeClient, { redirect_uri: 'http://127.0.0.1:8000/callback' })
    expect(text).toContain('It is reached at <b>http://127.0.0.1:8000</b>')
    expect(text).toContain('is what it says itself')
  })

  it('is shown with another site or port that gets the answer', async () => {
    const redirectUri = 'https://other.client.test:8443/callback'
    expect(await asks({ ...webClient, redirect_uris: [redirectUri] })).toContain(
      'It is reached at <b>other.client.test:8443</b>',
    )
  })

  it('has a name that is read letter by letter', async () => {
    // With a Cyrillic letter.
    const clientUri = 'https://cli\u0435nt.test/'
    const text = await asks({
      ...webClient,
      client_uri: clientUri,
      tos_uri: null,
      policy_uri: null,
      redirect_uris: [clientUri],
    }).catch(String)
    expect(text).toContain('invalid_redirect_uri')
    const written = new URL(clientUri).href
    const shown = await asks({ client_uri: clientUri, redirect_uris: [written] })
    expect(shown).toContain(new URL(clientUri).hostname)
    expect(new URL(clientUri).hostname).toMatch(/^xn--/)
    expect(shown).not.toContain('\u0435')
  })
})

describe('in two tabs', () => {
  it('two applications are let in, each with its own', async () => {
    const other = await newOauthClient(server, {
      client_uri: 'https://other.test/',
      redirect_uris: ['https://other.test/'],
    })
    const visitor = newVisitor(server.url)
    const tabs = [
      await visitor.open(client.request('ONE').path),
      await visitor.open(other.request('TWO').path),
    ]
    const [one, two] = tabs
    if (!one || !two) throw new Error('no tabs')
    const first = await passSignIn(visitor, one, 'alice')
    // Its form is of before the sign-in: they go on all the same.
    const second = await visitor.follow(
      await submitTo(visitor, two, 'sign-in', { user: 'alice', password: 'password of alice' }),
    )
    for (const [page, location] of [
      [second, 'https://other.test/#code='],
      [first, 'https://client.test/callback#code='],
    ] as const) {
      const answer = await submitTo(visitor, page, 'consent', { decision: 'allow' })
      expect(answer.location?.startsWith(location)).toBe(true)
    }
  })

  it('somebody whose cookie has gone meanwhile signs in at the second attempt', async () => {
    const visitor = newVisitor(server.url)
    const page = await visitor.open(client.request('GONE').path)
    visitor.cookies.clear()
    const again = await submitTo(visitor, page, 'sign-in', { user: 'alice', password: 'password of alice' })
    expect([again.status, again.text.includes('Please try again')]).toEqual([403, true])
    expect(formOf(again, 'sign-in').fields['next']).toBe(formOf(page, 'sign-in').fields['next'])
    expect((await passSignIn(visitor, again, 'alice')).text).toContain('Let this application in?')
  })
})

describe('accounts', () => {
  it('are to be had from the sign-in page', async () => {
    const visitor = newVisitor(server.url)
    const page = await visitor.open(client.request('NEWCOMER').path)
    const href = /href="([^"]*\/register\?[^"]*)"/.exec(page.text)?.[1]?.replaceAll('&amp;', '&') ?? ''
    const form = await visitor.open(href)
    expect(answerIn(form).get('error')).toBe('access_denied')
    const made = await submitTo(visitor, form, 'register', { username: 'newcomer', password: 'a password' })
    expect((await visitor.follow(made)).text).toContain('@newcomer:test.local')
  })

  it('end the sign-in of another one that the browser had', async () => {
    const visitor = await signedIn(server, 'alice')
    const [before] = [...visitor.cookies.entries()]
    const form = await visitor.open(`${oauthPath}/register?next=account`)
    await submitTo(visitor, form, 'register', { username: 'another', password: 'a password' })
    expect((await visitor.open(account)).text).toContain('@another:test.local')
    const thief = newVisitor(server.url)
    if (before) thief.cookies.set(...before)
    expect((await thief.open(account)).text).toContain('Sign in')
  })
})

describe('somebody who comes back to a page', () => {
  it.each([
    'sign-in',
    'sign-out',
    'consent',
    'recover/password',
    'account/password',
    'account/deactivate',
    'account/confirm-address',
  ])('that was an answer to a form, /%s, finds one to go on from', async (page) => {
    const answer = await newVisitor(server.url).open(`${oauthPath}/${page}`)
    expect([answer.status, answer.location]).toEqual([302, `${server.url}${account}`])
  })

  it('that asked for consent before they became somebody else can have it shown again', async () => {
    const visitor = await signedIn(server, 'alice')
    const { path } = client.request('STALE')
    const page = await visitor.open(path)
    await passSignIn(visitor, await visitor.follow(await submitTo(visitor, page, 'sign-out')), 'alice')
    const stale = await submitTo(visitor, page, 'consent', { decision: 'allow' })
    expect(stale.status).toBe(403)
    const href = /href="([^"]*)">Show it again</.exec(stale.text)?.[1]?.replaceAll('&amp;', '&') ?? ''
    expect(href).toBe(`${server.url}${path}`)
    // Nothing that another site says is shown again.
    const foreign = await visitor.open(`${oauthPath}/consent`, {
      method: 'POST',
      body: new URLSearchParams({ form: 'x', request: 'https://evil.test/', decision: 'allow' }),
    })
    expect([foreign.status, foreign.text.includes('evil.test')]).toEqual([400, false])
  })

  it('of a session that has ended finds the others', async () => {
    const visitor = await signedIn(server, 'alice')
    for (const [query, status] of [
      ['device_id=GONE', 404],
      ['', 200],
    ] as const) {
      const page = await visitor.open(`${account}?action=org.matrix.device_view&${query}`)
      expect([page.status, page.text.includes('Your sessions')]).toEqual([status, true])
    }
  })
})

it('answers go into the query where a client does not say otherwise', async () => {
  const visitor = await signedIn(server, 'alice')
  const page = await visitor.open(client.request('DEFAULT', { response_mode: undefined }).path)
  const answer = await submitTo(visitor, page, 'consent', { decision: 'allow' })
  expect(answer.location).toMatch(/^https:\/\/client\.test\/callback\?code=/)
})

it('passwords are not tried without end', async () => {
  const limited = await startOauthServer({ RATE_LIMITS: 'on' })
  const visitor = newVisitor(limited.url)
  const page = await visitor.open(account)
  const answers = await Promise.all(
    Array.from({ length: 40 }, (_, n) =>
      submitTo(visitor, page, 'sign-in', { user: `user${n}`, password: 'x' }),
    ),
  )
  const refused = answers.filter(({ status }) => status === 429)
  expect(refused.length).toBeGreaterThan(0)
  expect(refused[0]?.text).toContain('Too many requests')
  await limited.stop()
})

it('all of it works below a path', async () => {
  const port = await freePort()
  let target = ''
  // What operators have in front of their server.
  const proxy = createServer((incoming, outgoing) => {
    const { method, headers, url = '/' } = incoming
    const passedOn = request(`${target}${url.replace(/^\/matrix/, '')}`, { method, headers }, (answer) => {
      outgoing.writeHead(answer.statusCode ?? 502, answer.headers)
      answer.pipe(outgoing)
    })
    incoming.pipe(passedOn)
  })
  await once(proxy.listen(port, '127.0.0.1'), 'listening')
  const base = `http://127.0.0.1:${port}/matrix`
  const below = await startOauthServer({ PUBLIC_BASE_URL: base })
  target = below.url
  await below.register('alice')
  const there = await newOauthClient(below)
  const issuer = new URL(base)
  const insecure = { [oauth.allowInsecureRequests]: true } as const
  const found = await oauth.discoveryRequest(issuer, { algorithm: 'oidc', ...insecure })
  const as = await oauth.processDiscoveryResponse(new URL(`${base}/`), found)
  expect(as.authorization_endpoint).toBe(`${base}${oauthPath}/authorize`)
  const visitor = newVisitor(base)
  const wanted = there.request('BELOW')
  const asked = await visitor.open(`${base}${wanted.path}`)
  expect([...visitor.cookies.values()].map(({ path }) => path)).toEqual([`/matrix${oauthPath}`])
  const consent = await passSignIn(visitor, asked, 'alice')
  const answer = answerIn(await submitTo(visitor, consent, 'consent', { decision: 'allow' }))
  expect(answer.get('iss')).toBe(`${base}/`)
  expect((await there.exchange(answer.get('code') ?? '', wanted)).status).toBe(200)
  await below.stop()
  proxy.closeAllConnections()
  proxy.close()
})
