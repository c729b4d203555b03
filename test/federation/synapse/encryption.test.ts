// Encryption between a user of ours and one of Synapse, both with an unmodified matrix-js-sdk: keys, verification, devices that come
// and go on either side, and messages to devices while the other server is away.

import assert from 'node:assert/strict'
import { EventType, Preset } from 'matrix-js-sdk'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import {
  compareEmoji,
  type EncryptedDevice,
  logInEncrypted,
  makeIdentity,
  readText,
  registerEncrypted,
} from '../../clients/encrypted-device.ts'
import { until } from '../../clients/person.ts'
import { keepSdkLog } from '../../clients/sdk-log.ts'
import { type Pair, startPair } from './pair.ts'

let pair: Pair
/** On our server. */
let alice: EncryptedDevice
/** On Synapse. */
let bob: EncryptedDevice
/** The second device of each, which come and go. */
let laptop: EncryptedDevice
let phone: EncryptedDevice
beforeAll(async () => {
  keepSdkLog()
  pair = await startPair()
  alice = await registerEncrypted(pair.hearth.url, 'alice')
  bob = await registerEncrypted(pair.synapse.url, 'bob')
  for (const person of [alice, bob]) await makeIdentity(person)
})
afterAll(async () => {
  for (const device of [alice, bob, laptop, phone]) device?.client.stopClient()
  await pair?.stop()
})

/** What passes between two servers, one of which may just have come back: see outages.test.ts. */
const patience = 150_000
const timeout = 400_000

/** A room of the two in which every message has a key of its own, sent to each device. */
async function encryptedRoom(host: EncryptedDevice, guest: EncryptedDevice): Promise<string> {
  const content = { algorithm: 'm.megolm.v1.aes-sha2', rotation_period_msgs: 1 }
  const { room_id: roomId } = await host.client.createRoom({
    preset: Preset.PrivateChat,
    invite: [guest.userId],
    initial_state: [{ type: EventType.RoomEncryption, state_key: '', content }],
  })
  await until('the invite', () => guest.client.getRoom(roomId), patience)
  await guest.client.joinRoom(roomId)
  for (const device of [host, guest]) {
    await until(`${device.userId} to see both in the room`, () => isReady(device, roomId), patience)
  }
  return roomId
}

function isReady({ client }: EncryptedDevice, roomId: string): boolean {
  const room = client.getRoom(roomId)
  return room?.getJoinedMemberCount() === 2 && room.hasEncryptionStateEvent()
}

async function say(device: EncryptedDevice, roomId: string, body: string): Promise<string> {
  const { event_id: eventId } = await device.client.sendTextMessage(roomId, body)
  return eventId
}

/** Says something that all the others must be able to read. */
async function sayTo(others: readonly EncryptedDevice[], device: EncryptedDevice, roomId: string) {
  const body = `${device.deviceId} says ${Math.random()}`
  await readBy(others, roomId, await say(device, roomId, body), body)
}

async function readBy(others: readonly EncryptedDevice[], roomId: string, eventId: string, body: string) {
  for (const other of others) {
    const what = `${eventId} to reach ${other.deviceId}`
    await until(what, () => other.client.getRoom(roomId)?.findEventById(eventId), patience)
    // The key may come after the message, from a server that was away.
    const text = await until(
      `${other.deviceId} to read ${eventId}`,
      () => readText(other, roomId, eventId).catch(() => undefined),
      patience,
    )
    expect(text).toBe(body)
  }
}

/** Waits until a device knows another one, or knows that it is gone, by what its own server says of changes. */
async function knows(device: EncryptedDevice, other: EncryptedDevice, isThere: boolean): Promise<void> {
  await until(
    `${device.deviceId} to know that ${other.deviceId} is ${isThere ? 'there' : 'gone'}`,
    async () => {
      const devices = await device.crypto.getUserDeviceInfo([other.userId])
      return devices.get(other.userId)?.has(other.deviceId) === isThere
    },
    patience,
  )
}

const addressee = ({ userId, deviceId }: EncryptedDevice) => `${userId} ${deviceId}`

describe('a user of ours and one of Synapse', () => {
  it.each([
    ['ours', () => [alice, bob] as const],
    ['that of Synapse', () => [bob, alice] as const],
  ])('read each other in an encrypted room on a server that is %s', { timeout }, async (_, pick) => {
    const [host, guest] = pick()
    const roomId = await encryptedRoom(host, guest)
    await sayTo([guest], host, roomId)
    await sayTo([host], guest, roomId)
  })

  it('verify each other by emoji, through the cross-signing keys of both servers', { timeout }, async () => {
    const roomId = await encryptedRoom(alice, bob)
    const asked = await bob.crypto.requestVerificationDM(alice.userId, roomId)
    const answering = await until(
      'the request',
      () => alice.crypto.findVerificationRequestDMInProgress(roomId, bob.userId),
      patience,
    )
    await compareEmoji(asked, answering)
    for (const [one, other] of [
      [alice, bob],
      [bob, alice],
    ] as const) {
      await until(
        `${one.userId} to trust ${other.userId}`,
        async () => (await one.crypto.getUserVerificationStatus(other.userId)).isCrossSigningVerified(),
        patience,
      )
    }
  })

  it('read each other on devices that come, and no more on those that have gone', { timeout }, async () => {
    const roomId = await encryptedRoom(alice, bob)
    await sayTo([bob], alice, roomId)
    laptop = await logInEncrypted(pair.hearth.url, alice)
    await knows(bob, laptop, true)
    await sayTo([alice, laptop], bob, roomId)
    phone = await logInEncrypted(pair.synapse.url, bob)
    await knows(alice, phone, true)
    await knows(laptop, phone, true)
    await sayTo([laptop, bob, phone], alice, roomId)
    await sayTo([alice, bob, phone], laptop, roomId)
    await sayTo([alice, laptop, bob], phone, roomId)

    for (const [gone, other] of [
      [laptop, bob],
      [phone, alice],
    ] as const) {
      assert(other.line.addressed.includes(addressee(gone)), 'it was sent keys before')
      await gone.client.logout(true)
      await knows(other, gone, false)
      other.line.addressed.length = 0
      await sayTo([other === bob ? alice : bob], other, roomId)
      expect(other.line.addressed).not.toContain(addressee(gone))
    }
  })
})

describe('keys for devices of a server that is away', () => {
  it('wait for Synapse, and so do new devices', { timeout }, async () => {
    const roomId = await encryptedRoom(alice, bob)
    await sayTo([bob], alice, roomId)
    await sayTo([alice], bob, roomId)
    await pair.synapse.stop()
    const eventId = await say(alice, roomId, 'Are you there?')
    laptop = await logInEncrypted(pair.hearth.url, alice)
    await pair.synapse.restart()
    await readBy([bob], roomId, eventId, 'Are you there?')
    await knows(bob, laptop, true)
    await sayTo([alice, laptop], bob, roomId)
  })

  it('wait for our server, killed in the middle, and so do new devices', { timeout }, async () => {
    const roomId = await encryptedRoom(bob, alice)
    await sayTo([alice], bob, roomId)
    await sayTo([bob], alice, roomId)
    await pair.hearth.kill()
    const eventId = await say(bob, roomId, 'Are you there?')
    phone = await logInEncrypted(pair.synapse.url, bob)
    await pair.hearth.restart()
    await readBy([alice], roomId, eventId, 'Are you there?')
    await knows(alice, phone, true)
    await sayTo([bob, phone], alice, roomId)
  })

  it('are sent after our server was killed with them on the way', { timeout }, async () => {
    const roomId = await encryptedRoom(alice, bob)
    await sayTo([bob], alice, roomId)
    await pair.synapse.stop()
    const sent: string[] = []
    for (const body of ['one', 'two', 'three']) sent.push(await say(alice, roomId, body))
    await pair.hearth.kill()
    await pair.synapse.restart()
    await pair.hearth.restart()
    for (const [index, body] of ['one', 'two', 'three'].entries()) {
      await readBy([bob], roomId, sent[index] ?? '', body)
    }
  })
})
