// A forgotten password, on the pages: somebody whose applications use the OAuth 2.0 API has no other way back. Specification: client-server
// API, "Password management".

import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Mailbox, mailbox, mailVars } from '../support/mailbox.ts'
import {
  newOauthClient,
  type OauthClient,
  signedIn,
  startOauthServer,
  submitTo,
} from '../support/oauth-client.ts'
import type { TestServer } from '../support/server.ts'
import { newVisitor, type Shown, type Visitor } from '../support/sso-visitor.ts'

let box: Mailbox
let server: TestServer
let client: OauthClient
beforeAll(async () => {
  box = mailbox()
  server = await startOauthServer({ MAIL_FROM: mailVars.MAIL_FROM }, { mail: box.handler })
  client = await newOauthClient(server)
})
afterAll(() => server.stop())

const newUser = async (localpart: string) => {
  const account = await server.register(localpart)
  const db = await server.mf.getD1Database('DB')
  await db
    .prepare("INSERT INTO threepids VALUES ('email', ?, ?, 1, 1)")
    .bind(`${localpart}@example.org`, account.userId)
    .run()
  return account
}
const confirmMail = async (address: string) => {
  const mail = (await box.mailsTo(address)).at(-1)
  const link = mail?.text.split(/\s+/).find((word) => word.startsWith(server.url))
  await server.fetch('/_matrix/client/unstable/hearth/email/confirm', {
    method: 'POST',
    body: new URL(link ?? '').searchParams,
    redirect: 'manual',
  })
}
/** Up to the page that waits for the mail to be answered. */
const askFor = async (visitor: Visitor, email: string): Promise<Shown> => {
  const signIn = await visitor.open(client.request('LOST').path)
  const href = /href="([^"]*\/recover\?[^"]*)"/.exec(signIn.text)?.[1]?.replaceAll('&amp;', '&') ?? ''
  return await submitTo(visitor, await visitor.open(href), 'recover', { email })
}
const chosen = { new_password: 'another password', again: 'another password' }

it('is replaced by who has the address of the account, and they go on into the application', async () => {
  await newUser('alice')
  const thief = await signedIn(server, 'alice')
  const visitor = newVisitor(server.url)
  const waiting = await askFor(visitor, 'Alice@example.org')
  expect(waiting.text).toContain('alice@example.org')
  const early = await submitTo(visitor, waiting, 'recover/password', chosen)
  expect([early.status, early.text.includes('not been confirmed yet')]).toEqual([403, true])
  await confirmMail('alice@example.org')
  for (const wrong of [{ again: 'something else' }, { new_password: 'short', again: 'short' }]) {
    expect((await submitTo(visitor, early, 'recover/password', { ...chosen, ...wrong })).status).toBe(400)
  }
  const done = await submitTo(visitor, early, 'recover/password', chosen)
  const consent = await visitor.follow(done)
  expect([
    consent.text.includes('Let this application in?'),
    consent.text.includes('@alice:test.local'),
  ]).toEqual([true, true])
  expect((await thief.open(client.request('THIEF').path)).text).toContain('Sign in')
  // Once.
  const other = { new_password: 'a third password', again: 'a third password' }
  expect((await submitTo(visitor, early, 'recover/password', other)).status).toBe(403)
  const again = newVisitor(server.url)
  const signIn = await again.open(client.request('AGAIN').path)
  expect(
    (await submitTo(again, signIn, 'sign-in', { user: 'alice', password: 'another password' })).status,
  ).toBe(303)
})

describe('nobody', () => {
  it('learns whether an address has an account', async () => {
    await newUser('bob')
    const pages = [
      await askFor(newVisitor(server.url), 'bob@example.org'),
      await askFor(newVisitor(server.url), 'bab@example.org'),
    ]
    const [one, two] = pages.map(({ status, text }) => ({
      status,
      text: text.replaceAll(/value="[^"]*"|nonce="[^"]*"/g, '').replaceAll('bob@', 'bab@'),
    }))
    expect(one).toEqual(two)
  })

  it('but the browser that asked goes on with what the mail was for', async () => {
    await newUser('carol')
    const waiting = await askFor(newVisitor(server.url), 'carol@example.org')
    await confirmMail('carol@example.org')
    const mallory = newVisitor(server.url)
    await mallory.open(client.request('M').path)
    const answer = await submitTo(mallory, waiting, 'recover/password', chosen)
    expect([answer.status, answer.location]).toEqual([403, null])
  })

  it('who is locked gets in by it', async () => {
    const { userId } = await newUser('dave')
    const visitor = newVisitor(server.url)
    const waiting = await askFor(visitor, 'dave@example.org')
    await confirmMail('dave@example.org')
    const db = await server.mf.getD1Database('DB')
    await db.prepare('UPDATE users SET locked = 1 WHERE user_id = ?').bind(userId).run()
    const answer = await submitTo(visitor, waiting, 'recover/password', chosen)
    expect([answer.status, answer.text.includes('Your account is locked')]).toEqual([403, true])
  })
})

it('has no page where the server sends no mail', async () => {
  const silent = await startOauthServer()
  const visitor = newVisitor(silent.url)
  const { path } = (await newOauthClient(silent)).request('X')
  expect((await visitor.open(path)).text).not.toContain('/recover')
  await silent.stop()
})
