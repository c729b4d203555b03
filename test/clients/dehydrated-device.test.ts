// A user of an unmodified matrix-js-sdk who is logged in nowhere gets the keys of what is said meanwhile, by a dehydrated device.

import assert from 'node:assert/strict'
import { after, before } from 'node:test'
import { EventType, Preset } from 'matrix-js-sdk'
import { chapter } from './chapter.ts'
import {
  type EncryptedDevice,
  logInEncrypted,
  makeIdentity,
  readText,
  registerEncrypted,
} from './encrypted-device.ts'
import { startServer, type Server } from './launcher.ts'
import { until, within } from './person.ts'
import { keepSdkLog } from './sdk-log.ts'

let server: Server
let alice: EncryptedDevice
/** Her device of a later login. */
let laptop: EncryptedDevice
let bob: EncryptedDevice
let roomId: string
let recoveryKey: string

before(async () => {
  keepSdkLog()
  server = await within('starting the server', startServer(), 60_000)
})
after(async () => {
  for (const device of [alice, laptop, bob]) device?.client.stopClient()
  await server?.remove()
})

async function say(device: EncryptedDevice, body: string): Promise<string> {
  const sent = device.client.sendTextMessage(roomId, body)
  const { event_id: eventId } = await within(`sending "${body}"`, sent)
  return eventId
}

/** The devices of a user that are dehydrated, as another sees them. */
async function dehydratedOf(asker: EncryptedDevice, user: EncryptedDevice): Promise<string[]> {
  const devices = await asker.crypto.getUserDeviceInfo([user.userId], true)
  return [...(devices.get(user.userId)?.values() ?? [])]
    .filter(({ dehydrated }) => dehydrated)
    .map(({ deviceId }) => deviceId)
}

chapter('a user with secret storage leaves a dehydrated device behind', async () => {
  alice = await registerEncrypted(server.url, 'alice')
  bob = await registerEncrypted(server.url, 'bob')
  await makeIdentity(alice)
  await makeIdentity(bob)
  const generated = await alice.crypto.createRecoveryKeyFromPassphrase()
  recoveryKey = generated.encodedPrivateKey ?? ''
  await within(
    'setting up secret storage',
    alice.crypto.bootstrapSecretStorage({
      createSecretStorageKey: async () => generated,
      setupNewSecretStorage: true,
    }),
  )
  const { room_id: created } = await alice.client.createRoom({
    preset: Preset.PrivateChat,
    invite: [bob.userId],
    initial_state: [
      { type: EventType.RoomEncryption, state_key: '', content: { algorithm: 'm.megolm.v1.aes-sha2' } },
    ],
  })
  roomId = created
  await until('the invite', () => bob.client.getRoom(roomId))
  await bob.client.joinRoom(roomId)
  await until('the encryption', () => bob.client.getRoom(roomId)?.hasEncryptionStateEvent())
  assert.equal(await alice.crypto.isDehydrationSupported(), true)
  await within('dehydrating', alice.crypto.startDehydration())
  const devices = await until('Bob to see the device', async () => {
    const found = await dehydratedOf(bob, alice)
    return found.length > 0 && found
  })
  assert.equal(devices.length, 1)
  const [deviceId = ''] = devices
  const status = await bob.crypto.getDeviceVerificationStatus(alice.userId, deviceId)
  assert.equal(status?.signedByOwner, true)
})

let missed: string[]

chapter('messages are sent while she is logged in nowhere', async () => {
  const before = await say(bob, 'Are you there?')
  assert.equal(await readText(alice, roomId, before), 'Are you there?')
  const [dry = ''] = await dehydratedOf(bob, alice)
  await within('logging out', alice.client.logout(true))
  await until('Bob to know', async () => {
    const devices = await bob.crypto.getUserDeviceInfo([alice.userId], true)
    return [...(devices.get(alice.userId)?.keys() ?? [])].join() === dry
  })
  bob.line.addressed.length = 0
  missed = [await say(bob, 'The boat leaves at six.'), await say(bob, 'From the old pier.')]
  assert(bob.line.addressed.includes(`${alice.userId} ${dry}`), 'Bob sent it the key')
  await server.kill()
  await within('the start after a kill', server.restart(), 60_000)
})

chapter('a later login rehydrates it, reads them, and leaves another one behind', async () => {
  const [dry] = await dehydratedOf(bob, alice)
  laptop = await logInEncrypted(server.url, alice)
  for (const eventId of missed) {
    const event = await until(`${eventId} on the laptop`, () =>
      laptop.client.getRoom(roomId)?.findEventById(eventId),
    )
    await until('the laptop to try', () => !event.isBeingDecrypted() && event.isDecryptionFailure())
  }
  laptop.unlock(recoveryKey)
  await laptop.crypto.userHasCrossSigningKeys(undefined, true)
  await within('signing itself', laptop.crypto.bootstrapCrossSigning({}))
  await within('rehydrating', laptop.crypto.startDehydration())
  assert.equal(await readText(laptop, roomId, missed[0] ?? ''), 'The boat leaves at six.')
  assert.equal(await readText(laptop, roomId, missed[1] ?? ''), 'From the old pier.')
  await until('Bob to see the other one', async () => {
    const now = await dehydratedOf(bob, alice)
    return now.length === 1 && now[0] !== dry
  })
})
