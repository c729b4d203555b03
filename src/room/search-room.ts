// A room's part of a search: which of its events match, and what stands around those that are shown.
// Specification: client-server API, "Server Side Search".

import type { RoomEventFilter } from '../matrix/filter.ts'
import { compileEventFilter } from '../matrix/filter-match.ts'
import { type JsonObject, stringProperty } from '../matrix/json.ts'
import { isIgnoredBy, type Viewer } from './client-event.ts'
import { findIdentity, identity, type RoomContext } from './context.ts'
import { type EventRow, inTimeline, storedEvent, type StoredEvent } from './events.ts'
import { plainTopic } from './index-room.ts'
import { currentEvent } from './state-at.ts'
import { requireReadable, viewOf } from './visibility.ts'

export type SearchKey = 'content.body' | 'content.name' | 'content.topic'

export interface RoomSearch {
  /** In lower case. An event matches that has all of them, or words that begin with them. */
  readonly words: readonly string[]
  readonly keys: readonly SearchKey[]
  readonly filter?: RoomEventFilter
  readonly order: 'recent' | 'rank'
  /** Only what comes behind this place in the order. */
  readonly after?: SearchPlace
  readonly limit: number
}

/** The place of a match in the order of results. */
export interface SearchPlace {
  readonly eventId: string
  readonly rank: number
  /** Milliseconds. */
  readonly ts: number
  /** In its room. */
  readonly pos: number
}

export interface SearchMatch extends SearchPlace {
  readonly sender: string
}

export interface RoomMatches {
  /** How many there are, wherever in the order. */
  readonly count: number
  readonly matches: readonly SearchMatch[]
  /** The words of the matches that were looked for, as they stand there. */
  readonly highlights: readonly string[]
}

// Bounds the work of one call: the newest events that may match.
const mostCandidates = 5000
const typeOfKey = {
  'content.body': 'm.room.message',
  'content.name': 'm.room.name',
  'content.topic': 'm.room.topic',
} as const

/** The matches of a room in the order asked for. None where the viewer may not read it. */
export function searchRoom(room: RoomContext, viewer: Viewer, search: RoomSearch): RoomMatches {
  const nothing = { count: 0, matches: [], highlights: [] }
  if (!findIdentity(room)) return nothing
  // Encrypted rooms are not searched: what the server could read of them says little.
  if (currentEvent(room, 'm.room.encryption')) return nothing
  const view = viewOf(room, viewer.userId)
  // Rooms that were never open to the viewer are passed over rather than refused.
  if (view.lastJoined === -Infinity && !view.worldReadable) return nothing
  const { upTo } = requireReadable(room, viewer.userId, view)
  const { roomId } = identity(room)
  const passes = compileEventFilter(search.filter)
  const highlights = new Set<string>()
  const all = candidates(room, search).flatMap((stored): SearchMatch[] => {
    const placed = inTimeline(room, stored)
    if (!placed || placed.eid > upTo || !view.sees(placed) || isIgnoredBy(viewer, placed)) return []
    if (!passes({ ...placed.event, room_id: roomId })) return []
    const rank = matchIn(placed, search, highlights)
    const { event_id: eventId, origin_server_ts: ts, sender } = placed.event
    return rank === 0 ? [] : [{ eventId, rank, ts, pos: placed.eid, sender }]
  })
  const compare = comparePlaces(search.order)
  const { after } = search
  const matches = all
    .filter((match) => !after || compare(match, after) > 0)
    .sort(compare)
    .slice(0, search.limit)
  return { count: all.length, matches, highlights: [...highlights] }
}

/** The order of results: the newest first, or the best and of those the newest. */
export function comparePlaces(order: 'recent' | 'rank'): (a: SearchPlace, b: SearchPlace) => number {
  return (a, b) => {
    if (order === 'rank' && a.rank !== b.rank) return b.rank - a.rank
    if (a.ts !== b.ts) return b.ts - a.ts
    if (a.pos !== b.pos) return b.pos - a.pos
    return a.eventId < b.eventId ? -1 : a.eventId > b.eventId ? 1 : 0
  }
}

// What SQLite can tell beforehand: the text has the longest word that is plain ASCII, whose case it knows to ignore.
function candidates(room: RoomContext, { words, keys }: RoomSearch): StoredEvent[] {
  // oxlint-disable-next-line no-control-regex
  const plain = words.filter((word) => /^[\x20-\x7e]+$/.test(word)).sort((a, b) => b.length - a.length)[0]
  const text = plain === undefined ? '' : JSON.stringify(plain).slice(1, -1)
  return room.sql
    .exec<EventRow>(
      `SELECT * FROM events
       WHERE status = 0 AND (?1 = '' OR instr(lower(json), ?1) > 0)
         AND json_extract(json, '$.type') IN (SELECT value FROM json_each(?2))
       ORDER BY eid DESC LIMIT ?3`,
      text,
      JSON.stringify(keys.map((key) => typeOfKey[key])),
      mostCandidates,
    )
    .toArray()
    .map((row) => storedEvent(room, row))
}

/** How well an event matches: 0 for not at all, else what share of its words are meant. */
function matchIn({ event }: StoredEvent, { words, keys }: RoomSearch, highlights: Set<string>): number {
  const text = keys
    .filter((key) => typeOfKey[key] === event.type)
    .flatMap((key) => textsOf(event.content, key))
    .join(' ')
  const found = wordsOf(text)
  const hits = found.filter((word) => words.some((wanted) => word.startsWith(wanted)))
  if (!words.every((wanted) => hits.some((word) => word.startsWith(wanted)))) return 0
  for (const word of hits) highlights.add(word)
  return hits.length / Math.sqrt(found.length)
}

/** What a key stands for: since v1.15 a topic also has a text of its own in `m.topic`. */
function textsOf(content: JsonObject, key: SearchKey): string[] {
  const text = stringProperty(content, key.slice('content.'.length)) ?? ''
  const topic = key === 'content.topic' ? plainTopic(content) : null
  return topic === null || topic === text ? [text] : [text, topic]
}

/** The words of a text, in lower case. */
export function wordsOf(text: string): string[] {
  return text.toLowerCase().match(/[\p{L}\p{N}\p{M}_]+/gu) ?? []
}
