// What the children of an event come to, in `unsigned.m.relations` of the event.
// Specification: client-server API, "Aggregations of child events" and the relationship types.

import { isJsonObject, type JsonObject, objectProperty } from '../matrix/json.ts'
import { clientEvent, type Viewer } from './client-event.ts'
import { identity, type RoomContext } from './context.ts'
import type { StoredEvent } from './events.ts'
import { childEvent, childrenOf, relationOf, type ChildRow } from './relations.ts'
import type { View } from './visibility.ts'

/** Who reads, and what they may see. */
export interface Reader {
  readonly viewer: Viewer
  readonly view: Pick<View, 'sees' | 'lastJoined'>
}

/** The event for a client with its bundled aggregations. */
export function bundledEvent(room: RoomContext, reader: Reader, stored: StoredEvent): JsonObject {
  return withRelations(room, reader, stored, clientEvent(room, stored, reader.viewer))
}

/** Adds the aggregations to what a client gets of an event. */
export function withRelations(
  room: RoomContext,
  reader: Reader,
  stored: StoredEvent,
  event: JsonObject,
): JsonObject {
  const relations = aggregations(room, reader, stored)
  if (!relations) return event
  return { ...event, unsigned: { ...objectProperty(event, 'unsigned'), 'm.relations': relations } }
}

function aggregations(room: RoomContext, reader: Reader, stored: StoredEvent): JsonObject | undefined {
  // State events do not receive aggregations, nor do events that are there to be aggregated themselves.
  if (stored.event.state_key !== undefined) return undefined
  const own = relationOf(stored.event)?.relType
  if (own === 'm.replace' || own === 'm.annotation') return undefined
  const rows = childrenOf(room, stored.event.event_id, reader.viewer.ignored ?? []).filter(
    // Nobody is told what happened after they left.
    ({ pos }) => pos <= reader.view.lastJoined + 1,
  )
  if (rows.length === 0) return undefined
  const parts: JsonObject = {
    ...part('m.replace', replacement(room, reader, stored, rows)),
    ...part('m.reference', references(room, reader, rows)),
    ...part('m.thread', own === undefined ? thread(room, reader, stored, rows) : undefined),
  }
  return Object.keys(parts).length === 0 ? undefined : parts
}

function part(name: string, value: JsonObject | undefined): JsonObject {
  return value ? { [name]: value } : {}
}

/** The most recent valid replacement: by time, then by event id. A redacted event has none. */
function replacement(
  room: RoomContext,
  reader: Reader,
  original: StoredEvent,
  rows: readonly ChildRow[],
): JsonObject | undefined {
  if (original.redactedBy !== null) return undefined
  const { event } = original
  let latest: StoredEvent | undefined
  for (const row of rows) {
    // Same sender and type as the original, whatever else it says.
    if (row.rel_type !== 'm.replace' || row.sender !== event.sender || row.type !== event.type) continue
    const child = childEvent(room, row)
    if (!isReplacement(child) || !reader.view.sees(child)) continue
    if (!latest || isLater(child, latest)) latest = child
  }
  return latest && clientEvent(room, latest, reader.viewer)
}

// Neither of the two may be state. An encrypted one has its new content where we cannot see it.
function isReplacement({ event }: StoredEvent): boolean {
  if (event.state_key !== undefined) return false
  return event.type === 'm.room.encrypted' || isJsonObject(event.content['m.new_content'])
}

function isLater({ event: a }: StoredEvent, { event: b }: StoredEvent): boolean {
  if (a.origin_server_ts !== b.origin_server_ts) return a.origin_server_ts > b.origin_server_ts
  return a.event_id > b.event_id
}

function references(room: RoomContext, { view }: Reader, rows: readonly ChildRow[]): JsonObject | undefined {
  const chunk = rows
    .filter((row) => row.rel_type === 'm.reference')
    .map((row) => childEvent(room, row))
    .filter((child) => view.sees(child))
    .map(({ event }) => ({ event_id: event.event_id }))
  return chunk.length === 0 ? undefined : { chunk }
}

function thread(
  room: RoomContext,
  reader: Reader,
  root: StoredEvent,
  rows: readonly ChildRow[],
): JsonObject | undefined {
  const replies = rows.filter((row) => row.rel_type === 'm.thread')
  const last = replies.at(-1)
  if (!last) return undefined
  const latest = childEvent(room, last)
  const { userId } = reader.viewer
  return {
    // Its own children are aggregated as well; it cannot be a root itself.
    latest_event: reader.view.sees(latest)
      ? bundledEvent(room, reader, latest)
      : { event_id: latest.event.event_id, room_id: identity(room).roomId },
    count: replies.length,
    current_user_participated:
      root.event.sender === userId || replies.some(({ sender }) => sender === userId),
  }
}
