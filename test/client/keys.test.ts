// Keys of devices: uploaded, asked for and claimed.

import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { isJsonObject, type JsonObject, objectProperty } from '../../src/matrix/json.ts'
import { oneTimeKeys, testDevice } from '../support/device-keys.ts'
import { newClient, refusal, type RoomClient, roomClient } from '../support/room-client.ts'
import { startServer, type TestServer } from '../support/server.ts'
import { slidingClient } from '../support/sliding-client.ts'
import { textOf } from '../support/text-of.ts'

let server: TestServer
beforeAll(async () => {
  server = await startServer()
})
afterAll(() => server.stop())

let users = 0
async function client(): Promise<RoomClient> {
  users += 1
  return await newClient(server, `user${users}`)
}

const without = (object: JsonObject, name: string): JsonObject =>
  Object.fromEntries(Object.entries(object).filter(([key]) => key !== name))
const numbers = (n: number, from = 0) => Array.from({ length: n }, (_, i) => String(from + i))
const upload = (user: RoomClient, body: JsonObject) => user.done('POST', '/keys/upload', body)
const query = (asker: RoomClient, user: RoomClient, devices: string[] = []) =>
  asker.done('POST', '/keys/query', { device_keys: { [user.userId]: devices } })

/** The key that a claim brings, by its id; undefined where there is none. */
async function claim(asker: RoomClient, user: RoomClient, algorithm = 'signed_curve25519') {
  const answer = await asker.done('POST', '/keys/claim', {
    one_time_keys: { [user.userId]: { [user.deviceId]: algorithm } },
  })
  expect(answer.failures).toEqual({})
  const ofUser = objectProperty(objectProperty(answer, 'one_time_keys'), user.userId)
  const [found] = Object.entries(objectProperty(ofUser, user.deviceId) ?? {})
  return found
}

async function devicesOf(asker: RoomClient, user: RoomClient, devices: string[] = []) {
  const answer = await query(asker, user, devices)
  return objectProperty(objectProperty(answer, 'device_keys'), user.userId)
}

async function loginAgain(user: RoomClient, deviceId: string): Promise<RoomClient> {
  const { body } = await server.request('POST', '/_matrix/client/v3/login', {
    body: {
      type: 'm.login.password',
      identifier: { type: 'm.id.user', user: user.userId },
      password: `password of ${user.userId.slice(1, user.userId.indexOf(':'))}`,
      device_id: deviceId,
    },
  })
  return roomClient(server, { userId: user.userId, deviceId, token: textOf(body, 'access_token') })
}

describe('device keys', () => {
  it('are given to those who ask as they were uploaded, with the name of the device', async () => {
    const [alice, bob] = [await client(), await client()]
    const { deviceKeys } = testDevice(alice)
    await upload(alice, { device_keys: { ...deviceKeys, unsigned: { device_display_name: 'forged' } } })
    expect(await devicesOf(bob, alice)).toEqual({ [alice.deviceId]: { ...deviceKeys, unsigned: {} } })
    await alice.done('PUT', `/devices/${alice.deviceId}`, { display_name: 'phone' })
    expect(await devicesOf(bob, alice, [alice.deviceId])).toEqual({
      [alice.deviceId]: { ...deviceKeys, unsigned: { device_display_name: 'phone' } },
    })
    expect(await devicesOf(bob, alice, ['other'])).toEqual({})
  })

  it('show nobody who else has signed them', async () => {
    const [alice, bob] = [await client(), await client()]
    const { deviceKeys } = testDevice(alice)
    const signatures = {
      ...objectProperty(deviceKeys, 'signatures'),
      '@x:test.local': { 'ed25519:a': 'abc' },
    }
    await upload(alice, { device_keys: { ...deviceKeys, signatures } })
    expect(await devicesOf(bob, alice)).toMatchObject({
      [alice.deviceId]: { signatures: deviceKeys.signatures },
    })
    expect(JSON.stringify(await devicesOf(bob, alice))).not.toContain('@x:test.local')
  })

  it('of users without any are empty, and of unknown users not there', async () => {
    const [alice, bob] = [await client(), await client()]
    expect(await devicesOf(alice, bob)).toEqual({})
    const unknown = '@nobody:test.local'
    const answer = await alice.done('POST', '/keys/query', { device_keys: { [unknown]: [] } })
    expect(answer).toMatchObject({ device_keys: {}, failures: {} })
  })

  it('uploaded again write nothing', async () => {
    const alice = await client()
    const device = testDevice(alice)
    const body = { device_keys: device.deviceKeys, one_time_keys: oneTimeKeys(device, numbers(5)) }
    await upload(alice, body)
    const counts = await server.measure(() => upload(alice, body))
    expect(counts.doRowsWritten).toBe(0)
  })

  it.each<[string, (keys: JsonObject) => JsonObject, string]>([
    ['another user', (keys) => ({ ...keys, user_id: '@other:test.local' }), 'M_INVALID_PARAM'],
    ['another device', (keys) => ({ ...keys, device_id: 'OTHER' }), 'M_INVALID_PARAM'],
    ['no algorithms', (keys) => without(keys, 'algorithms'), 'M_BAD_JSON'],
    ['keys of another device', (keys) => ({ ...keys, keys: { 'ed25519:OTHER': 'abc' } }), 'M_BAD_JSON'],
    ['no signatures', (keys) => without(keys, 'signatures'), 'M_BAD_JSON'],
    ['a lone surrogate', (keys) => ({ ...keys, extra: '\ud800' }), 'M_BAD_JSON'],
  ])('with %s are refused', async (_, change, errcode) => {
    const alice = await client()
    const device_keys = change(testDevice(alice).deviceKeys)
    expect(await alice.call('POST', '/keys/upload', { device_keys })).toEqual(refusal(400, errcode))
    expect(await devicesOf(alice, alice)).toEqual({})
  })

  it('that are too large are refused', async () => {
    const alice = await client()
    const device_keys = { ...testDevice(alice).deviceKeys, extra: 'x'.repeat(40_000) }
    expect(await alice.call('POST', '/keys/upload', { device_keys })).toEqual(refusal(413, 'M_TOO_LARGE'))
  })

  it('can be uploaded with the device in the path, if it is that of the session', async () => {
    const alice = await client()
    const { deviceKeys } = testDevice(alice)
    const path = (device: string) => `/_matrix/client/r0/keys/upload/${device}`
    const options = { token: alice.token, body: { device_keys: deviceKeys } }
    expect((await server.request('POST', path(alice.deviceId), options)).status).toBe(200)
    expect((await server.request('POST', path('OTHER'), options)).status).toBe(400)
  })
})

describe('one-time keys', () => {
  it('MSC4225: are given out in the order of upload, each once, then the fallback key', async () => {
    const [alice, bob] = [await client(), await client()]
    const device = testDevice(alice)
    await upload(alice, { device_keys: device.deviceKeys, one_time_keys: oneTimeKeys(device, ['z']) })
    const second = oneTimeKeys(device, ['a'])
    const fallback = oneTimeKeys(device, ['f'], { fallback: true })
    const counts = await upload(alice, { one_time_keys: second, fallback_keys: fallback })
    expect(counts).toEqual({ one_time_key_counts: { signed_curve25519: 2 } })
    expect((await claim(bob, alice))?.[0]).toBe('signed_curve25519:z')
    expect(await claim(bob, alice)).toEqual(Object.entries(second)[0])
    expect(await claim(bob, alice)).toEqual(Object.entries(fallback)[0])
    expect(await claim(bob, alice)).toEqual(Object.entries(fallback)[0])
    expect(await claim(bob, alice, 'curve25519')).toBeUndefined()
  })

  it('of a device are given out once under fifty claims at the same time', async () => {
    const [alice, bob] = [await client(), await client()]
    const device = testDevice(alice)
    await upload(alice, {
      device_keys: device.deviceKeys,
      one_time_keys: oneTimeKeys(device, numbers(20)),
      fallback_keys: oneTimeKeys(device, ['fallback'], { fallback: true }),
    })
    const found = await Promise.all(Array.from({ length: 50 }, () => claim(bob, alice)))
    const ids = found.map((key) => key?.[0])
    const oneTime = ids.filter((id) => id !== 'signed_curve25519:fallback')
    expect(oneTime).toHaveLength(20)
    expect(new Set(oneTime)).toEqual(new Set(numbers(20).map((n) => `signed_curve25519:${n}`)))
    expect(ids).toHaveLength(50)
    const { body } = await alice.call('GET', '/sync')
    expect(body).toMatchObject({
      device_one_time_keys_count: { signed_curve25519: 0 },
      device_unused_fallback_key_types: [],
    })
  })

  it('uploaded again are skipped, also after they were given out, and others of the same name refused', async () => {
    const [alice, bob] = [await client(), await client()]
    const device = testDevice(alice)
    const first = oneTimeKeys(device, ['0', '1'])
    await upload(alice, { device_keys: device.deviceKeys, one_time_keys: first })
    const more = { ...first, ...oneTimeKeys(device, ['2']) }
    expect(await upload(alice, { one_time_keys: more })).toEqual({
      one_time_key_counts: { signed_curve25519: 3 },
    })
    const other = { ...oneTimeKeys(device, ['3']), ...oneTimeKeys(device, ['1']) }
    expect(await alice.call('POST', '/keys/upload', { one_time_keys: other })).toEqual(
      refusal(400, 'M_INVALID_PARAM'),
    )
    await claim(bob, alice)
    // Its answer may have been lost: the key that was given out must not come back.
    expect(await upload(alice, { one_time_keys: more })).toEqual({
      one_time_key_counts: { signed_curve25519: 2 },
    })
  })

  it('in a form that no algorithm has are refused', async () => {
    const alice = await client()
    for (const keys of [
      { noalgorithm: 'a' },
      { 'signed_curve25519:a': 'text' },
      { 'signed_curve25519:a': { key: 'a' } },
    ]) {
      expect(await alice.call('POST', '/keys/upload', { one_time_keys: keys })).toEqual(
        refusal(400, 'M_BAD_JSON'),
      )
    }
    expect(await upload(alice, { one_time_keys: { 'curve25519:a': 'text' } })).toEqual({
      one_time_key_counts: { signed_curve25519: 0, curve25519: 1 },
    })
  })

  it('and other keys go with their device: one with the same id inherits nothing', async () => {
    const [alice, bob] = [await client(), await client()]
    const old = await loginAgain(alice, 'REUSED')
    const device = testDevice(old)
    await upload(old, {
      device_keys: device.deviceKeys,
      one_time_keys: oneTimeKeys(device, numbers(3)),
      fallback_keys: oneTimeKeys(device, ['f'], { fallback: true }),
    })
    await old.done('POST', '/logout', {})
    const fresh = await loginAgain(alice, 'REUSED')
    expect(await devicesOf(bob, fresh)).toEqual({})
    expect(await claim(bob, fresh)).toBeUndefined()
    expect(await upload(fresh, {})).toEqual({ one_time_key_counts: { signed_curve25519: 0 } })
  })
})

describe('a sync', () => {
  it('always tells how many keys the device has, also when it waited in vain', async () => {
    const [alice, bob] = [await client(), await client()]
    const device = testDevice(alice)
    const since = textOf(await alice.done('GET', '/sync'), 'next_batch')
    const waiting = alice.done('GET', `/sync?since=${since}&timeout=3000`)
    await upload(alice, { one_time_keys: oneTimeKeys(device, numbers(2)) })
    await claim(bob, alice)
    await upload(alice, { fallback_keys: oneTimeKeys(device, ['f'], { fallback: true }) })
    expect(await waiting).toMatchObject({
      device_one_time_keys_count: { signed_curve25519: 1 },
      device_unused_fallback_key_types: ['signed_curve25519'],
    })
    const idle = await alice.done('GET', `/sync?since=${since}`)
    expect(idle).toMatchObject({ device_one_time_keys_count: { signed_curve25519: 1 } })
  })

  it('names users who share a room when their keys change, and no others', async () => {
    const [alice, bob, carol] = [await client(), await client(), await client()]
    const roomId = await alice.createRoom({ preset: 'public_chat' })
    await bob.join(roomId)
    const since = textOf(await bob.done('GET', '/sync'), 'next_batch')
    const waiting = bob.done('GET', `/sync?since=${since}&timeout=20000`)
    await upload(carol, { device_keys: testDevice(carol).deviceKeys })
    await upload(alice, { device_keys: testDevice(alice).deviceKeys })
    const news = await waiting
    expect(news.device_lists).toEqual({ changed: [alice.userId], left: [] })
    const path = `/keys/changes?from=${since}&to=${textOf(news, 'next_batch')}`
    expect(await bob.done('GET', path)).toEqual({ changed: [alice.userId], left: [] })
    expect(await bob.done('GET', `/keys/changes?from=${since}&to=${since}`)).toEqual({
      changed: [],
      left: [],
    })
  })

  it('tells the other devices of a user that a device is gone', async () => {
    const alice = await client()
    const other = await loginAgain(alice, 'OTHER')
    await upload(other, { device_keys: testDevice(other).deviceKeys })
    const since = textOf(await alice.done('GET', '/sync'), 'next_batch')
    await other.done('POST', '/logout', {})
    const news = await alice.done('GET', `/sync?since=${since}`)
    expect(news.device_lists).toEqual({ changed: [alice.userId], left: [] })
    expect(await devicesOf(alice, alice)).toEqual({})
  })

  it('of a device that is logged out ends, and the others are told', async () => {
    const [alice, bob] = [await client(), await client()]
    await bob.join(await alice.createRoom({ preset: 'public_chat' }))
    await upload(alice, { device_keys: testDevice(alice).deviceKeys })
    const quiet = '/sync?set_presence=offline'
    const ofBob = textOf(await bob.done('GET', quiet), 'next_batch')
    const since = textOf(await alice.done('GET', quiet), 'next_batch')
    const waiting = alice.call('GET', `${quiet}&since=${since}&timeout=20000`)
    await new Promise((resolve) => setTimeout(resolve, 200))
    await alice.done('POST', '/logout', {})
    expect(await waiting).toEqual(refusal(401, 'M_UNKNOWN_TOKEN'))
    expect((await bob.done('GET', `${quiet}&since=${ofBob}`)).device_lists).toEqual({
      changed: [alice.userId],
      left: [],
    })
  })

  it('tells who came and who is gone', async () => {
    const [alice, bob] = [await client(), await client()]
    const roomId = await alice.createRoom({ preset: 'public_chat' })
    const since = textOf(await alice.done('GET', '/sync'), 'next_batch')
    await bob.join(roomId)
    const joined = await alice.done('GET', `/sync?since=${since}`)
    expect(joined.device_lists).toEqual({ changed: [bob.userId], left: [] })
    await bob.leave(roomId)
    await upload(bob, { device_keys: testDevice(bob).deviceKeys })
    const left = await alice.done('GET', `/sync?since=${textOf(joined, 'next_batch')}`)
    expect(left.device_lists).toEqual({ changed: [], left: [bob.userId] })
  })
})

type DeviceLists = { left: string[]; changed: string[] }

describe('who goes out of a room', () => {
  /** Two who share a room, and what the second is told of device lists after the room was turned upside down. */
  async function told(
    change: (people: Record<'alice' | 'bob' | 'carol' | 'dave', RoomClient>, roomId: string) => Promise<void>,
  ) {
    const people = { alice: await client(), bob: await client(), carol: await client(), dave: await client() }
    const { alice, bob, dave } = people
    const roomId = await alice.createRoom({ preset: 'public_chat' })
    await bob.join(roomId)
    await dave.join(roomId)
    const since = textOf(await bob.done('GET', '/sync'), 'next_batch')
    const { pos } = await slidingClient(server, bob).sync({ extensions: { e2ee: { enabled: true } } })
    await change(people, roomId)
    const news = await bob.done('GET', `/sync?since=${since}`)
    const changes = await bob.done('GET', `/keys/changes?from=${since}&to=${textOf(news, 'next_batch')}`)
    const sliding = await slidingClient(server, bob).sync(
      { extensions: { e2ee: { enabled: true } } },
      { pos },
    )
    const nameOf = (id: string) => Object.entries(people).find(([, { userId }]) => userId === id)?.[0] ?? id
    const named = (ids: readonly string[]) => ids.map((id) => nameOf(id)).toSorted()
    const lists = [news.device_lists, changes, sliding.extensions.e2ee?.device_lists] as DeviceLists[]
    return lists.map(({ left, changed }) => ({ left: named(left), changed: named(changed) }))
  }
  const thrice = (left: string[], changed: string[] = []) =>
    Array.from({ length: 3 }, () => ({ left, changed }))

  it('is told of all who were in it then, and of nobody who came later', async () => {
    const lists = await told(async ({ alice, bob, carol }, roomId) => {
      await alice.act('kick', roomId, bob.userId)
      await carol.join(roomId)
    })
    expect(lists).toEqual(thrice(['alice', 'dave']))
  })

  it('is told of those who left before and after', async () => {
    const lists = await told(async ({ alice, bob, dave }, roomId) => {
      await dave.leave(roomId)
      await bob.leave(roomId)
      await alice.leave(roomId)
    })
    expect(lists).toEqual(thrice(['alice', 'dave']))
  })

  it('is told of those who came before, and of nobody who came and went after', async () => {
    const lists = await told(async ({ bob, carol, dave }, roomId) => {
      await carol.join(roomId)
      await carol.leave(roomId)
      await bob.leave(roomId)
      await dave.leave(roomId)
      await dave.join(roomId)
      await carol.join(roomId)
      await carol.leave(roomId)
    })
    expect(lists).toEqual(thrice(['alice', 'carol', 'dave']))
  })

  it('is told of nobody with whom there is another room', async () => {
    const lists = await told(async ({ alice, bob, dave }, roomId) => {
      const other = await alice.createRoom({ preset: 'public_chat' })
      await bob.join(other)
      await bob.leave(roomId)
      await dave.leave(roomId)
    })
    // And of themselves, since they came into a room.
    expect(lists).toEqual(thrice(['dave'], ['alice', 'bob']))
  })
})

describe('requests about keys', () => {
  it.each<[string, string, JsonObject]>([
    ['/keys/query', 'M_BAD_JSON', { device_keys: { '@a:test.local': { device: true } } }],
    ['/keys/query', 'M_MISSING_PARAM', {}],
    ['/keys/query', 'M_INVALID_PARAM', { device_keys: { nobody: [] } }],
    ['/keys/claim', 'M_BAD_JSON', { one_time_keys: { '@a:test.local': ['device'] } }],
    ['/keys/claim', 'M_INVALID_PARAM', { one_time_keys: { nobody: { D: 'a' } } }],
    ['/keys/upload', 'M_BAD_JSON', { device_keys: [] }],
  ])('%s refuses with %s what is not of its form', async (path, errcode, body) => {
    const alice = await client()
    expect(await alice.call('POST', path, body)).toEqual(refusal(400, errcode))
  })

  it('GET /keys/changes takes tokens of /sync alone', async () => {
    const alice = await client()
    expect(await alice.call('GET', '/keys/changes?from=x&to=y')).toEqual(refusal(400, 'M_INVALID_PARAM'))
    expect(await alice.call('GET', '/keys/changes?from=s1_1')).toEqual(refusal(400, 'M_MISSING_PARAM'))
  })

  it('are open to guests for uploading, asking and claiming', async () => {
    const { body } = await server.request('POST', '/_matrix/client/v3/register?kind=guest', { body: {} })
    if (!isJsonObject(body)) throw new Error('no answer')
    const token = textOf(body, 'access_token')
    const post = (path: string, content: JsonObject) =>
      server.request('POST', `/_matrix/client/v3${path}`, { token, body: content })
    expect((await post('/keys/upload', {})).status).toBe(200)
    expect((await post('/keys/query', { device_keys: {} })).status).toBe(200)
    expect((await post('/keys/claim', { one_time_keys: {} })).status).toBe(200)
    expect((await post('/keys/signatures/upload', {})).status).toBe(403)
    expect((await post('/keys/device_signing/upload', {})).status).toBe(403)
  })
})
