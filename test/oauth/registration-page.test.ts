// Getting an account on the pages, on the way into an application. Specification: client-server API, "User registration" of the OAuth 2.0
// API.

import { expect, it } from 'vitest'
import { startFakeCaptcha } from '../support/fake-captcha.ts'
import { clientId, clientSecret, startFakeProvider } from '../support/fake-openid-provider.ts'
import { mailbox, mailVars } from '../support/mailbox.ts'
import { newOauthClient, startOauthServer, submitTo } from '../support/oauth-client.ts'
import { newVisitor } from '../support/sso-visitor.ts'

it('MSC2964: prompt=create leads to a new account, and from there into the application', async () => {
  const server = await startOauthServer()
  await server.register('taken')
  const client = await newOauthClient(server)
  const visitor = newVisitor(server.url)
  const page = await visitor.follow(await visitor.open(client.request('NEW', { prompt: 'create' }).path))
  expect(page.text).toContain('Create an account')
  const taken = await submitTo(visitor, page, 'register', { username: 'taken', password: 'a password' })
  expect([taken.status, taken.text.includes('The user name is taken')]).toEqual([400, true])
  const weak = await submitTo(visitor, taken, 'register', { username: 'newcomer', password: 'a' })
  expect(weak.status).toBe(400)
  const made = await submitTo(visitor, weak, 'register', { username: 'newcomer', password: 'a password' })
  const consent = await visitor.follow(made)
  expect(consent.text).toContain('@newcomer:test.local')
  // The form makes one account, and none for another site.
  const again = await submitTo(visitor, weak, 'register', { username: 'second', password: 'a password' })
  expect(again.status).toBe(403)
  const other = newVisitor(server.url)
  expect(
    (await submitTo(other, page, 'register', { username: 'third', password: 'a password' })).status,
  ).toBe(403)
  const answer = await submitTo(visitor, consent, 'consent', { decision: 'allow' })
  expect(answer.location).toContain('code=')
  await server.stop()
})

it('goes through what else there is to do, and cannot be done without', async () => {
  const policy = { terms: { version: '1', en: { name: 'Terms', url: 'https://documents.test/' } } }
  const server = await startOauthServer({ REGISTRATION: 'token', TERMS_POLICIES: JSON.stringify(policy) })
  const db = await server.mf.getD1Database('DB')
  await db.prepare("INSERT INTO registration_tokens (token, uses_allowed) VALUES ('open', 1)").run()
  const client = await newOauthClient(server)
  const visitor = newVisitor(server.url)
  const page = await visitor.follow(await visitor.open(client.request('NEW', { prompt: 'create' }).path))
  expect(page.text).toContain('Registration token')
  const skipped = await submitTo(visitor, page, 'register', {
    stage: 'm.login.dummy',
    username: 'new',
    password: 'a password',
  })
  expect(skipped.text).toContain('Registration token')
  const wrong = await submitTo(visitor, page, 'register', { token: 'wrong' })
  expect([wrong.status, wrong.text.includes('Invalid registration token')]).toEqual([401, true])
  const terms = await submitTo(visitor, wrong, 'register', { token: 'open' })
  expect(terms.text).toContain('https://documents.test/')
  const fields = await submitTo(visitor, terms, 'register', { 'policy terms': '1' })
  expect(fields.text).toContain('autocomplete="new-password"')
  const consent = await visitor.follow(
    await submitTo(visitor, fields, 'register', { username: 'new', password: 'a password' }),
  )
  expect(consent.text).toContain('@new:test.local')
  expect(await db.prepare('SELECT completed FROM registration_tokens').first('completed')).toBe(1)
  await server.stop()
})

it('is not there where registration is closed', async () => {
  const server = await startOauthServer({ REGISTRATION: 'closed' })
  const client = await newOauthClient(server)
  const visitor = newVisitor(server.url)
  const page = await visitor.open(client.request('NEW', { prompt: 'create' }).path)
  expect([page.status, page.text.includes('Sign in')]).toEqual([200, true])
  await server.stop()
})

it('asks for an address and has it confirmed by mail, where the server wants one', async () => {
  const box = mailbox()
  const server = await startOauthServer(
    { MAIL_FROM: mailVars.MAIL_FROM, REGISTRATION_EMAIL: 'required' },
    { mail: box.handler },
  )
  const client = await newOauthClient(server)
  const visitor = newVisitor(server.url)
  const page = await visitor.follow(await visitor.open(client.request('NEW', { prompt: 'create' }).path))
  expect(page.text).toContain('Confirm your address')
  const sent = await submitTo(visitor, page, 'register', { email: 'new@example.org' })
  expect(sent.text).toContain('A mail is on its way to new@example.org.')
  const early = await submitTo(visitor, sent, 'register', { email: '' })
  expect([early.status, early.text.includes('has not been confirmed yet')]).toEqual([401, true])
  const [mail] = await box.mailsTo('new@example.org')
  const link = mail?.text.split(/\s+/).find((word) => word.startsWith(server.url))
  await server.fetch('/_matrix/client/unstable/hearth/email/confirm', {
    method: 'POST',
    body: new URL(link ?? '').searchParams,
    redirect: 'manual',
  })
  const fields = await submitTo(visitor, early, 'register', { email: '' })
  const made = await submitTo(visitor, fields, 'register', { username: 'new', password: 'a password' })
  expect((await visitor.follow(made)).text).toContain('@new:test.local')
  // The address is theirs: they sign in with it.
  const elsewhere = newVisitor(server.url)
  const signIn = await elsewhere.open(client.request('NEW').path)
  const answer = await submitTo(elsewhere, signIn, 'sign-in', {
    user: 'new@example.org',
    password: 'a password',
  })
  expect(answer.status).toBe(303)
  await server.stop()
})

it('offers the identity providers too that give accounts, and takes no name of theirs or of a bridge', async () => {
  const provider = await startFakeProvider()
  const common = { issuer: provider.issuer, client_id: clientId, client_secret: clientSecret }
  const server = await startOauthServer({
    SSO_PROVIDERS: JSON.stringify([
      { id: 'fake', name: 'Fake', register: true, ...common },
      { id: 'staff', name: 'Staff', register: false, ...common },
    ]),
    APPSERVICE_BRIDGE: JSON.stringify({
      id: 'bridge',
      url: null,
      as_token: 'a',
      hs_token: 'h',
      sender_localpart: 'bot',
      namespaces: { users: [{ exclusive: true, regex: '@bridge_.*' }] },
    }),
  })
  const client = await newOauthClient(server)
  const visitor = newVisitor(server.url)
  const page = await visitor.follow(await visitor.open(client.request('NEW', { prompt: 'create' }).path))
  expect(page.text).toContain('autocomplete="new-password"')
  expect(page.text).toMatch(/action=register">Continue with Fake</)
  expect(page.text).not.toContain('Continue with Staff')
  for (const username of ['bridge_somebody', '_somebody', '@x:test.local', '', 'x'.repeat(256), '<b>']) {
    const answer = await submitTo(visitor, page, 'register', { username, password: 'a password' })
    expect([username, answer.status]).toEqual([username, 400])
  }
  const taken = await submitTo(visitor, page, 'register', { username: 'Somebody', password: 'a password' })
  expect((await visitor.follow(taken)).text).toContain('@somebody:test.local')
  await server.stop()
  await provider.stop()
})

it('asks whether somebody is human, where the server wants to know', async () => {
  const captcha = await startFakeCaptcha()
  const server = await startOauthServer({
    CAPTCHA: 'turnstile',
    CAPTCHA_SITE_KEY: 'site key',
    CAPTCHA_SECRET_KEY: 'secret key',
    CAPTCHA_VERIFY_URL: captcha.url,
  })
  const client = await newOauthClient(server)
  const visitor = newVisitor(server.url)
  const page = await visitor.follow(await visitor.open(client.request('NEW', { prompt: 'create' }).path))
  expect(page.text).toContain('data-sitekey="site key"')
  expect(page.headers.get('Content-Security-Policy')).toContain('https://challenges.cloudflare.com')
  const missing = await submitTo(visitor, page, 'register', { username: 'robot', password: 'a password' })
  expect([missing.status, missing.text.includes('data-sitekey')]).toEqual([401, true])
  const fields = await submitTo(visitor, missing, 'register', { 'cf-turnstile-response': 'solved' })
  const made = await submitTo(visitor, fields, 'register', { username: 'human', password: 'a password' })
  expect((await visitor.follow(made)).text).toContain('@human:test.local')
  await server.stop()
  await captcha.stop()
})
