// What the FederationSender asks of a room. Specification: server-server API, "Transactions".

import type { ServerName } from '../matrix/event.ts'
import { parseUserId, serverNameOf } from '../matrix/identifiers.ts'
import { findIdentity, type RoomContext } from './context.ts'
import {
  eventByEid,
  eventsBetween,
  eventStatus,
  findEvent,
  forwardExtremities,
  livePosition,
  type StoredEvent,
} from './events.ts'
import { isServerInRoom } from './joined-servers.ts'
import { wirePdu } from './server-visibility.ts'
import { addressees, isOurs } from './tell-sender.ts'

/** Accepted events in wire form as JSON texts, in the order asked for; null for those that are not here. */
export function pduTexts(room: RoomContext, eventIds: readonly string[]): (string | null)[] {
  if (!findIdentity(room)) return eventIds.map(() => null)
  return eventIds.map((eventId) => {
    const stored = findEvent(room, eventId)
    return stored?.status === eventStatus.accepted ? text(stored) : null
  })
}

function text(stored: StoredEvent): string {
  return JSON.stringify(wirePdu(stored))
}

const eventsAtOnce = 50
// Enough for the usual: in a room that others talk in alone, what we have said last was missed by nobody for long.
const mostLookedAt = 1000

/**
 * The newest of the events that a server should have been sent from a position on, as JSON texts: those at the end of the
 * room's graph, at least the last one. From them it finds the others.
 */
export function newestFor(room: RoomContext, serverName: ServerName, from: number): string[] {
  if (!findIdentity(room)) return []
  const isIn = isServerInRoom(room, serverName)
  const newest = newestAddressed(
    room,
    serverName,
    from,
    isIn ? livePosition(room) : lastPosition(room, serverName),
  )
  const ends = isIn ? forwardExtremities(room).map((eid) => eventByEid(room, eid)) : []
  const found = new Map<number, StoredEvent>()
  for (const stored of [...ends.filter((end) => isOurs(room, end)), ...(newest ? [newest] : [])]) {
    if (stored.eid >= from) found.set(stored.eid, stored)
  }
  return [...found.values()].toSorted((a, b) => a.eid - b.eid).map(text)
}

function newestAddressed(
  room: RoomContext,
  serverName: ServerName,
  from: number,
  to: number,
): StoredEvent | undefined {
  let highest = to
  for (let looked = 0; looked < mostLookedAt && highest >= from; looked += eventsAtOnce) {
    const events = eventsBetween(room, from, highest, 'b', eventsAtOnce)
    for (const stored of events) {
      if (isOurs(room, stored) && addressees(room, [stored])[0]?.includes(serverName)) return stored
    }
    if (events.length < eventsAtOnce) return undefined
    highest = (events.at(-1)?.eid ?? from) - 1
  }
  return undefined
}

/** The position of the last event that changed the membership of a server's user. */
function lastPosition(room: RoomContext, serverName: ServerName): number {
  const rows = room.sql.exec<{ userId: string; position: number }>(
    `SELECT slots.state_key AS userId, max(state.pos) AS position FROM slots JOIN state USING (slot)
     WHERE slots.type = 'm.room.member' AND substr(slots.state_key, -length(?1)) = ?1 GROUP BY slot`,
    `:${serverName}`,
  )
  let last = 0
  for (const { userId, position } of rows) {
    const parsed = parseUserId(userId)
    if (parsed && serverNameOf(parsed) === serverName) last = Math.max(last, position)
  }
  return last
}
