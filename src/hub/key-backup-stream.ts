// The keys of a backup as the JSON of an answer, read and written page by page: a backup may hold tens of thousands.
// Specification: client-server API, "Server-side key backups".

import type { HubContext } from './context.ts'
import { type BackedUpKey, getKeyBackup, type PlacedKey, readBackedUpKeys } from './key-backup.ts'

const keysPerPage = 256

/** One key as its endpoint answers it. */
export function keyBackupData(key: BackedUpKey): string {
  return (
    `{"first_message_index":${key.firstMessageIndex},"forwarded_count":${key.forwardedCount},` +
    `"is_verified":${key.isVerified},"session_data":${key.sessionData}}`
  )
}

/**
 * `{"rooms": …}` for all keys of a version, `{"sessions": …}` for those of a room, as UTF-8. Undefined for an unknown
 * version. Keys that change while it is read come as they were or as they are.
 */
export function streamBackedUpKeys(
  hub: HubContext,
  uid: number,
  version: string,
  roomId?: string,
): ReadableStream<Uint8Array> | undefined {
  if (!getKeyBackup(hub, uid, version)) return undefined
  const selection = roomId === undefined ? {} : { roomId }
  const encoder = new TextEncoder()
  let last: PlacedKey | undefined
  return new ReadableStream({
    type: 'bytes',
    pull(controller) {
      const page = readBackedUpKeys(hub, uid, version, selection, { after: last, limit: keysPerPage })
      const start = last === undefined ? opening(roomId) : ''
      const text = start + page.map((key, index) => placed(key, page[index - 1] ?? last, roomId)).join('')
      last = page.at(-1) ?? last
      const ends = page.length < keysPerPage
      controller.enqueue(encoder.encode(ends ? text + closing(roomId, last) : text))
      if (ends) controller.close()
    },
  })
}

function opening(roomId: string | undefined): string {
  return roomId === undefined ? '{"rooms":{' : '{"sessions":{'
}

function closing(roomId: string | undefined, last: PlacedKey | undefined): string {
  return roomId === undefined && last ? '}}}}' : '}}'
}

// A key behind the one before it; where its room is another, that one is closed first.
function placed(key: PlacedKey, before: PlacedKey | undefined, roomId: string | undefined): string {
  const session = `${JSON.stringify(key.sessionId)}:${keyBackupData(key)}`
  if (roomId !== undefined) return before ? `,${session}` : session
  if (before?.roomId === key.roomId) return `,${session}`
  return `${before ? '}},' : ''}${JSON.stringify(key.roomId)}:{"sessions":{${session}`
}
