// What users call their devices, kept from other servers where the operator wants that.

import { afterAll, beforeAll, expect, it } from 'vitest'
import { objectProperty } from '../../src/matrix/json.ts'
import { makeAuthority } from '../support/certificates.ts'
import { testDevice } from '../support/device-keys.ts'
import { type FederatedServer, startFederatedServer } from '../support/federated-server.ts'
import { newClient, type RoomClient } from '../support/room-client.ts'
import { textOf } from '../support/text-of.ts'

const authority = makeAuthority()
let one: FederatedServer
let two: FederatedServer
beforeAll(async () => {
  ;[one, two] = await Promise.all([
    startFederatedServer(authority, 'one.test', { vars: { DEVICE_NAMES: 'off' } }),
    startFederatedServer(authority, 'two.test'),
  ])
})
afterAll(() => Promise.all([one.stop(), two.stop()]))

/** The device of a user as another is shown it. */
async function deviceOf(asker: RoomClient, user: RoomClient) {
  const answer = await asker.done('POST', '/keys/query', { device_keys: { [user.userId]: [] } })
  const ofUser = objectProperty(objectProperty(answer, 'device_keys'), user.userId)
  return objectProperty(ofUser, user.deviceId)
}

it('the name of a device is for users of its server alone, asked for, listed or told', async () => {
  const alice = await newClient(one, 'alice')
  const neighbour = await newClient(one, 'neighbour')
  const bob = await newClient(two, 'bob')
  const { deviceKeys } = testDevice(alice)
  await alice.done('POST', '/keys/upload', { device_keys: deviceKeys })
  const rename = (name: string) => alice.done('PUT', `/devices/${alice.deviceId}`, { display_name: name })
  await rename('secret phone')
  const nameless = { ...deviceKeys, unsigned: {} }
  // Strangers ask for keys, who shares a room lists devices.
  expect(await deviceOf(bob, alice)).toEqual(nameless)
  const roomId = await alice.createRoom({ preset: 'public_chat' })
  await bob.done('POST', `/join/${encodeURIComponent(roomId)}?via=${one.serverName}`, {})
  expect(await deviceOf(bob, alice)).toEqual(nameless)
  let since = textOf(await bob.done('GET', '/sync'), 'next_batch')
  await rename('other phone')
  for (let told = false; !told;) {
    const answer = await bob.done('GET', `/sync?since=${since}&timeout=5000`)
    since = textOf(answer, 'next_batch')
    told = objectProperty(answer, 'device_lists') !== undefined
  }
  expect(await deviceOf(bob, alice)).toEqual(nameless)
  expect(await deviceOf(neighbour, alice)).toEqual({
    ...deviceKeys,
    unsigned: { device_display_name: 'other phone' },
  })
  // The other way there is nothing to hide.
  await bob.done('POST', '/keys/upload', { device_keys: testDevice(bob).deviceKeys })
  await bob.done('PUT', `/devices/${bob.deviceId}`, { display_name: 'tablet' })
  expect(await deviceOf(alice, bob)).toMatchObject({ unsigned: { device_display_name: 'tablet' } })
})
