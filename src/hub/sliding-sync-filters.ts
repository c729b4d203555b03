// Filters of lists of rooms. Specification: MSC4186 (simplified sliding sync), "SlidingRoomFilter".

import type { RoomId } from '../matrix/event.ts'
import { isJsonObject, type JsonObject, objectProperty, stringProperty } from '../matrix/json.ts'
import { getAccountData, globalRid, roomAccountDataSince } from './account-data.ts'
import type { HubContext } from './context.ts'
import { findRoom, roomIdOf } from './interned.ts'
import type { RoomFacts } from './room-news.ts'
import type { RoomListFilters } from './sliding-sync-request.ts'
import type { UserRoom } from './sliding-sync-rooms.ts'

/** The numbers of the rooms that are direct chats by the user's account data. */
export function directRooms(hub: HubContext, uid: number): Set<number> {
  const text = getAccountData(hub, uid, globalRid, 'm.direct')
  const content: unknown = text === undefined ? undefined : JSON.parse(text)
  const roomIds = isJsonObject(content) ? Object.values(content).flat() : []
  const rids = roomIds.map((id) => (typeof id === 'string' ? findRoom(hub, id as RoomId) : undefined))
  return new Set(rids.filter((rid) => rid !== undefined))
}

/** Whether filters let a room through. What they look at is read when first needed. */
export function roomFilter(
  hub: HubContext,
  uid: number,
): (room: UserRoom, filters: RoomListFilters) => boolean {
  const tags = once(() => tagsByRoom(hub, uid))
  const spaces = once(() => joinedSpaces(hub, uid))
  const factsOf = (room: UserRoom): Pick<RoomFacts, 'type' | 'encrypted'> =>
    room.membership === 'invite' || room.membership === 'knock' ? strippedFacts(room.stripped) : room
  return (room, filters) => {
    const { isDm, isEncrypted, isInvited, roomTypes, notRoomTypes } = filters
    if (isDm !== undefined && room.isDm !== isDm) return false
    if (isInvited !== undefined && (room.membership === 'invite') !== isInvited) return false
    if (isEncrypted !== undefined && factsOf(room).encrypted !== isEncrypted) return false
    // What is in both lists is left out.
    if (notRoomTypes?.includes(factsOf(room).type ?? null)) return false
    if (roomTypes && !roomTypes.includes(factsOf(room).type ?? null)) return false
    return passesTags(filters, tags, room) && passesSpaces(filters, spaces, hub, room)
  }
}

function passesTags(
  { tags, notTags }: RoomListFilters,
  tagged: () => ReadonlyMap<number, readonly string[]>,
  { rid }: UserRoom,
): boolean {
  if (!tags && !notTags) return true
  const own = tagged().get(rid) ?? []
  if (notTags && own.some((tag) => notTags.includes(tag))) return false
  return !tags || own.some((tag) => tags.includes(tag))
}

// Rooms that are children of one of the spaces themselves; spaces that the user has not joined do not count.
function passesSpaces(
  { spaces }: RoomListFilters,
  joined: () => ReadonlyMap<string, ReadonlySet<string>>,
  hub: HubContext,
  { rid }: UserRoom,
): boolean {
  return !spaces || spaces.some((space) => joined().get(space)?.has(roomIdOf(hub, rid)))
}

function tagsByRoom(hub: HubContext, uid: number): Map<number, readonly string[]> {
  const tags = roomAccountDataSince(hub, uid, 0, hub.position).filter(({ type }) => type === 'm.tag')
  return new Map(
    tags.map(({ rid, content }) => {
      const parsed: unknown = JSON.parse(content)
      return [rid, Object.keys((isJsonObject(parsed) ? objectProperty(parsed, 'tags') : undefined) ?? {})]
    }),
  )
}

/** Space → its children, by room id. */
function joinedSpaces(hub: HubContext, uid: number): Map<string, ReadonlySet<string>> {
  const rows = hub.sql.exec<{ rid: number; children: string }>(
    `SELECT rid, children FROM user_room JOIN room_facts USING (rid)
     WHERE uid = ? AND membership = 'join' AND children IS NOT NULL`,
    uid,
  )
  // Written by `keepFacts` alone.
  return new Map(
    [...rows].map(({ rid, children }) => [roomIdOf(hub, rid), new Set(JSON.parse(children) as string[])]),
  )
}

// Of a room that one is only invited to, what the invite says.
function strippedFacts(stripped: string | null): RoomFacts {
  const state = stripped === null ? [] : (JSON.parse(stripped) as JsonObject[])
  const contentOf = (type: string) =>
    objectProperty(
      state.find((event) => event['type'] === type),
      'content',
    )
  const type = stringProperty(contentOf('m.room.create'), 'type')
  return { ...(type === undefined ? {} : { type }), encrypted: contentOf('m.room.encryption') !== undefined }
}

function once<T>(read: () => T): () => T {
  let known: { readonly value: T } | undefined
  return () => (known ??= { value: read() }).value
}
