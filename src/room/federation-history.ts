// Events for other servers: single ones, those before others, those between others, the one closest to a time. What the
// asking server may not see it gets redacted, so that it can still follow the graph.
// Specification: server-server API, "Backfilling and retrieving missing events", "Retrieving events".

import { MatrixError } from '../errors.ts'
import type { ServerName } from '../matrix/event.ts'
import type { RoomContext } from './context.ts'
import { eventStatus, findEvent, inTimeline, livePosition, type StoredEvent } from './events.ts'
import { closestInTime, type TimestampRequest } from './event-by-timestamp.ts'
import { requireInRoom } from './federation-access.ts'
import { pduFor, serverViewOf } from './server-visibility.ts'

const mostBackfilled = 100
const mostMissing = 50

/**
 * An event in wire form as JSON text, redacted where the server may not see it. M_FORBIDDEN for servers that are not in
 * the room, M_NOT_FOUND.
 */
export function eventForServer(room: RoomContext, origin: ServerName, eventId: string): string {
  requireInRoom(room, origin)
  const stored = findEvent(room, eventId)
  const known = stored && stored.status !== eventStatus.rejected
  // An outlier was never part of the timeline: as state it is told with the state of the room, otherwise to nobody.
  if (!known || (stored.event.state_key === undefined && !inTimeline(room, stored))) {
    throw new MatrixError('M_NOT_FOUND', 404, 'Event not found')
  }
  return JSON.stringify(pduFor(room, serverViewOf(room, origin), stored))
}

export interface BackfillRequest {
  readonly from: readonly string[]
  readonly limit: number
}

/** The given events and those before them, the newest first, as a JSON list. M_FORBIDDEN. */
export function backfillFor(room: RoomContext, origin: ServerName, { from, limit }: BackfillRequest): string {
  requireInRoom(room, origin)
  const events = walkBack(room, from, { limit: Math.min(limit, mostBackfilled), visits: () => true })
  return renderFor(room, origin, events)
}

export interface MissingEventsRequest {
  /** What the server has: the walk ends there. */
  readonly earliest: readonly string[]
  /** What it has of the newer events. */
  readonly latest: readonly string[]
  readonly limit: number
  readonly minDepth: number
}

/** The events before the latest ones and not before the earliest ones, the oldest first, as a JSON list. M_FORBIDDEN. */
export function missingEventsFor(
  room: RoomContext,
  origin: ServerName,
  request: MissingEventsRequest,
): string {
  requireInRoom(room, origin)
  const { earliest, latest, limit, minDepth } = request
  const had = new Set<string>([...earliest, ...latest])
  const start = latest.flatMap((id) => find(room, id) ?? []).flatMap(({ event }) => event.prev_events)
  const events = walkBack(room, start, {
    limit: Math.min(limit, mostMissing),
    visits: ({ event }) => !had.has(event.event_id) && event.depth >= minDepth,
  })
  return renderFor(room, origin, events.reverse())
}

/** Id and time of the closest event that the server may see, as JSON text. M_FORBIDDEN, M_NOT_FOUND. */
export function eventNearFor(room: RoomContext, origin: ServerName, request: TimestampRequest): string {
  requireInRoom(room, origin)
  const view = serverViewOf(room, origin)
  for (const stored of closestInTime(room, request, livePosition(room))) {
    if (!view.sees(stored)) continue
    const { event_id, origin_server_ts } = stored.event
    return JSON.stringify({ event_id, origin_server_ts })
  }
  throw new MatrixError('M_NOT_FOUND', 404, 'No event was found from that time in that direction')
}

interface Walk {
  readonly limit: number
  /** Whether an event is taken and the walk goes on before it. */
  readonly visits: (stored: StoredEvent) => boolean
}

/** Walks over parents, the deepest event first, starting with the given ones. */
function walkBack(room: RoomContext, start: readonly string[], { limit, visits }: Walk): StoredEvent[] {
  const found: StoredEvent[] = []
  const seen = new Set<string>()
  const open: StoredEvent[] = []
  const reach = (ids: readonly string[]) => {
    for (const id of ids) {
      if (seen.has(id)) continue
      seen.add(id)
      const stored = find(room, id)
      if (stored && visits(stored)) open.push(stored)
    }
  }
  reach(start)
  // Rejected events cost work without being found: their number must not decide how long this takes.
  for (let left = limit * 4; found.length < limit && left > 0; left--) {
    const next = takeNewest(open)
    if (!next) break
    // Whoever refused an event did not build upon it: it is only passed by.
    if (next.status !== eventStatus.rejected) found.push(next)
    reach(next.event.prev_events)
  }
  return found
}

function takeNewest(open: StoredEvent[]): StoredEvent | undefined {
  let newest = 0
  open.forEach((stored, i) => {
    if (isNewer(stored, open[newest])) newest = i
  })
  return open.splice(newest, 1)[0]
}

function isNewer(a: StoredEvent, b: StoredEvent | undefined): boolean {
  if (!b) return true
  return a.event.depth > b.event.depth || (a.event.depth === b.event.depth && a.eid > b.eid)
}

/** An event that has its place in the timeline; its `eid` is that place. */
function find(room: RoomContext, id: string): StoredEvent | undefined {
  const stored = findEvent(room, id)
  return stored && inTimeline(room, stored)
}

function renderFor(room: RoomContext, origin: ServerName, events: readonly StoredEvent[]): string {
  const view = serverViewOf(room, origin)
  return `[${events.map((stored) => JSON.stringify(pduFor(room, view, stored))).join()}]`
}
