// Whatever users, applications, providers and links call themselves is text on the pages, never markup. Specification: client-server API,
// "OAuth 2.0 API"; RFC 9700, section 4.16.

import { afterAll, beforeAll, expect, it } from 'vitest'
import {
  clientId,
  clientSecret,
  type FakeProvider,
  startFakeProvider,
} from '../support/fake-openid-provider.ts'
import { mailbox, mailVars } from '../support/mailbox.ts'
import {
  nativeClient,
  newOauthClient,
  oauthPath,
  signedIn,
  startOauthServer,
  submitTo,
  webClient,
} from '../support/oauth-client.ts'
import type { TestServer } from '../support/server.ts'
import { newVisitor, type Shown } from '../support/sso-visitor.ts'
import { textOf } from '../support/text-of.ts'

const hostile = `"'></title></p><x-evil onfocus=alert(1)>&amp;`

let server: TestServer
let provider: FakeProvider
beforeAll(async () => {
  provider = await startFakeProvider()
  const registered = {
    id: 'fake',
    name: hostile,
    issuer: provider.issuer,
    client_id: clientId,
    client_secret: clientSecret,
    register: true,
  }
  server = await startOauthServer(
    { MAIL_FROM: mailVars.MAIL_FROM, SSO_PROVIDERS: JSON.stringify([registered]) },
    { mail: mailbox().handler },
  )
  await server.register('alice')
})
afterAll(async () => {
  await server.stop()
  await provider.stop()
})

/** What a page says that is not markup of this server's: `shown` of it, as text. */
function expectText({ status, text }: Shown, shown = 'x-evil onfocus'): void {
  expect([status < 500, text.includes('<x-evil'), text.includes(hostile)]).toEqual([true, false, false])
  expect(text).toContain(shown)
}
const open = async (path: string) => await newVisitor(server.url).open(path)

it('names of sessions and of users', async () => {
  const login = await server.request('POST', '/_matrix/client/v3/login', {
    body: {
      type: 'm.login.password',
      identifier: { type: 'm.id.user', user: 'alice' },
      password: 'password of alice',
      device_id: hostile,
      initial_device_display_name: hostile,
    },
  })
  await server.request('PUT', '/_matrix/client/v3/profile/@alice:test.local/displayname', {
    token: textOf(login.body, 'access_token'),
    body: { displayname: hostile },
  })
  const alice = await signedIn(server, 'alice')
  const account = `${oauthPath}/account`
  expectText(await alice.open(account))
  const device = new URLSearchParams({ action: 'org.matrix.device_view', device_id: hostile }).toString()
  expectText(await alice.open(`${account}?${device}`))
  expectText(await alice.open(`${account}?action=org.matrix.profile`))
  const consent = await newOauthClient(server)
  const { path } = consent.request(`<x-evil>'`)
  expectText(await alice.open(path), '&lt;x-evil&gt;')
})

it('addresses', async () => {
  const address = `o'b&"rien<x-evil>@example.org`
  const visitor = newVisitor(server.url)
  const page = await visitor.open(`${oauthPath}/recover?next=account`)
  expectText(await submitTo(visitor, page, 'recover', { email: address }), 'Invalid field email')
  const waiting = await submitTo(visitor, page, 'recover', { email: `o'b&rien@example.org` })
  expectText(waiting, '<b>o&#39;b&amp;rien@example.org</b>')
})

it('what was typed in', async () => {
  const visitor = newVisitor(server.url)
  const page = await visitor.open(`${oauthPath}/account`)
  expectText(await submitTo(visitor, page, 'sign-in', { user: hostile, password: 'wrong' }))
  const register = await visitor.open(`${oauthPath}/register?next=account`)
  expectText(await submitTo(visitor, register, 'register', { username: hostile, password: 'a password' }))
  const alice = await signedIn(server, 'alice')
  expectText(
    await alice.open(`${oauthPath}/link?${new URLSearchParams({ user_code: hostile }).toString()}`),
    'no such code',
  )
})

it('names of applications, and where they are', async () => {
  const alice = await signedIn(server, 'alice')
  for (const metadata of [webClient, nativeClient]) {
    const client = await newOauthClient(server, { ...metadata, client_name: `<x-evil a="b">&` })
    expectText(await alice.open(client.request('NAMES').path), '&lt;x-evil')
  }
  for (const redirectUrl of [
    'https://client.test/"><x-evil onfocus>',
    'evil.app:/"><x-evil>/',
    'evil.app:"<x-evil>',
  ]) {
    const query = new URLSearchParams({ redirectUrl }).toString()
    const page = await alice.follow(await alice.open(`/_matrix/client/v3/login/sso/redirect?${query}`))
    expectText(page, '@alice:test.local')
    expect(page.headers.get('Content-Security-Policy')).not.toContain('x-evil')
  }
})

it('what a link has in it', async () => {
  const client = await newOauthClient(server)
  expectText(await open(client.request('L', { state: hostile, response_type: hostile }).path), 'Back to')
  expectText(await open(client.request('L', { state: hostile }).path), 'Sign in')
  expectText(await open(client.request('L', { client_id: hostile }).path), 'not known here')
  expectText(
    await open(
      `${client.request('L').path}&${encodeURIComponent(hostile)}=1&${encodeURIComponent(hostile)}=2`,
    ),
    'comes twice',
  )
  for (const page of ['register', 'recover', 'signed-in']) {
    const query = new URLSearchParams({ next: `account?${hostile}` }).toString()
    expectText(await open(`${oauthPath}/${page}?${query}`), 'leads nowhere')
    // What may stand in a query is there as it was, and as text.
    const allowed = new URLSearchParams({ next: `account?"'><x-evil>` }).toString()
    expectText(await open(`${oauthPath}/${page}?${allowed}`), 'account?&quot;&#39;&gt;&lt;x-evil&gt;')
  }
})

it('names that identity providers have, and give', async () => {
  const visitor = newVisitor(server.url)
  const page = await visitor.open(`${oauthPath}/account`)
  expectText(page)
  const href = /class="button" href="([^"]*)"/.exec(page.text)?.[1]?.replaceAll('&amp;', '&') ?? ''
  const { location } = await visitor.open(href)
  const claims = { sub: hostile, name: hostile, preferred_username: hostile }
  const form = await visitor.follow(await visitor.open(provider.signIn(location ?? '', claims).href))
  expectText(form)
  expectText(await visitor.submit(form, { username: hostile }))
})
