// Coming into a room that other servers hold: its state is staged in batches as outliers, then our join makes it the current
// state in one transaction. Until then nothing of it is visible. A crash leaves only outliers behind: the RemoteJoin goes on
// where it was, finding as known what it had handed in, or gives the join up, and then nothing is left.
// Specification: server-server API, "Joining Rooms".

import { MatrixError } from '../errors.ts'
import { authorise } from '../matrix/event-auth/authorise.ts'
import type { EventId, RoomId, ServerName, UserId } from '../matrix/event.ts'
import type { JsonObject } from '../matrix/json.ts'
import { roomVersion, type RoomVersionId } from '../matrix/room-version.ts'
import { appendEvent, transact, writeSlot } from './append.ts'
import { adoptIdentity, findIdentity, forgetLiveEnd, identity, type RoomContext } from './context.ts'
import { eventStatus, findEvent, forgetEvent, inTimeline, livePosition, type StoredEvent } from './events.ts'
import { registerLocalUser } from './fan-out.ts'
import { gapSize, openGap } from './gaps.ts'
import { expectNoMore, expectPending } from './pending-pdus.ts'
import { judgeByAuthEvents, checkPdu, missingEvents, type ServerKeySet } from './receive-pdu.ts'
import { allState, knowsState, stateLookup } from './state-at.ts'

/** Makes this object the home of a room that is about to be joined. Nothing happens for one that it knows already. */
export function beginJoin(room: RoomContext, roomId: RoomId, version: RoomVersionId): void {
  const known = findIdentity(room)
  if (known) {
    if (known.rules.id === version) return transact(room, () => expectPending(room))
    throw new MatrixError('M_BAD_STATE', 400, 'The room is known with another version')
  }
  const rules = roomVersion(version)
  if (!rules) throw new MatrixError('M_UNSUPPORTED_ROOM_VERSION', 400, 'The room version is not supported')
  transact(room, () => {
    adoptIdentity(room, { roomId, rules })
    expectPending(room)
  })
}

/** Gives up a join that was begun: nothing is left of a room that this server was never in. */
export async function abandonJoin(room: RoomContext): Promise<void> {
  if (!findIdentity(room)) return
  // Of an earlier stay there is history, beside which a few more outliers do no harm.
  if (livePosition(room) > 0) return transact(room, () => expectNoMore(room))
  await room.storage.deleteAll()
  room.told.clear()
  forgetLiveEnd(room)
}

export interface CompleteJoin {
  /** Our user's member event, with all signatures it needs. */
  readonly join: JsonObject
  readonly keys: ServerKeySet
  /** The state before the join, staged before. */
  readonly state: readonly EventId[]
  /** Servers in the room, to fill the gap below the join. */
  readonly servers: readonly ServerName[]
  /** Where the joining user's Hub is. */
  readonly localUser?: { readonly userId: UserId; readonly shard: number }
}

/**
 * Makes the staged state the current one and the join its first event. Returns the join's event id. M_UNKNOWN (502)
 * when what the other server gave does not hold together: then nothing has changed.
 */
export function completeJoin(room: RoomContext, request: CompleteJoin): EventId {
  const { join, keys, state, servers, localUser } = request
  const event = checkPdu(room, join, keys)
  if ('outcome' in event) {
    if (event.outcome === 'known') return event.eventId
    throw bad('outcome' in event && 'reason' in event ? event.reason : 'the join event')
  }
  const missing = missingEvents(room, event.auth_events).length + unknownOf(room, state)
  if (missing > 0) throw bad(`${missing} events of the state are missing`)
  return transact(room, () => {
    expectNoMore(room)
    if (localUser) registerLocalUser(room, localUser.userId, localUser.shard)
    const position = replaceState(room, state)
    const auth = event.auth_events.flatMap((id) => findEvent(room, id) ?? [])
    for (const verdict of [
      judgeByAuthEvents(room, event, auth),
      authorise(identity(room).rules, event, stateLookup(room, position)),
    ]) {
      if (!verdict.ok) throw bad(verdict.reason)
    }
    const parents = event.prev_events.flatMap((id) => findEvent(room, id) ?? [])
    const [parent] = parents
    // The state before the join is that after its only parent, which others may build upon as well.
    if (parent && event.prev_events.length === 1) noteState(room, parent, position)
    const eid = appendEvent(room, {
      event,
      status: eventStatus.accepted,
      auth: auth.map((stored) => stored.eid),
      prev: parents.map((stored) => stored.eid),
      before: { base: position, delta: new Map() },
    })
    const prevs = event.prev_events.filter((id) => !isInTimeline(room, id))
    if (prevs.length > 0) openGap(room, { pos: eid, prevs, servers })
    return event.event_id
  })
}

/** Notes what the state after an event is that was known as state alone. */
function noteState(room: RoomContext, stored: StoredEvent, position: number): void {
  if (knowsState(stored)) return
  room.sql.exec('UPDATE events SET state_after = ? WHERE eid = ?', position, stored.eid)
  forgetEvent(room, stored.eid)
}

function isInTimeline(room: RoomContext, id: EventId): boolean {
  const stored = findEvent(room, id)
  return stored !== undefined && inTimeline(room, stored) !== undefined
}

function bad(reason: string): MatrixError {
  return new MatrixError('M_UNKNOWN', 502, `The room cannot be joined: ${reason}`)
}

/**
 * Lays the given state down at a position of its own, above everything that was there: what we knew from an earlier
 * stay authorises nothing any more. Returns the position.
 */
function replaceState(room: RoomContext, ids: readonly EventId[]): number {
  const live = livePosition(room)
  const position = live === 0 ? 1 : live + gapSize
  if (live === 0) for (const part of parts(ids)) writeState(room, position, part)
  else writeChanges(room, position, ids, allState(room, live))
  // What is remembered of slots may be from before.
  room.newest.clear()
  room.live.position = position
  room.live.heads = []
  return position
}

// A parameter has two megabytes at most.
const idsPerQuery = 10_000

function parts(ids: readonly EventId[]): EventId[][] {
  return Array.from({ length: Math.ceil(ids.length / idsPerQuery) }, (_, i) =>
    ids.slice(i * idsPerQuery, (i + 1) * idsPerQuery),
  )
}

function unknownOf(room: RoomContext, ids: readonly EventId[]): number {
  const unknown = parts(ids).map(
    (part) =>
      room.sql
        .exec<{ unknown: number }>(
          `SELECT count(*) AS unknown FROM json_each(?) AS given
           WHERE NOT EXISTS (SELECT 1 FROM events WHERE event_id = given.value)`,
          JSON.stringify(part),
        )
        .one().unknown,
  )
  return unknown.reduce((sum, n) => sum + n, 0)
}

// Rejected events never enter the state, whoever says they are in it.
const givenEvents = `FROM json_each(?) AS given CROSS JOIN events ON events.event_id = given.value
  WHERE events.slot IS NOT NULL AND events.status <> ${eventStatus.rejected}`

// The events stay in the database: the state of a large room takes no memory.
function writeState(room: RoomContext, position: number, ids: readonly EventId[]): void {
  room.sql.exec(
    `INSERT INTO state (slot, pos, eid, membership)
     SELECT events.slot, ?, events.eid,
       CASE WHEN json_extract(events.json, '$.type') = 'm.room.member'
         AND json_type(events.json, '$.content.membership') = 'text'
       THEN json_extract(events.json, '$.content.membership') END
     ${givenEvents}
     ON CONFLICT (slot, pos) DO UPDATE SET eid = excluded.eid, membership = excluded.membership`,
    position,
    JSON.stringify(ids),
  )
}

// After an earlier stay: rows only for what has changed since.
function writeChanges(
  room: RoomContext,
  position: number,
  ids: readonly EventId[],
  former: ReadonlyMap<number, number>,
): void {
  const given = new Map<number, number>()
  for (const part of parts(ids)) {
    const rows = room.sql.exec<{ slot: number; eid: number }>(
      `SELECT events.slot, events.eid ${givenEvents}`,
      JSON.stringify(part),
    )
    for (const { slot, eid } of rows) given.set(slot, eid)
  }
  for (const [slot, eid] of given) if (former.get(slot) !== eid) writeSlot(room, slot, position, eid)
  for (const slot of former.keys()) if (!given.has(slot)) writeSlot(room, slot, position, 0)
}
