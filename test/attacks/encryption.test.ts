// Attack: getting at other people's keys and messages by races, by reused device ids, and by signatures that are not theirs.

import { afterAll, beforeAll, expect, test } from 'vitest'
import type { JsonObject } from '../../src/matrix/json.ts'
import { askingServer, federation } from '../support/asking-server.ts'
import { oneTimeKeys, signingKeys, signingKeysUpload, testDevice } from '../support/device-keys.ts'
import { newClient, roomClient, type RoomClient } from '../support/room-client.ts'
import { startServer, type TestServer } from '../support/server.ts'
import { textOf } from '../support/text-of.ts'

let server: TestServer
let alice: RoomClient
let mallory: RoomClient
beforeAll(async () => {
  server = await startServer()
  alice = await newClient(server, 'alice')
  mallory = await newClient(server, 'mallory')
})
afterAll(() => server.stop())

const proof = (localpart: string) => ({
  type: 'm.login.password',
  identifier: { type: 'm.id.user', user: localpart },
  password: `password of ${localpart}`,
})

async function login(localpart: string, deviceId: string): Promise<RoomClient> {
  const { body } = await server.request('POST', '/_matrix/client/v3/login', {
    body: { ...proof(localpart), device_id: deviceId },
  })
  return roomClient(server, {
    userId: textOf(body, 'user_id'),
    deviceId,
    token: textOf(body, 'access_token'),
  })
}

const claimBody = (of: RoomClient) => ({
  one_time_keys: { [of.userId]: { [of.deviceId]: 'signed_curve25519' } },
})

/** The ids of the keys in an answer to a claim. */
function idsIn(body: JsonObject, of: RoomClient): string[] {
  const users = body['one_time_keys'] as Record<string, Record<string, JsonObject>>
  return Object.keys(users[of.userId]?.[of.deviceId] ?? {})
}

test('no one-time key is handed out twice under fifty claims at once, by clients and another server', async () => {
  const names = Array.from({ length: 20 }, (_, n) => `${n}`)
  const device = testDevice(alice)
  await alice.done('POST', '/keys/upload', {
    device_keys: device.deviceKeys,
    one_time_keys: oneTimeKeys(device, names),
    fallback_keys: oneTimeKeys(device, ['fallback'], { fallback: true }),
  })
  const remote = await askingServer(server, 'remote.test')
  const answers = await Promise.all(
    Array.from({ length: 50 }, async (_, n) =>
      n % 5 === 0
        ? (await remote.ask('POST', `${federation}/v1/user/keys/claim`, claimBody(alice))).body
        : await mallory.done('POST', '/keys/claim', claimBody(alice)),
    ),
  )
  const given = answers.flatMap((body) => idsIn(body, alice))
  expect(given).toHaveLength(50)
  const once = given.filter((id) => id !== 'signed_curve25519:fallback')
  expect(once.toSorted((a, b) => a.localeCompare(b))).toEqual(
    names.map((name) => `signed_curve25519:${name}`).toSorted((a, b) => a.localeCompare(b)),
  )
})

test('a device with the id of one that is gone inherits no keys and no messages', async () => {
  const first = await login('alice', 'REUSED')
  const device = testDevice(first)
  await first.done('POST', '/keys/upload', {
    device_keys: device.deviceKeys,
    one_time_keys: oneTimeKeys(device, ['1', '2']),
    fallback_keys: oneTimeKeys(device, ['f'], { fallback: true }),
  })
  await mallory.done('PUT', '/sendToDevice/m.secret/1', {
    messages: { [alice.userId]: { REUSED: { secret: 1 } } },
  })
  await alice.done('POST', '/delete_devices', { devices: ['REUSED'], auth: proof('alice') })
  const second = await login('alice', 'REUSED')
  const synced = await second.done('GET', '/sync')
  expect(synced['to_device'] ?? { events: [] }).toEqual({ events: [] })
  expect(synced['device_one_time_keys_count'] ?? {}).not.toHaveProperty('signed_curve25519', 2)
  expect(idsIn(await mallory.done('POST', '/keys/claim', claimBody(second)), second)).toEqual([])
  const query = await mallory.done('POST', '/keys/query', { device_keys: { [alice.userId]: [] } })
  const devices = (query['device_keys'] as Record<string, JsonObject>)[alice.userId]
  expect(devices).not.toHaveProperty('REUSED')
})

test('nobody uploads keys for another user or device', async () => {
  const victim = testDevice(alice)
  const attempts: JsonObject[] = [
    { device_keys: victim.deviceKeys },
    { device_keys: { ...testDevice(mallory).deviceKeys, user_id: alice.userId } },
    { device_keys: { ...testDevice(mallory).deviceKeys, device_id: alice.deviceId } },
  ]
  for (const body of attempts) {
    const answer = await mallory.call('POST', '/keys/upload', body)
    expect(answer.status).toBeGreaterThanOrEqual(400)
    expect(answer.status).toBeLessThan(500)
  }
})

test('nobody replaces cross-signing keys with a session alone', async () => {
  const upload = (keys: ReturnType<typeof signingKeys>) => signingKeysUpload(keys)
  const own = await newClient(server, 'owner')
  expect(
    (await own.call('POST', '/keys/device_signing/upload', upload(signingKeys(own.userId)))).status,
  ).toBe(200)
  // Whoever has stolen the token has not stolen the password.
  const again = await own.call('POST', '/keys/device_signing/upload', upload(signingKeys(own.userId)))
  expect(again.status).toBe(401)
  expect(again.body).toHaveProperty('flows')
  const foreign = await mallory.call('POST', '/keys/device_signing/upload', upload(signingKeys(own.userId)))
  expect(foreign.status).toBeGreaterThanOrEqual(400)
})

test('nobody reads another user’s backup, nor the messages of their devices', async () => {
  const auth_data = { public_key: 'x' }
  const { version } = await alice.done('POST', '/room_keys/version', {
    algorithm: 'm.megolm_backup.v1.curve25519-aes-sha2',
    auth_data,
  })
  for (const path of [
    '/room_keys/version',
    `/room_keys/version/${version as string}`,
    `/room_keys/keys?version=${version as string}`,
  ]) {
    expect((await mallory.call('GET', path)).status).toBe(404)
  }
  await mallory.done('PUT', '/sendToDevice/m.secret/2', {
    messages: { [alice.userId]: { '*': { secret: 'for alice' } } },
  })
  const synced = JSON.stringify(await mallory.done('GET', '/sync'))
  expect(synced).not.toContain('for alice')
})
