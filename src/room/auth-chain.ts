// Everything that some events rest upon: their auth events, the auth events of those, and so on.
// Specification: server-server API, "Retrieving event authorisation information".

import type { RoomContext } from './context.ts'
import { eids, eventByEid, type StoredEvent } from './events.ts'

const eventsPerRead = 1000
const eventsPerPart = 100

/** The auth chains of some events taken together, as eids. Reads no JSON: a row an event of the chain. */
export function authChain(room: RoomContext, from: Iterable<readonly number[]>): Set<number> {
  const chain = new Set<number>()
  for (const part of from) {
    for (let open = [...part]; open.length > 0;) {
      open = authEventsOf(room, open).filter((eid) => !chain.has(eid))
      for (const eid of open) chain.add(eid)
    }
  }
  return chain
}

function authEventsOf(room: RoomContext, of: readonly number[]): number[] {
  const found = new Set<number>()
  for (let at = 0; at < of.length; at += eventsPerRead) {
    const rows = room.sql.exec<{ auth: string }>(
      'SELECT auth FROM events WHERE eid IN (SELECT value FROM json_each(?))',
      JSON.stringify(of.slice(at, at + eventsPerRead)),
    )
    for (const { auth } of rows) for (const eid of eids(auth)) found.add(eid)
  }
  return [...found]
}

/** Events by their eids, a part of them at a time: all of them together may be more than fits into memory. */
export function* eventsOf(room: RoomContext, of: Iterable<number>): Generator<StoredEvent[]> {
  let part: StoredEvent[] = []
  for (const eid of of) {
    part.push(eventByEid(room, eid))
    if (part.length < eventsPerPart) continue
    yield part
    part = []
  }
  yield part
}

/** The ids of events by their eids, a part of them at a time. */
export function* eventIdsOf(room: RoomContext, of: readonly number[]): Generator<string[]> {
  for (let at = 0; at < of.length; at += eventsPerRead) {
    yield room.sql
      .exec<{ event_id: string }>(
        'SELECT event_id FROM events WHERE eid IN (SELECT value FROM json_each(?))',
        JSON.stringify(of.slice(at, at + eventsPerRead)),
      )
      .toArray()
      .map((row) => row.event_id)
  }
}
