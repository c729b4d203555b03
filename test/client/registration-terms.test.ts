// m.login.terms at registration (MSC1692).

import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { JsonObject } from '../../src/matrix/json.ts'
import { startServer, type TestServer, testServerName } from '../support/server.ts'
import { textOf } from '../support/text-of.ts'

const path = '/_matrix/client/v3/register'
const password = 'sUp3rs3kr1t'
const policies = {
  privacy_policy: {
    version: '1.2',
    en: { name: 'Privacy <Policy>', url: 'https://example.org/privacy-1.2-en.html' },
    fr: { name: 'Politique de confidentialité', url: 'https://example.org/privacy-1.2-fr.html' },
  },
  'code.of~conduct': {
    version: '2',
    de_CH: { name: 'Verhaltensregeln', url: 'http://example.org/regeln' },
  },
}

describe('MSC1692: a server with documents to accept', () => {
  let server: TestServer
  beforeAll(async () => {
    server = await startServer({ vars: { TERMS_POLICIES: JSON.stringify(policies) } })
  })
  afterAll(() => server.stop())

  const register = (body: JsonObject) => server.request('POST', path, { body })
  const newSession = async (username: string) =>
    textOf((await register({ username, password })).body, 'session')
  const terms = (session: string) => ({ type: 'm.login.terms', session })
  async function accepted(username: string) {
    const db = await server.mf.getD1Database('DB')
    const { results } = await db
      .prepare('SELECT policy_id, version, accepted_at FROM accepted_policies WHERE user_id = ? ORDER BY 1')
      .bind(`@${username}:${testServerName}`)
      .all()
    return results
  }
  const bothAccepted = [
    { policy_id: 'code.of~conduct', version: '2', accepted_at: expect.any(Number) },
    { policy_id: 'privacy_policy', version: '1.2', accepted_at: expect.any(Number) },
  ]

  it('offers the stage with the documents as they were configured', async () => {
    const { status, body } = await register({})
    expect(status).toBe(401)
    expect(body).toEqual({
      session: expect.any(String),
      flows: [{ stages: ['m.login.terms'] }],
      params: { 'm.login.terms': { policies } },
    })
  })

  it('takes type and session for the acceptance, and keeps which versions were shown', async () => {
    const session = await newSession('cheeky')
    expect(await accepted('cheeky')).toEqual([])
    expect(await register({ username: 'cheeky', password, auth: terms(session) })).toMatchObject({
      status: 200,
    })
    expect(await accepted('cheeky')).toEqual(bothAccepted)
  })

  it('is not done with before anything was shown', async () => {
    for (const auth of [{ type: 'm.login.terms' }, { type: 'm.login.terms', session: 'made-up' }]) {
      const { status, body } = await register({ username: 'blind', password, auth })
      expect(status).toBe(401)
      expect(body).toMatchObject({ errcode: 'M_FORBIDDEN', params: { 'm.login.terms': { policies } } })
    }
    const session = await newSession('blind')
    const dummy = await register({ username: 'blind', password, auth: { type: 'm.login.dummy', session } })
    expect(dummy).toMatchObject({ status: 401, body: { errcode: 'M_FORBIDDEN' } })
    expect(await accepted('blind')).toEqual([])
  })

  it('keeps no acceptance of a registration that fails', async () => {
    const sessions = [await newSession('wanted'), await newSession('wanted')]
    const answers = await Promise.all(
      sessions.map((session) => register({ username: 'wanted', password, auth: terms(session) })),
    )
    expect(answers.map(({ status }) => status).toSorted((a, b) => a - b)).toEqual([200, 400])
    expect(await accepted('wanted')).toEqual(bothAccepted)
  })

  it('has a fallback page in the language of its reader', async () => {
    const session = await newSession('by-page')
    const page = `/_matrix/client/v3/auth/m.login.terms/fallback/web?session=${session}`
    const form = await server.fetch(page, { headers: { 'Accept-Language': 'it, fr-CH;q=0.8, en;q=0.5' } })
    const text = await form.text()
    expect(text).toContain('href="https://example.org/privacy-1.2-fr.html"')
    expect(text).toContain('lang="fr"')
    expect(text).toContain('href="http://example.org/regeln"')
    expect(text).toContain('lang="de-CH"')
    const english = await (await server.fetch(page)).text()
    expect(english).toContain('Privacy &lt;Policy&gt;')
    const done = await server.fetch(page, { method: 'POST', body: new URLSearchParams() })
    expect(await done.text()).toContain('onAuthDone')
    const registered = await register({ username: 'by-page', password, auth: { session } })
    expect(registered).toMatchObject({ status: 200 })
    expect(await accepted('by-page')).toEqual(bothAccepted)
  })

  it('has no page for a session of something else than registration', async () => {
    const session = await newSession('owner')
    const { body } = await register({ username: 'owner', password, auth: terms(session) })
    const token = textOf(body, 'access_token')
    const other = await server.request('POST', '/_matrix/client/v3/account/deactivate', { token, body: {} })
    const page = `/_matrix/client/v3/auth/m.login.terms/fallback/web?session=${textOf(other.body, 'session')}`
    for (const method of ['GET', 'POST']) expect((await server.fetch(page, { method })).status).toBe(403)
  })

  it('asks guests only when they become users', async () => {
    const { status, body } = await server.request('POST', `${path}?kind=guest`, { body: {} })
    expect(status).toBe(200)
    const username = textOf(body, 'user_id').slice(1, -testServerName.length - 1)
    const upgrade = { username, password, guest_access_token: textOf(body, 'access_token') }
    const asked = await register(upgrade)
    expect(asked).toMatchObject({ status: 401, body: { flows: [{ stages: ['m.login.terms'] }] } })
    expect(await accepted(username)).toEqual([])
    const auth = terms(textOf(asked.body, 'session'))
    expect(await register({ ...upgrade, auth })).toMatchObject({ status: 200 })
    expect(await accepted(username)).toEqual(bothAccepted)
  })
})

describe('MSC1692: documents that change', () => {
  it('are shown anew to whoever was about to accept the old ones', async () => {
    const server = await startServer({ vars: { TERMS_POLICIES: JSON.stringify(policies) } })
    const first = await server.request('POST', path, { body: { username: 'slow', password } })
    const session = textOf(first.body, 'session')
    const db = await server.mf.getD1Database('DB')
    // As if the server had started with the new version meanwhile.
    await db.prepare(`UPDATE interactive_auth_sessions SET offer = replace(offer, '"1.2"', '"1.1"')`).run()
    const auth = { type: 'm.login.terms', session }
    const answer = await server.request('POST', path, { body: { username: 'slow', password, auth } })
    expect(answer).toMatchObject({
      status: 401,
      body: { errcode: 'M_FORBIDDEN', params: { 'm.login.terms': { policies } } },
    })
    expect(answer.body.session).not.toBe(session)
    await server.stop()
  })
})

describe('registration with everything that can be asked for', () => {
  let server: TestServer
  beforeAll(async () => {
    server = await startServer({
      vars: {
        REGISTRATION: 'open',
        FIRST_USER_TOKEN: 'first',
        TERMS_POLICIES: JSON.stringify(policies),
        REGISTRATION_SHARED_SECRET: 'shared',
      },
    })
  })
  afterAll(() => server.stop())

  const register = (body: JsonObject) => server.request('POST', path, { body })

  it('offers the token of the first user until there is one', async () => {
    const first = await register({ username: 'first', password })
    expect(first.body.flows).toEqual([
      { stages: ['m.login.terms'] },
      { stages: ['m.login.registration_token', 'm.login.terms'] },
    ])
    const session = textOf(first.body, 'session')
    const token = { type: 'm.login.registration_token', token: 'first', session }
    const second = await register({ username: 'first', password, auth: token })
    expect(second).toMatchObject({ status: 401, body: { completed: ['m.login.registration_token'] } })
    const last = await register({
      username: 'first',
      password,
      auth: { type: 'm.login.terms', session },
    })
    expect(last).toMatchObject({ status: 200 })
    const db = await server.mf.getD1Database('DB')
    expect((await db.prepare('SELECT admin FROM users').all()).results).toEqual([{ admin: 1 }])
    expect((await register({})).body.flows).toEqual([{ stages: ['m.login.terms'] }])
  })

  it('asks nothing of whoever knows the shared secret', async () => {
    const nonce = await server.request('GET', '/_synapse/admin/v1/register')
    expect(nonce).toMatchObject({ status: 200, body: { nonce: expect.any(String) } })
  })
})
