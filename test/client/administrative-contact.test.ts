// E-mail addresses of accounts: added, listed, removed, over HTTP.

import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import type { JsonObject } from '../../src/matrix/json.ts'
import { confirm, mailbox, mailVars } from '../support/mailbox.ts'
import { newClient, refusal, type RoomClient, roomClient } from '../support/room-client.ts'
import { startServer, type TestServer } from '../support/server.ts'
import { textOf } from '../support/text-of.ts'

const box = mailbox()
let server: TestServer
beforeAll(async () => {
  server = await startServer({ mail: box.handler, vars: mailVars })
})
afterAll(() => server.stop())

let n = 0
let alice: RoomClient
let address: string
beforeEach(async () => {
  n += 1
  box.received.length = 0
  address = `alice${n}@example.org`
  alice = await newClient(server, `alice${n}`)
})

/** A session in which an address was validated. */
async function validated(client: RoomClient, email = address, secret = client.deviceId) {
  const requested = await client.done('POST', '/account/3pid/email/requestToken', {
    client_secret: secret,
    email,
    send_attempt: 1,
  })
  const mail = (await box.mailsTo(email)).at(-1)
  if (!mail) throw new Error('no mail')
  await confirm(server, mail)
  return { sid: textOf(requested, 'sid'), client_secret: secret }
}

const auth = (client: RoomClient): JsonObject => ({
  type: 'm.login.password',
  identifier: { type: 'm.id.user', user: client.userId },
  password: `password of ${client.userId.slice(1, client.userId.indexOf(':'))}`,
})

/** Adds what was validated, with interactive authentication. */
async function add(client: RoomClient, credentials: JsonObject) {
  const first = await client.call('POST', '/account/3pid/add', credentials)
  expect(first.status).toBe(401)
  return await client.call('POST', '/account/3pid/add', {
    ...credentials,
    auth: { ...auth(client), session: first.body.session ?? '' },
  })
}

const listed = async (client: RoomClient) => (await client.done('GET', '/account/3pid')).threepids

describe('an address', () => {
  it('is added with the password, once it is validated', async () => {
    expect(await listed(alice)).toEqual([])
    const before = Date.now()
    expect(await add(alice, await validated(alice))).toMatchObject({ status: 200, body: {} })
    expect(await listed(alice)).toEqual([
      { medium: 'email', address, validated_at: expect.any(Number), added_at: expect.any(Number) },
    ])
    const [{ validated_at: validatedAt, added_at: addedAt }] = (await listed(alice)) as [
      Record<string, number>,
    ]
    expect(validatedAt).toBeGreaterThanOrEqual(before)
    expect(addedAt).toBeGreaterThanOrEqual(validatedAt ?? NaN)
  })

  it('is one of several', async () => {
    await add(alice, await validated(alice))
    await add(alice, await validated(alice, `more${address}`))
    expect(await listed(alice)).toMatchObject([{ address }, { address: `more${address}` }])
  })

  it('is not added by who does not have it', async () => {
    const requested = await alice.done('POST', '/account/3pid/email/requestToken', {
      client_secret: 's',
      email: address,
      send_attempt: 1,
    })
    const pending = { sid: textOf(requested, 'sid'), client_secret: 's' }
    expect(await add(alice, pending)).toEqual(refusal(403, 'M_THREEPID_AUTH_FAILED'))
    const valid = await validated(alice)
    for (const wrong of [
      { ...valid, client_secret: 'other' },
      { ...valid, sid: 'other' },
    ]) {
      expect(await add(alice, wrong)).toEqual(refusal(403, 'M_THREEPID_AUTH_FAILED'))
    }
    const db = await server.mf.getD1Database('DB')
    await db.prepare('UPDATE threepid_validations SET expires_at = 1').run()
    expect(await add(alice, valid)).toEqual(refusal(403, 'M_THREEPID_AUTH_FAILED'))
    expect(await listed(alice)).toEqual([])
  })

  it('is not added with what was validated for a registration', async () => {
    const request = { client_secret: 's', email: address, send_attempt: 1 }
    const requested = await alice.done('POST', '/register/email/requestToken', request)
    const [mail] = await box.mailsTo(address)
    if (mail) await confirm(server, mail)
    const answer = await add(alice, { sid: textOf(requested, 'sid'), client_secret: 's' })
    expect(answer).toEqual(refusal(403, 'M_THREEPID_AUTH_FAILED'))
  })

  it('has one account: that of who comes first', async () => {
    const bob = await newClient(server, `bob${n}`)
    const [forAlice, forBob] = [await validated(alice), await validated(bob)]
    expect((await add(alice, forAlice)).status).toBe(200)
    expect(await add(bob, forBob)).toEqual(refusal(400, 'M_THREEPID_IN_USE'))
    expect(await listed(bob)).toEqual([])
    expect(await listed(alice)).toMatchObject([{ address }])
  })

  it('has one account when two add it at once', async () => {
    const clients = [alice, await newClient(server, `bob${n}`)]
    const credentials: JsonObject[] = []
    for (const client of clients) credentials.push(await validated(client))
    const answers = await Promise.all(clients.map((client, at) => add(client, credentials[at] ?? {})))
    expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([200, 400]))
    expect((await Promise.all(clients.map(listed))).flat().length).toBe(1)
  })

  it('is added once, when the client asks again because the answer was lost', async () => {
    const credentials = await validated(alice)
    await add(alice, credentials)
    expect((await add(alice, credentials)).status).toBe(200)
    expect(await listed(alice)).toMatchObject([{ address }])
    // But not again once it was removed.
    await alice.done('POST', '/account/3pid/delete', { medium: 'email', address })
    expect(await add(alice, credentials)).toEqual(refusal(403, 'M_THREEPID_AUTH_FAILED'))
    expect(await listed(alice)).toEqual([])
  })

  it('is removed by its owner alone, however it is written', async () => {
    await add(alice, await validated(alice))
    const bob = await newClient(server, `bob${n}`)
    const removal = { medium: 'email', address: `ALICE${n}@Example.Org` }
    expect((await bob.call('POST', '/account/3pid/delete', removal)).body).toEqual({
      id_server_unbind_result: 'no-support',
    })
    expect(await listed(alice)).toMatchObject([{ address }])
    expect((await alice.call('POST', '/account/3pid/delete', removal)).body).toEqual({
      id_server_unbind_result: 'no-support',
    })
    expect(await listed(alice)).toEqual([])
    expect((await alice.call('POST', '/account/3pid/delete', { medium: 'email' })).status).toBe(400)
    // It is free for others then.
    expect((await add(bob, await validated(bob))).status).toBe(200)
  })

  it('is free again when the account is deactivated', async () => {
    await add(alice, await validated(alice))
    await alice.done('POST', '/account/deactivate', { auth: auth(alice) })
    const bob = await newClient(server, `bob${n}`)
    expect((await add(bob, await validated(bob))).status).toBe(200)
  })
})

it('MSC3823: a suspended user adds addresses, but removes none', async () => {
  await add(alice, await validated(alice))
  const db = await server.mf.getD1Database('DB')
  await db.prepare('UPDATE users SET suspended = 1 WHERE user_id = ?').bind(alice.userId).run()
  // Of an earlier session it may not be known yet.
  const login = await alice.done('POST', '/login', auth(alice))
  const suspended = roomClient(server, { ...alice, token: textOf(login, 'access_token') })
  const removal = { medium: 'email', address }
  expect(await suspended.call('POST', '/account/3pid/delete', removal)).toEqual(
    refusal(403, 'M_USER_SUSPENDED'),
  )
  expect((await add(suspended, await validated(suspended, `more${address}`))).status).toBe(200)
})

it('clients are told that they can change addresses', async () => {
  expect(await alice.done('GET', '/capabilities')).toMatchObject({
    capabilities: { 'm.3pid_changes': { enabled: true } },
  })
})
