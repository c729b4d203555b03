// A device with the SDK's own end-to-end encryption, its store in memory.

import assert from 'node:assert/strict'
import type { AuthDict, MatrixEvent } from 'matrix-js-sdk'
import {
  type CryptoApi,
  type CryptoCallbacks,
  decodeRecoveryKey,
  VerificationPhase,
  type VerificationRequest,
  type Verifier,
  VerifierEvent,
  type ShowSasCallbacks,
} from 'matrix-js-sdk/lib/crypto-api/index.js'
import { Line } from './line.ts'
import { logIn, register, startSyncing, until, within, type Person } from './person.ts'

export interface EncryptedDevice extends Person {
  readonly deviceId: string
  readonly crypto: CryptoApi
  readonly line: Line
  /** Gives the device the recovery key, as its user would type it. */
  readonly unlock: (recoveryKey: string) => void
}

/** Registers a user, whose first device syncs and has encryption. */
export function registerEncrypted(baseUrl: string, username: string): Promise<EncryptedDevice> {
  return startEncryption((options) => register(baseUrl, username, options))
}

/** One more device of a user, that syncs and has encryption. */
export function logInEncrypted(baseUrl: string, person: Person): Promise<EncryptedDevice> {
  return startEncryption((options) => logIn(baseUrl, person, options))
}

async function startEncryption(
  enter: (options: { cryptoCallbacks: CryptoCallbacks; fetchFn: typeof fetch }) => Promise<Person>,
): Promise<EncryptedDevice> {
  const line = new Line()
  let recoveryKey: Uint8Array<ArrayBuffer> | undefined
  const person = await enter({
    fetchFn: line.fetch,
    cryptoCallbacks: {
      cacheSecretStorageKey: (_id, _info, key) => (recoveryKey = key),
      getSecretStorageKey: async ({ keys }) => {
        const [id] = Object.keys(keys)
        return id === undefined || recoveryKey === undefined ? null : [id, recoveryKey]
      },
    },
  })
  await within('starting encryption', person.client.initRustCrypto({ useIndexedDB: false }))
  await startSyncing(person)
  const crypto = person.client.getCrypto()
  const deviceId = person.client.getDeviceId()
  assert(crypto && deviceId !== null, 'the SDK has no encryption')
  return { ...person, deviceId, crypto, line, unlock: (key) => (recoveryKey = decodeRecoveryKey(key)) }
}

/** Makes and publishes cross-signing keys. The server may want the password for it. */
export async function makeIdentity({ crypto, userId, password }: EncryptedDevice): Promise<void> {
  const authUploadDeviceSigningKeys = async (upload: (auth: AuthDict | null) => Promise<void>) => {
    const identifier = { type: 'm.id.user', user: userId }
    const byPassword = (session: unknown) => ({ type: 'm.login.password', identifier, password, session })
    await upload(null).catch(async (refusal: unknown) => {
      const { session } = (refusal as { data?: { session?: unknown } }).data ?? {}
      await upload(byPassword(session))
    })
  }
  await within(
    `cross-signing keys of ${userId}`,
    crypto.bootstrapCrossSigning({ authUploadDeviceSigningKeys }),
  )
}

/** The text of an encrypted message, once the device has it and can read it. */
export async function readText(device: EncryptedDevice, roomId: string, eventId: string): Promise<unknown> {
  const event = await until(`${eventId} to reach ${device.userId} ${device.deviceId}`, () =>
    device.client.getRoom(roomId)?.findEventById(eventId),
  )
  assert.equal(event.getWireType(), 'm.room.encrypted')
  await until(`${device.deviceId} to read ${eventId}`, () => isReadable(event)).catch((error: unknown) => {
    throw new Error(`${String(error)}: ${event.decryptionFailureReason ?? 'not tried'}`)
  })
  return event.getContent().body
}

/** Whether an event was decrypted. */
export function isReadable(event: MatrixEvent): boolean {
  return !event.isBeingDecrypted() && !event.isDecryptionFailure() && event.getType() === 'm.room.message'
}

/** Two devices compare emoji, both of which say that they are the same. Fails unless they are. */
export async function compareEmoji(
  asked: VerificationRequest,
  answering: VerificationRequest,
): Promise<void> {
  await answering.accept()
  await until('the request to be accepted', () => asked.phase === VerificationPhase.Ready)
  const first = await within('starting to compare', asked.startVerification('m.sas.v1'))
  const second = await until('the other side to start', () => answering.verifier)
  const shown = [first, second].map((verifier) => shownBy(verifier))
  const verified = Promise.all([first.verify(), second.verify()])
  // Looked at below.
  verified.catch(() => undefined)
  const [one, other] = await within('the emoji', Promise.all(shown))
  assert(one?.sas.emoji?.length === 7, 'seven emoji')
  assert.deepEqual(one.sas.emoji, other?.sas.emoji, 'both see the same')
  await Promise.all([one.confirm(), other?.confirm()])
  await within('the end of the verification', verified)
  for (const { phase } of [asked, answering]) assert.equal(phase, VerificationPhase.Done)
}

function shownBy(verifier: Verifier): Promise<ShowSasCallbacks> {
  return new Promise((resolve) => verifier.once(VerifierEvent.ShowSas, resolve))
}
