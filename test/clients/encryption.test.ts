// Two users and their devices with the encryption of an unmodified matrix-js-sdk, over HTTP on the server that `npm start` starts:
// messages, verification, cross-signing, secret storage, key backup, logout, and restarts that lose no key.

import assert from 'node:assert/strict'
import { after, before } from 'node:test'
import { EventType, MsgType, NotificationCountType, Preset, SyncState } from 'matrix-js-sdk'
import { Burst } from './burst.ts'
import { chapter } from './chapter.ts'
import {
  compareEmoji,
  type EncryptedDevice,
  logInEncrypted,
  makeIdentity,
  readText,
  registerEncrypted,
} from './encrypted-device.ts'
import { startServer, type Server } from './launcher.ts'
import { roomOf, until, within } from './person.ts'
import { keepSdkLog } from './sdk-log.ts'

const megolm = 'm.megolm.v1.aes-sha2'

let server: Server
let alice: EncryptedDevice
/** Alice's second device, verified by emoji. */
let laptop: EncryptedDevice
/** Her third, which starts with nothing but the recovery key. */
let tablet: EncryptedDevice
let bob: EncryptedDevice
/** Bob's second device. */
let phone: EncryptedDevice
let roomId: string
let recoveryKey: string
/** What was said before the second and third device were there. */
let early: { eventId: string; body: string }[]

before(async () => {
  keepSdkLog()
  server = await within('starting the server', startServer(), 60_000)
})
after(async () => {
  for (const device of [alice, laptop, tablet, bob, phone]) device?.client.stopClient()
  await server?.remove()
})

async function say(device: EncryptedDevice, body: string, room = roomId): Promise<string> {
  const sent = device.client.sendTextMessage(room, body)
  const { event_id: eventId } = await within(`sending "${body}"`, sent)
  return eventId
}

/** Says something that all the others must be able to read. */
async function sayTo(
  others: readonly EncryptedDevice[],
  device: EncryptedDevice,
  body: string,
): Promise<void> {
  const eventId = await say(device, body)
  for (const other of others) assert.equal(await readText(other, roomId, eventId), body)
}

async function encryptedRoom(
  name: string,
  settings: Readonly<Record<string, unknown>> = {},
): Promise<string> {
  const { room_id: created } = await alice.client.createRoom({
    preset: Preset.PrivateChat,
    name,
    invite: [bob.userId],
    initial_state: [
      { type: EventType.RoomEncryption, state_key: '', content: { algorithm: megolm, ...settings } },
    ],
  })
  await until('the invite', () => bob.client.getRoom(created))
  await bob.client.joinRoom(created)
  for (const device of [alice, bob]) {
    await until(`${device.userId} to see both in ${name}`, () => {
      const room = device.client.getRoom(created)
      return room?.getJoinedMemberCount() === 2 && room.hasEncryptionStateEvent()
    })
  }
  return created
}

chapter('two users publish their keys and share an encrypted room', async () => {
  alice = await registerEncrypted(server.url, 'alice')
  bob = await registerEncrypted(server.url, 'bob')
  await makeIdentity(alice)
  await makeIdentity(bob)
  roomId = await encryptedRoom('Cellar')
  // The SDK waits a second for the server, and then answers by what it knows.
  await until('Bob to know the one device of Alice', async () => {
    const devices = await bob.crypto.getUserDeviceInfo([alice.userId], true)
    return [...(devices.get(alice.userId)?.keys() ?? [])].join() === alice.deviceId
  })
})

chapter('messages are read at both ends and nowhere between', async () => {
  const question = 'Is the cellar locked?'
  const eventId = await say(alice, question)
  assert.equal(await readText(bob, roomId, eventId), question)
  const answer = 'It is.'
  const answerId = await say(bob, answer)
  assert.equal(await readText(alice, roomId, answerId), answer)
  early = [
    { eventId, body: question },
    { eventId: answerId, body: answer },
  ]
  const stored = await bob.client.fetchRoomEvent(roomId, eventId)
  assert.equal(stored.type, EventType.RoomMessageEncrypted)
  assert.equal(stored.content?.['algorithm'], megolm)
  assert(!JSON.stringify(stored).includes(question), 'the server can read the message')
})

chapter('a second device is verified by emoji, and gets the secrets of the first', async () => {
  laptop = await logInEncrypted(server.url, alice)
  await until('the laptop to know its user', () => laptop.crypto.userHasCrossSigningKeys(undefined, true))
  const before = await laptop.crypto.getCrossSigningStatus()
  assert.equal(before.privateKeysCachedLocally.selfSigningKey, false)
  await until('the first device to know the second', async () =>
    (await alice.crypto.getUserDeviceInfo([alice.userId])).get(alice.userId)?.has(laptop.deviceId),
  )
  const asked = await laptop.crypto.requestOwnUserVerification()
  const answering = await until('the request', () =>
    alice.crypto
      .getVerificationRequestsToDeviceInProgress(alice.userId)
      .find(({ transactionId }) => transactionId === asked.transactionId),
  )
  await compareEmoji(asked, answering)
  await until('the laptop to be verified', async () => (await statusFor(alice, laptop))?.crossSigningVerified)
  await until('the first to be verified', async () => (await statusFor(laptop, alice))?.crossSigningVerified)
  await until('the private keys to come from the other device', async () => {
    const { privateKeysCachedLocally: keys } = await laptop.crypto.getCrossSigningStatus()
    return keys.masterKey && keys.selfSigningKey && keys.userSigningKey
  })
})

chapter('three devices read each other', async () => {
  await until('Bob to know both devices', async () => (await statusFor(bob, laptop))?.signedByOwner)
  await sayTo([alice, laptop], bob, 'The key hangs by the door.')
  await sayTo([bob, laptop], alice, 'Which door?')
  await sayTo([alice, bob], laptop, 'The back door.')
})

chapter('two users verify each other in the room', async () => {
  assert.equal((await bob.crypto.getUserVerificationStatus(alice.userId)).isCrossSigningVerified(), false)
  const asked = await within('asking', bob.crypto.requestVerificationDM(alice.userId, roomId))
  const answering = await until('the request', () =>
    alice.crypto.findVerificationRequestDMInProgress(roomId, bob.userId),
  )
  await compareEmoji(asked, answering)
  for (const [one, other] of [
    [bob, alice],
    [alice, bob],
    // Signed by the other device of the same user.
    [laptop, bob],
  ] as const) {
    await until(`${one.deviceId} to trust ${other.userId}`, async () =>
      (await one.crypto.getUserVerificationStatus(other.userId)).isCrossSigningVerified(),
    )
  }
  // Bob compared with one device, and trusts the one that it signed.
  assert.equal((await statusFor(bob, laptop))?.crossSigningVerified, true)
})

chapter('secret storage keeps the keys, and the key backup the history', async () => {
  const generated = await alice.crypto.createRecoveryKeyFromPassphrase()
  recoveryKey = generated.encodedPrivateKey ?? ''
  await within(
    'setting up secret storage',
    alice.crypto.bootstrapSecretStorage({
      createSecretStorageKey: async () => generated,
      setupNewSecretStorage: true,
      setupNewKeyBackup: true,
    }),
  )
  assert.equal(await alice.crypto.isSecretStorageReady(), true)
  const version = await until('the backup', () => alice.crypto.getActiveSessionBackupVersion())
  const exported = await alice.crypto.exportRoomKeys()
  assert(exported.length >= 3, `${exported.length} keys of three senders to back up`)
  // Both devices upload what they have. The first one has every session from its first message, and the server keeps that.
  await until('all keys to be backed up', async () => {
    const { rooms } = await ask<KeyBackup>(alice, `/room_keys/keys?version=${version}`)
    const keys = Object.values(rooms[roomId]?.sessions ?? {})
    return keys.length === exported.length && keys.every((key) => key.first_message_index === 0)
  })
  // Its other device gets the key of the backup from this one.
  await until(
    'the laptop to use it',
    async () => (await laptop.crypto.getActiveSessionBackupVersion()) === version,
  )
})

chapter('a fresh device with the recovery key signs itself and reads the history', async () => {
  tablet = await logInEncrypted(server.url, alice)
  const before = await Promise.all(early.map(({ eventId }) => eventOn(tablet, eventId)))
  for (const event of before) assert.equal(event.isDecryptionFailure(), true, 'readable without a key')
  tablet.unlock(recoveryKey)
  await tablet.crypto.userHasCrossSigningKeys(undefined, true)
  await within('signing itself', tablet.crypto.bootstrapCrossSigning({}))
  await until('the tablet to be verified', async () => (await statusFor(bob, tablet))?.crossSigningVerified)
  await within('the backup key', tablet.crypto.loadSessionBackupPrivateKeyFromSecretStorage())
  const backup = await within('checking the backup', tablet.crypto.checkKeyBackupAndEnable())
  assert.equal(backup?.trustInfo.trusted, true)
  const { total, imported } = await within('restoring', tablet.crypto.restoreKeyBackup())
  assert.deepEqual(imported, total)
  for (const { eventId, body } of early) assert.equal(await readText(tablet, roomId, eventId), body)
})

chapter('unread counts follow the push rules', async () => {
  await alice.client.sendReadReceipt(await eventOn(alice, await say(alice, 'I go to bed.')))
  await until('a count of nothing', async () => (await unreadOf(alice, roomId)).total === 0)
  const { total: unread } = await unreadOf(bob, roomId)
  assert(unread > 0, 'Bob sent no receipts')
  await say(bob, 'Sleep well.')
  await say(bob, 'The stove is out.')
  const last = await say(bob, 'I lock the door.')
  assert.deepEqual(await unreadOf(alice, roomId), { total: 3, highlight: 0 })
  assert.deepEqual(await unreadOf(bob, roomId), { total: 0, highlight: 0 }, 'who speaks has read the room')
  await readText(alice, roomId, last)
  const room = roomOf(alice, roomId)
  await until('the SDK to count', () => room.getUnreadNotificationCount(NotificationCountType.Total) === 3)
  // The server cannot see who is meant. The client can.
  const mention = await bob.client.sendMessage(roomId, {
    msgtype: MsgType.Text,
    body: 'Alice?',
    'm.mentions': { user_ids: [alice.userId] },
  })
  await readText(alice, roomId, mention.event_id)
  await until('the highlight', () => room.getUnreadNotificationCount(NotificationCountType.Highlight) === 1)
  assert.deepEqual(await unreadOf(alice, roomId), { total: 4, highlight: 0 })
  await alice.client.sendReadReceipt(await eventOn(alice, mention.event_id))
  assert.deepEqual(await unreadOf(alice, roomId), { total: 0, highlight: 0 })
  await until('none', () => room.getUnreadNotificationCount(NotificationCountType.Total) === 0)
  await alice.client.setRoomMutePushRule('global', roomId, true)
  await readText(alice, roomId, await say(bob, 'Nobody hears this.'))
  assert.deepEqual(await unreadOf(alice, roomId), { total: 0, highlight: 0 })
})

chapter('a device that logged out gets no more keys', async () => {
  const before = await say(bob, 'All of you read this.')
  assert.equal(await readText(laptop, roomId, before), 'All of you read this.')
  const gone = `${alice.userId} ${laptop.deviceId}`
  assert(bob.line.addressed.includes(gone), 'Bob sent the laptop keys before')
  await laptop.client.logout(true)
  await until('Bob to know that the laptop is gone', async () => (await statusFor(bob, laptop)) === null)
  bob.line.addressed.length = 0
  const eventId = await say(bob, 'The laptop does not.')
  for (const device of [alice, tablet]) {
    assert.equal(await readText(device, roomId, eventId), 'The laptop does not.')
    assert(bob.line.addressed.includes(`${alice.userId} ${device.deviceId}`), 'a new key was sent')
  }
  assert(!bob.line.addressed.includes(gone), 'Bob still sends the laptop keys')
  assert.notEqual(await sessionOf(eventId), await sessionOf(before), 'the laptop has the key of the message')
})

chapter(
  'restarts in the middle lose no key',
  async () => {
    // Every message has a key of its own, which comes as a message to each device. Bob has no backup to get it from.
    const attic = await encryptedRoom('Attic', { rotation_period_msgs: 1 })
    phone = await logInEncrypted(server.url, bob)
    await until('Alice to know the phone', async () => (await statusFor(alice, phone)) !== null)
    const burst = new Burst(attic)
    phone.line.cut()
    const sending = burst.sendTexts(alice, 30)
    await until('the first few', () => burst.acknowledged.size >= 5, 60_000)
    await server.kill()
    await within('the start after a kill', server.restart(), 60_000)
    await until('some more', () => burst.acknowledged.size >= 15, 90_000)
    assert(burst.acknowledged.size < 30, 'stopped too late')
    await server.stop()
    await within('the start after a stop', server.restart(), 60_000)
    await within('the rest', sending, 120_000)
    phone.line.mend()
    for (const { client, deviceId } of [alice, bob, phone]) {
      await until(`${deviceId} to sync again`, () => client.getSyncState() === SyncState.Syncing, 60_000)
    }
    assert.equal(burst.acknowledged.size, 30)
    for (const device of [bob, phone]) await pageBack(device, attic, [...burst.acknowledged.keys()])
    const sessions = new Set<unknown>()
    for (const [eventId, body] of burst.acknowledged) {
      for (const device of [bob, phone]) assert.equal(await readText(device, attic, eventId), body)
      sessions.add(await sessionOf(eventId, attic))
    }
    assert.equal(sessions.size, 30, 'each message had a key of its own')
  },
  420_000,
)

async function statusFor(device: EncryptedDevice, other: EncryptedDevice) {
  return await device.crypto.getDeviceVerificationStatus(other.userId, other.deviceId)
}

async function eventOn({ client, deviceId }: EncryptedDevice, eventId: string) {
  return await until(`${eventId} on ${deviceId}`, () => client.getRoom(roomId)?.findEventById(eventId))
}

/** A sync after a while brings the last few events alone; the device fetches those before. */
async function pageBack(device: EncryptedDevice, room: string, eventIds: readonly string[]): Promise<void> {
  const known = roomOf(device, room)
  while (!eventIds.every((eventId) => known.findEventById(eventId))) {
    assert(known.oldState.paginationToken !== null, 'an event is in no page of the history')
    await within('a page of history', device.client.scrollback(known, 30))
  }
}

/** The session that an event was encrypted with, as the server has it. */
async function sessionOf(eventId: string, room = roomId): Promise<unknown> {
  const session: unknown = (await bob.client.fetchRoomEvent(room, eventId)).content?.['session_id']
  assert(typeof session === 'string', 'an event without a session')
  return session
}

/** What the server counts, which the SDK corrects by what it reads. */
async function unreadOf(
  device: EncryptedDevice,
  room: string,
): Promise<{ total: number; highlight: number }> {
  const filter = JSON.stringify({ room: { rooms: [room], timeline: { limit: 1 } } })
  const { rooms } = await ask<{
    rooms: { join: Record<string, { unread_notifications: Record<string, number> }> }
  }>(device, `/sync?filter=${encodeURIComponent(filter)}`)
  const counts = rooms.join[room]?.unread_notifications
  return { total: counts?.['notification_count'] ?? -1, highlight: counts?.['highlight_count'] ?? -1 }
}

interface KeyBackup {
  rooms: Record<string, { sessions: Record<string, { first_message_index: number }> }>
}

/** What the server answers, without the SDK between. */
async function ask<T>({ client }: EncryptedDevice, path: string): Promise<T> {
  const answer = await fetch(`${server.url}/_matrix/client/v3${path}`, {
    headers: { Authorization: `Bearer ${client.getAccessToken()}` },
  })
  assert.equal(answer.status, 200)
  return await answer.json<T>()
}
