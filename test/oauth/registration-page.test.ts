// Getting an account on the pages, on the way into an application. Specification: client-server API, "User registration" of the OAuth 2.0
// API.

import { expect, it } from 'vitest'
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
