// What sessions of the OAuth 2.0 API may do that takes more than an access token: new cross-signing keys alone. Specification:
// client-server API, "OAuth authentication", "OAuth 2.0 API"; MSC4312.

import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { JsonObject } from '../../src/matrix/json.ts'
import { signingKeys, signingKeysUpload } from '../support/device-keys.ts'
import { mailbox, mailVars } from '../support/mailbox.ts'
import {
  logIn,
  newOauthClient,
  oauthPath,
  type OauthClient,
  passSignIn,
  signedIn,
  startOauthServer,
  submitTo,
} from '../support/oauth-client.ts'
import { refusal, roomClient, type RoomClient } from '../support/room-client.ts'
import type { TestServer } from '../support/server.ts'
import { newVisitor } from '../support/sso-visitor.ts'
import { textOf } from '../support/text-of.ts'

let server: TestServer
let client: OauthClient
beforeAll(async () => {
  server = await startOauthServer({ MAIL_FROM: mailVars.MAIL_FROM }, { mail: mailbox().handler })
  client = await newOauthClient(server)
})
afterAll(() => server.stop())

async function oauthUser(localpart: string): Promise<RoomClient> {
  const { userId } = await server.register(localpart)
  const tokens = await logIn(client, await signedIn(server, localpart), 'OAUTH')
  return roomClient(server, { userId, token: tokens.access_token, deviceId: 'OAUTH' })
}

const path = '/keys/device_signing/upload'
const newKeys = ({ userId }: RoomClient): JsonObject => signingKeysUpload(signingKeys(userId))
const again = (session: string) => ({ auth: { session } })

/** Agrees to new keys on the page that a client was told. */
async function allowReset(url: string, localpart: string): Promise<void> {
  const visitor = newVisitor(server.url)
  const page = await passSignIn(visitor, await visitor.open(url), localpart)
  const done = await submitTo(visitor, page, 'account/reset-cross-signing', {
    password: `password of ${localpart}`,
  })
  expect([done.status, done.text.includes('Done')]).toEqual([200, true])
}

describe('MSC4312: new cross-signing keys', () => {
  it('MSC3967: are uploaded without more ado where there are none', async () => {
    const alice = await oauthUser('alice')
    const keys = newKeys(alice)
    await alice.done('POST', path, keys)
    await alice.done('POST', path, keys)
  })

  it('take the place of others once their user has agreed on the account page, once', async () => {
    const bob = await oauthUser('bob')
    await bob.done('POST', path, newKeys(bob))
    const keys = newKeys(bob)
    const asked = await bob.call('POST', path, keys)
    const url = `${server.url}${oauthPath}/account?action=org.matrix.cross_signing_reset`
    expect(asked).toMatchObject({
      status: 401,
      body: {
        flows: [{ stages: ['m.oauth'] }, { stages: ['org.matrix.cross_signing_reset'] }],
        params: { 'm.oauth': { url }, 'org.matrix.cross_signing_reset': { url } },
      },
    })
    const session = textOf(asked.body, 'session')
    // Not before that.
    expect((await bob.call('POST', path, { ...keys, ...again(session) })).status).toBe(401)
    await allowReset(url, 'bob')
    expect((await bob.call('POST', path, { ...keys, ...again(session) })).status).toBe(200)
    // The consent was for one.
    const more = newKeys(bob)
    const next = await bob.call('POST', path, more)
    expect(next.status).toBe(401)
    expect((await bob.call('POST', path, { ...more, ...again(textOf(next.body, 'session')) })).status).toBe(
      401,
    )
  })

  it('take no password, no other stage, and nobody else’s consent', async () => {
    const carol = await oauthUser('carol')
    await carol.done('POST', path, newKeys(carol))
    const keys = newKeys(carol)
    const asked = await carol.call('POST', path, keys)
    const session = textOf(asked.body, 'session')
    for (const auth of [
      {
        type: 'm.login.password',
        identifier: { type: 'm.id.user', user: 'carol' },
        password: 'password of carol',
      },
      { type: 'm.login.dummy' },
      { type: 'm.oauth' },
      { type: 'org.matrix.cross_signing_reset' },
    ]) {
      expect((await carol.call('POST', path, { ...keys, auth: { ...auth, session } })).status).toBe(401)
    }
    await server.register('mallory')
    await allowReset(`${oauthPath}/account?action=org.matrix.cross_signing_reset`, 'mallory')
    expect((await carol.call('POST', path, { ...keys, ...again(session) })).status).toBe(401)
  })

  it('may be asked for by the name of the stage, as some clients do', async () => {
    const grace = await oauthUser('grace')
    await grace.done('POST', path, newKeys(grace))
    const keys = newKeys(grace)
    const session = textOf((await grace.call('POST', path, keys)).body, 'session')
    await allowReset(`${oauthPath}/account?action=org.matrix.cross_signing_reset`, 'grace')
    const auth = { type: 'org.matrix.cross_signing_reset', session }
    expect((await grace.call('POST', path, { ...keys, auth })).status).toBe(200)
  })

  it('are agreed to for ten minutes', async () => {
    const dave = await oauthUser('dave')
    await dave.done('POST', path, newKeys(dave))
    const keys = newKeys(dave)
    const session = textOf((await dave.call('POST', path, keys)).body, 'session')
    await allowReset(`${oauthPath}/account?action=org.matrix.cross_signing_reset`, 'dave')
    const db = await server.mf.getD1Database('DB')
    const until = await db
      .prepare('SELECT expires_at FROM cross_signing_resets WHERE user_id = ?')
      .bind(dave.userId)
      .first<number>('expires_at')
    expect(Number(until) - Date.now()).toBeLessThanOrEqual(600_000)
    await db.prepare('UPDATE cross_signing_resets SET expires_at = 1').run()
    expect((await dave.call('POST', path, { ...keys, ...again(session) })).status).toBe(401)
  })

  it('of a session that logged in by password still take that', async () => {
    const account = await server.register('legacy')
    const legacy = roomClient(server, account)
    await legacy.done('POST', path, newKeys(legacy))
    expect((await legacy.call('POST', path, newKeys(legacy))).body['flows']).toEqual([
      { stages: ['m.login.password'] },
    ])
  })

  it('the fallback page of the stage leads to the account page', async () => {
    const erin = await oauthUser('erin')
    await erin.done('POST', path, newKeys(erin))
    const session = textOf((await erin.call('POST', path, newKeys(erin))).body, 'session')
    const { location } = await newVisitor(server.url).open(
      `/_matrix/client/v3/auth/m.oauth/fallback/web?session=${session}`,
    )
    expect(location).toContain('/account?action=org.matrix.cross_signing_reset')
  })
})

describe('MSC3861: whatever else takes interactive authentication', () => {
  let frank: RoomClient
  const auth = {
    type: 'm.login.password',
    identifier: { type: 'm.id.user', user: 'frank' },
    password: 'password of frank',
  }
  beforeAll(async () => {
    frank = await oauthUser('frank')
  })

  it.each<[string, string, JsonObject]>([
    ['DELETE', '/devices/OAUTH', {}],
    ['POST', '/delete_devices', { devices: ['OAUTH'] }],
    ['POST', '/account/password', { new_password: 'another password' }],
    ['POST', '/account/deactivate', {}],
    ['POST', '/account/3pid/add', { sid: 'x', client_secret: 'x' }],
    ['POST', '/../v1/login/get_token', {}],
  ])('%s %s is left to the account page, with a password or without', async (method, target, body) => {
    expect(await frank.call(method, target, body)).toEqual(refusal(403, 'M_FORBIDDEN'))
    expect(await frank.call(method, target, { ...body, auth })).toEqual(refusal(403, 'M_FORBIDDEN'))
  })

  it('is no capability of the session', async () => {
    const { capabilities } = (await frank.done('GET', '/capabilities')) as { capabilities: JsonObject }
    for (const name of ['m.change_password', 'm.3pid_changes', 'm.get_login_token']) {
      expect(capabilities[name]).toEqual({ enabled: false })
    }
  })
})
