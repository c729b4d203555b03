// A second, simulated server: it signs events of its users and hands them to our Room objects.

import { randomBytes } from 'node:crypto'
import { eventIdOf } from '../../src/matrix/event-hash.ts'
import { signEvent } from '../../src/matrix/event-signature.ts'
import type { EventId, RoomId, UserId } from '../../src/matrix/event.ts'
import type { JsonObject } from '../../src/matrix/json.ts'
import { roomVersion, type RoomVersionId, type RoomVersionRules } from '../../src/matrix/room-version.ts'
import { signingKeyFromSeed } from '../../src/matrix/signing.ts'
import type { EventDraft } from '../../src/room/build-event.ts'
import type { CreateRoomRequest } from '../../src/room/create-room.ts'
import type { Receipt, ServerKeySet } from '../../src/room/receive-pdu.ts'
import type { TestServer } from './server.ts'

const remoteName = 'remote.test'
const keyId = 'ed25519:1'
const key = signingKeyFromSeed(randomBytes(32))

/** The remote server's keys as a caller of `receivePdus` brings them. */
export const remoteKeys: ServerKeySet = {
  [remoteName]: { [keyId]: { key: key.publicKey, validUntilTs: Number.MAX_SAFE_INTEGER } },
}

export function remoteUser(localpart: string): UserId {
  return `@${localpart}:${remoteName}` as UserId
}

export function rulesOf(version: RoomVersionId): RoomVersionRules {
  const rules = roomVersion(version)
  if (!rules) throw new Error(`no room version ${version}`)
  return rules
}

/** A public room of a local user, made through the Room object's own RPC. */
export async function publicRoom(server: TestServer, creator: UserId, version: RoomVersionId) {
  const roomId = `!${randomBytes(9).toString('hex')}:test.local` as RoomId
  const room = await server.room(roomId)
  const content = version === '11' ? { room_version: version } : { room_version: version, creator }
  const request: CreateRoomRequest = {
    roomId,
    roomVersion: version,
    creator,
    creatorProfile: {},
    create: { content },
    preset: 'public_chat',
    powerLevelContentOverride: {},
    initialState: [],
    invite: [],
    isDirect: false,
    published: false,
    localUsers: [],
  }
  await room.createRoom(request)
  return { roomId, room, rules: rulesOf(version) }
}

export type TestRoom = Awaited<ReturnType<typeof publicRoom>>

/** A template of the room for a remote user's event, to be changed and signed. */
export async function template({ room }: TestRoom, draft: EventDraft): Promise<JsonObject> {
  return JSON.parse(await room.eventTemplate(draft)) as JsonObject
}

/** Hashes and signs an event as the remote server. */
export function sign({ rules }: TestRoom, fields: JsonObject): { pdu: JsonObject; eventId: EventId } {
  const withId =
    rules.eventId === 'field'
      ? { ...fields, event_id: `$${randomBytes(9).toString('hex')}:${remoteName}` }
      : fields
  const pdu = signEvent(withId, rules, remoteName, keyId, key)
  return { pdu, eventId: eventIdOf(pdu, rules) }
}

/** Hands PDUs in with the remote server's keys. */
export async function receive({ room }: TestRoom, ...pdus: JsonObject[]): Promise<Receipt[]> {
  return await room.receivePdus(pdus, remoteKeys)
}

/** Joins a remote user by a template. Returns the join's event id. */
export async function join(room: TestRoom, userId: UserId): Promise<EventId> {
  const draft = { type: 'm.room.member', sender: userId, state_key: userId, content: { membership: 'join' } }
  const { pdu, eventId } = sign(room, await template(room, draft))
  const [receipt] = await receive(room, pdu)
  if (receipt?.outcome !== 'accepted') throw new Error(`join: ${JSON.stringify(receipt)}`)
  return eventId
}
