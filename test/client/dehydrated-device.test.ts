// Dehydrated devices: kept for a user who is logged in nowhere.

import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type JsonObject, objectProperty, stringProperty } from '../../src/matrix/json.ts'
import { oneTimeKeys, signingKeys, signingKeysUpload, testDevice } from '../support/device-keys.ts'
import { newClient, refusal, type RoomClient, roomClient } from '../support/room-client.ts'
import { startServer, type TestServer } from '../support/server.ts'
import { textOf } from '../support/text-of.ts'

const path = '/../unstable/org.matrix.msc3814.v1/dehydrated_device'

let server: TestServer
let bob: RoomClient
beforeAll(async () => {
  server = await startServer()
  bob = await newClient(server, 'bob')
})
afterAll(() => server.stop())

let users = 0
async function client(): Promise<RoomClient> {
  users += 1
  return await newClient(server, `user${users}`)
}

const deviceData = { algorithm: 'm.dehydration.v2', device_pickle: 'pickled', nonce: 'once' }
const algorithm = 'signed_curve25519'

/** A dehydrated device as clients upload it. */
function dehydrated({ userId }: RoomClient, deviceId: string, fields: JsonObject = {}) {
  const device = testDevice({ userId, deviceId })
  return {
    device_id: deviceId,
    device_data: deviceData,
    device_keys: { ...device.deviceKeys, dehydrated: true },
    one_time_keys: oneTimeKeys(device, ['1']),
    fallback_keys: oneTimeKeys(device, ['2'], { fallback: true }),
    initial_device_display_name: 'Dehydrated device',
    ...fields,
  }
}

async function put(user: RoomClient, deviceId: string): Promise<ReturnType<typeof dehydrated>> {
  const device = dehydrated(user, deviceId)
  expect(await user.done('PUT', path, device)).toEqual({ device_id: deviceId })
  return device
}

let transactions = 0
const send = (to: RoomClient, deviceId: string, content: JsonObject) =>
  bob.done('PUT', `/sendToDevice/m.test/t${transactions++}`, {
    messages: { [to.userId]: { [deviceId]: content } },
  })

async function query(of: RoomClient): Promise<JsonObject> {
  const answer = await bob.done('POST', '/keys/query', { device_keys: { [of.userId]: [] } })
  return objectProperty(objectProperty(answer, 'device_keys'), of.userId) ?? {}
}

async function claim(of: RoomClient, deviceId: string): Promise<JsonObject | undefined> {
  const answer = await bob.done('POST', '/keys/claim', {
    one_time_keys: { [of.userId]: { [deviceId]: algorithm } },
  })
  return objectProperty(objectProperty(objectProperty(answer, 'one_time_keys'), of.userId), deviceId)
}

const events = (user: RoomClient, deviceId: string, from = '') =>
  user.call('GET', `${path}/${encodeURIComponent(deviceId)}/events${from}`)

/** The contents of all messages of a dehydrated device. */
async function messages(user: RoomClient, deviceId: string) {
  const { status, body } = await events(user, deviceId)
  expect(status).toBe(200)
  return (body.events as JsonObject[]).map(({ content }) => content)
}

const login = (user: RoomClient, deviceId?: string) =>
  server.request('POST', '/_matrix/client/v3/login', {
    body: {
      type: 'm.login.password',
      identifier: { type: 'm.id.user', user: user.userId },
      password: passwordOf(user),
      ...(deviceId === undefined ? {} : { device_id: deviceId }),
    },
  })

const passwordOf = ({ userId }: RoomClient) => `password of ${userId.slice(1, userId.indexOf(':'))}`

test('clients are told that there can be one, and whether there is', async () => {
  const alice = await client()
  const versions = await server.request('GET', '/_matrix/client/versions')
  expect(versions.body.unstable_features).toMatchObject({ 'org.matrix.msc3814': true })
  for (const method of ['GET', 'DELETE']) {
    expect(await alice.call(method, path)).toEqual(refusal(404, 'M_NOT_FOUND'))
  }
  await put(alice, 'DRY')
  expect(await alice.done('GET', path)).toEqual({ device_id: 'DRY', device_data: deviceData })
  expect(await bob.call('GET', path)).toEqual(refusal(404, 'M_NOT_FOUND'))
})

test('others see its keys, and that it is dehydrated, and claim them', async () => {
  const alice = await client()
  const device = await put(alice, 'DRY')
  expect(await query(alice)).toEqual({
    DRY: { ...device.device_keys, unsigned: { device_display_name: 'Dehydrated device' } },
  })
  expect(await claim(alice, 'DRY')).toEqual(device.one_time_keys)
  expect(await claim(alice, 'DRY')).toEqual(device.fallback_keys)
})

test('others are told of it when it comes, is replaced and goes', async () => {
  const alice = await client()
  const roomId = await alice.createRoom({ preset: 'public_chat' })
  await bob.join(roomId)
  let since = textOf(await bob.done('GET', '/sync'), 'next_batch')
  const changed = async () => {
    const answer = await bob.done('GET', `/sync?since=${since}`)
    since = textOf(answer, 'next_batch')
    return objectProperty(answer, 'device_lists')?.changed
  }
  await put(alice, 'DRY')
  expect(await changed()).toEqual([alice.userId])
  const second = await put(alice, 'SECOND')
  expect(await changed()).toEqual([alice.userId])
  expect(Object.keys(await query(alice))).toEqual(['SECOND'])
  // The same once more is no news.
  await alice.done('PUT', path, second)
  expect(await changed()).toBeUndefined()
  await alice.done('DELETE', path)
  expect(await changed()).toEqual([alice.userId])
  expect(await query(alice)).toEqual({})
})

describe('its messages', () => {
  test('come a hundred at a time, in order, and stay', async () => {
    const alice = await client()
    await put(alice, 'DRY')
    for (let n = 0; n < 201; n++) await send(alice, n % 2 === 0 ? 'DRY' : '*', { n })
    for (let times = 0; times < 2; times++) {
      const got: JsonObject[][] = []
      let from: string | undefined = ''
      while (from !== undefined) {
        const { status, body }: { status: number; body: JsonObject } = await events(alice, 'DRY', from)
        expect(status).toBe(200)
        got.push(body.events as JsonObject[])
        const next = stringProperty(body, 'next_batch')
        from = next === undefined ? undefined : `?from=${next}`
      }
      expect(got.map(({ length }) => length)).toEqual([100, 100, 1])
      expect(got.flat()).toEqual(
        Array.from({ length: 201 }, (_, n) => ({ sender: bob.userId, type: 'm.test', content: { n } })),
      )
    }
  })

  test('come by POST until there are none, as clients asked for them before', async () => {
    const alice = await client()
    await put(alice, 'DRY')
    for (let n = 0; n < 3; n++) await send(alice, 'DRY', { n })
    const post = (body: JsonObject, query = '') => alice.done('POST', `${path}/DRY/events${query}`, body)
    const first = await post({}, '?limit=2')
    expect(first.events).toHaveLength(2)
    const second = await post({ next_batch: textOf(first, 'next_batch') })
    expect(second.events).toMatchObject([{ content: { n: 2 } }])
    const last = await post({ next_batch: textOf(second, 'next_batch') })
    expect(last.events).toEqual([])
    // What comes then is behind.
    await send(alice, 'DRY', { n: 3 })
    expect((await post({ next_batch: textOf(last, 'next_batch') })).events).toMatchObject([
      { content: { n: 3 } },
    ])
  })

  test('are for its user alone, and of the device that is there now', async () => {
    const alice = await client()
    await put(alice, 'DRY')
    await send(alice, 'DRY', { n: 0 })
    const refused = refusal(403, 'M_FORBIDDEN')
    expect(await events(bob, 'DRY')).toEqual(refused)
    expect(await events(alice, alice.deviceId)).toEqual(refused)
    expect(await events(alice, 'DRY', '?from=x')).toEqual(refusal(400, 'M_INVALID_PARAM'))
    await put(alice, 'SECOND')
    expect(await events(alice, 'DRY')).toEqual(refused)
    expect(await messages(alice, 'SECOND')).toEqual([])
  })

  test('are not those of another device that had its id, but stay when it is uploaded once more', async () => {
    const alice = await client()
    const device = await put(alice, 'DRY')
    await send(alice, 'DRY', { n: 0 })
    await claim(alice, 'DRY')
    // A client whose answer was lost.
    await alice.done('PUT', path, device)
    expect(await messages(alice, 'DRY')).toEqual([{ n: 0 }])
    expect(await claim(alice, 'DRY')).toEqual(device.fallback_keys)
    const other = await put(alice, 'DRY')
    expect(await messages(alice, 'DRY')).toEqual([])
    expect(await claim(alice, 'DRY')).toEqual(other.one_time_keys)
  })

  test('do not come to the devices that are logged in', async () => {
    const alice = await client()
    await put(alice, 'DRY')
    await send(alice, 'DRY', { n: 0 })
    expect((await alice.done('GET', '/sync')).to_device).toBeUndefined()
  })
})

describe('nobody', () => {
  test('can log in on it, nor take its keys over', async () => {
    const alice = await client()
    await put(alice, 'DRY')
    expect(await login(alice, 'DRY')).toEqual(refusal(403, 'M_FORBIDDEN'))
    expect(await alice.call('POST', '/keys/upload/DRY', {})).toEqual(refusal(400, 'M_INVALID_PARAM'))
    expect(Object.keys(await query(alice))).toEqual(['DRY'])
    await alice.done('DELETE', path)
    expect((await login(alice, 'DRY')).status).toBe(200)
  })

  test('can make a device that is logged in dehydrated, nor one with the id of a key', async () => {
    const alice = await client()
    const keys = signingKeys(alice.userId)
    await alice.done('POST', '/keys/device_signing/upload', signingKeysUpload(keys))
    for (const id of [alice.deviceId, keys.master.publicKey, keys.userSigning.publicKey]) {
      expect(await alice.call('PUT', path, dehydrated(alice, id))).toEqual(refusal(403, 'M_FORBIDDEN'))
    }
    expect((await alice.call('GET', '/account/whoami')).status).toBe(200)
    expect(await query(alice)).toEqual({})
  })
})

test('it is listed among the devices of its user, and can be deleted there', async () => {
  const alice = await client()
  await put(alice, 'DRY')
  expect((await alice.done('GET', '/devices')).devices).toContainEqual({
    device_id: 'DRY',
    display_name: 'Dehydrated device',
  })
  const auth = { type: 'm.login.password', identifier: { type: 'm.id.user', user: alice.userId } }
  await alice.done('DELETE', '/devices/DRY', { auth: { ...auth, password: passwordOf(alice) } })
  expect(await alice.call('GET', path)).toEqual(refusal(404, 'M_NOT_FOUND'))
})

test('it outlives a logout, and a later login finds it', async () => {
  const alice = await client()
  await put(alice, 'DRY')
  await alice.done('POST', '/logout', {})
  await send(alice, '*', { n: 0 })
  const { body } = await login(alice)
  const again = roomClient(server, {
    userId: alice.userId,
    deviceId: textOf(body, 'device_id'),
    token: textOf(body, 'access_token'),
  })
  expect(await again.done('GET', path)).toMatchObject({ device_id: 'DRY' })
  expect(await messages(again, 'DRY')).toEqual([{ n: 0 }])
})

test('it ends with the account', async () => {
  const alice = await client()
  await put(alice, 'DRY')
  const auth = { type: 'm.login.password', identifier: { type: 'm.id.user', user: alice.userId } }
  await alice.done('POST', '/account/deactivate', { auth: { ...auth, password: passwordOf(alice) } })
  expect(await query(alice)).toEqual({})
  expect(await claim(alice, 'DRY')).toBeUndefined()
})

describe('is refused', () => {
  const bodies: [string, (user: RoomClient) => JsonObject, string][] = [
    ['without an id', (user) => without(dehydrated(user, 'DRY'), 'device_id'), 'M_MISSING_PARAM'],
    ['without data', (user) => without(dehydrated(user, 'DRY'), 'device_data'), 'M_MISSING_PARAM'],
    ['without keys', (user) => without(dehydrated(user, 'DRY'), 'device_keys'), 'M_MISSING_PARAM'],
    ['without an algorithm', (user) => dehydrated(user, 'DRY', { device_data: { x: 'y' } }), 'M_BAD_JSON'],
    ['with data that are a text', (user) => dehydrated(user, 'DRY', { device_data: 'x' }), 'M_BAD_JSON'],
    [
      'with the keys of another device',
      (user) => dehydrated(user, 'DRY', otherKeys(user)),
      'M_INVALID_PARAM',
    ],
    ['with the keys of another user', (user) => dehydrated(user, 'DRY', keysOf(bob)), 'M_INVALID_PARAM'],
  ]
  test.each(bodies)('%s, and replaces nothing', async (_, body, errcode) => {
    const alice = await client()
    await put(alice, 'FIRST')
    expect(await alice.call('PUT', path, body(alice))).toEqual(refusal(400, errcode))
    expect(Object.keys(await query(alice))).toEqual(['FIRST'])
  })

  test('with too many keys or too much data, and replaces nothing', async () => {
    const alice = await client()
    await put(alice, 'DRY')
    const many = oneTimeKeys(
      testDevice({ userId: alice.userId, deviceId: 'DRY' }),
      Array.from({ length: 1001 }, (_, n) => String(n)),
    )
    const big = { algorithm: 'x', pickle: 'x'.repeat(300_000) }
    for (const fields of [{ one_time_keys: many }, { device_data: big }]) {
      for (const id of ['DRY', 'SECOND']) {
        const answer = await alice.call('PUT', path, dehydrated(alice, id, fields))
        expect(answer).toEqual(refusal(413, 'M_TOO_LARGE'))
      }
    }
    expect(await alice.done('GET', path)).toEqual({ device_id: 'DRY', device_data: deviceData })
  })
})

const without = (object: JsonObject, name: string): JsonObject =>
  Object.fromEntries(Object.entries(object).filter(([key]) => key !== name))
const otherKeys = ({ userId }: RoomClient): JsonObject => ({
  device_keys: testDevice({ userId, deviceId: 'OTHER' }).deviceKeys,
})
const keysOf = ({ userId }: RoomClient): JsonObject => ({
  device_keys: testDevice({ userId, deviceId: 'DRY' }).deviceKeys,
})
