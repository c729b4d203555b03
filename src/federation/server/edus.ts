// Ephemeral data of other servers, by one table of what is understood. Each says something about its origin's users only.
// Specification: server-server API, "EDUs", "Typing Notifications", "Receipts", "Device Management".

import { tellRoomEdu } from '../../appservice/tell-room-edu.ts'
import { config } from '../../config.ts'
import { type Env, hubStub, roomStub } from '../../env.ts'
import { errorMessage, log } from '../../log.ts'
import type { RoomId, ServerName, UserId } from '../../matrix/event.ts'
import { parseEventId, parseRoomId, parseUserId } from '../../matrix/identifiers.ts'
import { isJsonObject, type JsonObject, objectProperty, property, stringProperty } from '../../matrix/json.ts'
import { receiveDeviceListUpdate, receiveSigningKeyUpdate } from './key-edus.ts'
import { receivePresence } from './presence-edus.ts'
import { receiveDirectToDevice } from './to-device-edus.ts'

type EduHandler = (env: Env, origin: ServerName, content: JsonObject) => Promise<void>

const handlers = new Map<string, EduHandler>([
  ['m.typing', receiveTyping],
  ['m.receipt', receiveReceipts],
  ['m.device_list_update', receiveDeviceListUpdate],
  ['m.signing_key_update', receiveSigningKeyUpdate],
  ['m.direct_to_device', receiveDirectToDevice],
  ['m.presence', receivePresence],
])

// How long a remote user counts as typing when their server does not say that they stopped.
const typingTimeoutMs = 30_000

/** Receives EDUs. Unknown types and malformed ones are ignored; none fails the others. */
export async function receiveEdus(env: Env, origin: ServerName, edus: readonly JsonObject[]): Promise<void> {
  for (const edu of edus) {
    const handler = handlers.get(stringProperty(edu, 'edu_type') ?? '')
    const content = objectProperty(edu, 'content')
    if (handler && content) await alone(origin, () => handler(env, origin, content))
  }
}

/** Does something with one piece of what a server says. When it fails, it fails alone, and that is logged. */
async function alone(origin: ServerName, handle: () => Promise<void>): Promise<void> {
  try {
    await handle()
  } catch (error) {
    log({ event: 'edu_ignored', server: origin, error: errorMessage(error) })
  }
}

async function receiveTyping(env: Env, origin: ServerName, content: JsonObject): Promise<void> {
  const roomId = parseRoomId(stringProperty(content, 'room_id') ?? '')
  const userId = parseUserId(stringProperty(content, 'user_id') ?? '')
  const typing = property(content, 'typing')
  if (!roomId || !userId || typeof typing !== 'boolean') return
  const [present] = await roomStub(env, roomId).joinedUsersOf(origin, [userId])
  if (!present) return
  const request = { userId: present, roomId, typing, timeout: typingTimeoutMs }
  await Promise.all([
    eachShard(env, (shard) => hubStub(env, shard).applyTyping(request)),
    tellRoomEdu(env, { type: 'm.typing', ...request }),
  ])
}

async function receiveReceipts(env: Env, origin: ServerName, content: JsonObject): Promise<void> {
  for (const [id, receipts] of Object.entries(content)) {
    const roomId = parseRoomId(id)
    // Since v1.4 receipts carry the thread they belong to; private ones never leave their server.
    const read = isJsonObject(receipts) ? objectProperty(receipts, 'm.read') : undefined
    // Receipts of many rooms come as one: that one of the rooms shuts the server out is no matter to the others.
    if (roomId && read) await alone(origin, () => receiveRead(env, origin, roomId, read))
  }
}

async function receiveRead(env: Env, origin: ServerName, roomId: RoomId, read: JsonObject): Promise<void> {
  const named = Object.keys(read).flatMap((id) => parseUserId(id) ?? [])
  for (const userId of await roomStub(env, roomId).joinedUsersOf(origin, named)) {
    const receipt = readReceipt(userId, roomId, objectProperty(read, userId))
    if (!receipt) continue
    await Promise.all([
      eachShard(env, (shard) => hubStub(env, shard).applyReceipt(receipt)),
      tellRoomEdu(env, { ...receipt, type: 'm.receipt', receipt: receipt.type }),
    ])
  }
}

function readReceipt(userId: UserId, roomId: RoomId, receipt: JsonObject | undefined) {
  const ids = property(receipt, 'event_ids')
  const first = Array.isArray(ids) ? ids[0] : undefined
  const eventId = typeof first === 'string' ? parseEventId(first) : undefined
  if (!eventId) return undefined
  const data = objectProperty(receipt, 'data')
  const ts = property(data, 'ts')
  const threadId = property(data, 'thread_id')
  // Each thread has a receipt of its own: nothing else than a thread must become one.
  if (threadId !== undefined && !isThread(threadId)) return undefined
  return {
    userId,
    roomId,
    type: 'm.read' as const,
    eventId,
    ts: typeof ts === 'number' && Number.isSafeInteger(ts) && ts >= 0 ? ts : Date.now(),
    ...(threadId === undefined ? {} : { threadId }),
  }
}

function isThread(threadId: unknown): threadId is string {
  return threadId === 'main' || (typeof threadId === 'string' && parseEventId(threadId) !== undefined)
}

async function eachShard(env: Env, tell: (shard: number) => Promise<unknown>): Promise<void> {
  const { hubShards } = config(env)
  await Promise.all(Array.from({ length: hubShards }, (_, shard) => tell(shard)))
}
