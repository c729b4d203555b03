// Pushers as clients set and list them. What they are sent: test/push.

import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import type { JsonObject } from '../../src/matrix/json.ts'
import { pusherBody } from '../support/fake-gateway.ts'
import { newClient, refusal, roomClient, type RoomClient } from '../support/room-client.ts'
import { startServer, type TestServer } from '../support/server.ts'
import { textOf } from '../support/text-of.ts'

const url = 'https://gateway.test/_matrix/push/v1/notify'

let server: TestServer
beforeAll(async () => {
  server = await startServer({ vars: { HUB_SHARDS: '2' } })
})
afterAll(() => server.stop())

let alice: RoomClient
let bob: RoomClient
let n = 0
async function freshUsers(): Promise<void> {
  n += 1
  alice = await newClient(server, `alice${n}`)
  bob = await newClient(server, `bob${n}`)
}

const set = (client: RoomClient, body: JsonObject) => client.call('POST', '/pushers/set', body)

async function pushkeysOf(client: RoomClient): Promise<unknown[]> {
  const { pushers } = await client.done('GET', '/pushers')
  return (pushers as JsonObject[]).map(({ pushkey }) => pushkey)
}

/** Another session of a user. */
async function secondDevice({ userId }: RoomClient, password: string): Promise<RoomClient> {
  const body = { type: 'm.login.password', identifier: { type: 'm.id.user', user: userId }, password }
  const answer = await server.request('POST', '/_matrix/client/v3/login', { body })
  const [token, deviceId] = [textOf(answer.body, 'access_token'), textOf(answer.body, 'device_id')]
  return roomClient(server, { userId, token, deviceId })
}

describe('a pusher', () => {
  beforeEach(freshUsers)

  it('is listed as it was set, custom data and all', async () => {
    const data = { url, format: 'event_id_only', brand: { name: 'x' } }
    const body = pusherBody('key', url, { profile_tag: 'tag', data })
    expect(await set(alice, body)).toMatchObject({ status: 200, body: {} })
    expect(await alice.done('GET', '/pushers')).toEqual({ pushers: [body] })
    expect(await pushkeysOf(bob)).toEqual([])
  })

  it('with the same app and pushkey replaces the one before', async () => {
    await set(alice, pusherBody('key', url))
    await set(alice, pusherBody('key', url, { lang: 'de' }))
    await set(alice, pusherBody('key', url, { app_id: 'other.app' }))
    const { pushers } = await alice.done('GET', '/pushers')
    expect(pushers).toMatchObject([{ lang: 'de' }, { app_id: 'other.app' }])
  })

  it('of kind null is removed, and removing it again changes nothing', async () => {
    await set(alice, pusherBody('key', url))
    await set(alice, pusherBody('other', url))
    for (let times = 0; times < 2; times++) {
      const removed = await set(alice, { kind: null, app_id: 'test.app', pushkey: 'key' })
      expect(removed).toMatchObject({ status: 200, body: {} })
    }
    expect(await pushkeysOf(alice)).toEqual(['other'])
  })

  it('takes the place of those of other users on all shards, unless it is one to be added', async () => {
    const carol = await newClient(server, `carol${n}`)
    for (const client of [alice, bob, carol]) await set(client, pusherBody('key', url, { append: true }))
    expect(await Promise.all([alice, bob, carol].map(pushkeysOf))).toEqual([['key'], ['key'], ['key']])
    await set(carol, pusherBody('key', url))
    expect(await Promise.all([alice, bob, carol].map(pushkeysOf))).toEqual([[], [], ['key']])
  })

  it('of one user is not removed by another', async () => {
    await set(alice, pusherBody('key', url))
    await set(bob, { kind: null, app_id: 'test.app', pushkey: 'key' })
    expect(await pushkeysOf(alice)).toEqual(['key'])
  })
})

describe('a pusher goes with its session', () => {
  beforeEach(freshUsers)

  const password = () => `password of alice${n}`

  it('at a logout', async () => {
    const phone = await secondDevice(alice, password())
    await set(phone, pusherBody('phone', url))
    await set(alice, pusherBody('laptop', url))
    await phone.done('POST', '/logout')
    expect(await pushkeysOf(alice)).toEqual(['laptop'])
  })

  it('when its device is deleted', async () => {
    const phone = await secondDevice(alice, password())
    await set(phone, pusherBody('phone', url))
    const auth = {
      type: 'm.login.password',
      identifier: { type: 'm.id.user', user: alice.userId },
      password: password(),
    }
    await alice.call('POST', '/delete_devices', { devices: [phone.deviceId], auth })
    expect(await pushkeysOf(alice)).toEqual([])
  })

  it('when the password changes, but for that of the session that changes it', async () => {
    const phone = await secondDevice(alice, password())
    await set(phone, pusherBody('phone', url))
    await set(alice, pusherBody('laptop', url))
    const auth = {
      type: 'm.login.password',
      identifier: { type: 'm.id.user', user: alice.userId },
      password: password(),
    }
    await alice.done('POST', '/account/password', { new_password: 'another password entirely', auth })
    expect(await pushkeysOf(alice)).toEqual(['laptop'])
  })
})

describe('refused is', () => {
  beforeAll(freshUsers)

  const invalid = refusal(400, 'M_INVALID_PARAM')
  const bad = refusal(400, 'M_BAD_JSON')
  const missing = refusal(400, 'M_MISSING_PARAM')
  const at = (address: string) => ({ data: { url: address } })

  it.each<[string, JsonObject, ReturnType<typeof refusal>]>([
    ['a kind that is none', { kind: 'pigeon' }, invalid],
    ['e-mail', { kind: 'email' }, invalid],
    ['a kind that is no text', { kind: 1 }, bad],
    ['a language that is no text', { lang: 1 }, bad],
    ['data that is no object', { data: 'x' }, bad],
    ['data without a URL', { data: {} }, missing],
    ['a URL that is none', at('gateway'), invalid],
    ['a URL without TLS', at('http://gateway.test/_matrix/push/v1/notify'), invalid],
    ['a URL with another path', at('https://gateway.test/_matrix/push/v1/notify/x'), invalid],
    ['a URL with a password', at('https://a:b@gateway.test/_matrix/push/v1/notify'), invalid],
    ['another format', { data: { url, format: 'x' } }, invalid],
    ['a format that is no text', { data: { url, format: 1 } }, bad],
    ['much data', { data: { url, more: 'x'.repeat(20_000) } }, invalid],
    ['a long pushkey', { pushkey: 'ä'.repeat(257) }, bad],
    ['a long app id', { app_id: 'x'.repeat(65) }, bad],
    ['append that is no boolean', { append: 'yes' }, bad],
  ])('%s', async (_, more, expected) => {
    expect(await set(alice, pusherBody('key', url, more))).toEqual(expected)
    expect(await pushkeysOf(alice)).toEqual([])
  })

  it.each(['kind', 'app_id', 'pushkey', 'app_display_name', 'device_display_name', 'lang', 'data'])(
    'a pusher without %s, by name',
    async (field) => {
      const { [field]: _, ...body } = pusherBody('key', url)
      const answer = await set(alice, body)
      expect(answer).toEqual(missing)
      expect(textOf(answer.body, 'error')).toContain(field)
    },
  )

  it('the fifty-first pusher', async () => {
    for (let i = 0; i < 50; i++) await set(alice, pusherBody(`key${i}`, url))
    expect(await set(alice, pusherBody('one more', url))).toEqual(invalid)
    expect((await set(alice, pusherBody('key7', url, { lang: 'de' }))).status).toBe(200)
    expect(await pushkeysOf(alice)).toHaveLength(50)
  })

  it('a request without a session', async () => {
    expect((await server.request('GET', '/_matrix/client/v3/pushers')).status).toBe(401)
    expect((await server.request('POST', '/_matrix/client/v3/pushers/set', { body: {} })).status).toBe(401)
  })
})
