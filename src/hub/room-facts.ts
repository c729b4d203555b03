// What lists of rooms are filtered by, and which rooms replace which, as the rooms told it. A plain room, without type,
// encryption and such, has no row. Specification: MSC4186 (simplified sliding sync), "SlidingRoomFilter"; client-server API,
// "Room Upgrades".

import type { RoomId } from '../matrix/event.ts'
import type { HubContext } from './context.ts'
import type { RoomFacts } from './room-news.ts'

interface FactsRow {
  readonly room_type: string | null
  readonly encrypted: number
  readonly children: string | null
  readonly predecessor: RoomId | null
  readonly replacement: RoomId | null
  readonly [column: string]: SqlStorageValue
}

const plain: RoomFacts = { encrypted: false }

/** What is known of a room. */
export function factsOf(hub: HubContext, rid: number): RoomFacts {
  const row = hub.sql.exec<FactsRow>('SELECT * FROM room_facts WHERE rid = ?', rid).toArray()[0]
  return row ? asFacts(row) : plain
}

/** Keeps what a room tells of itself. Writes only what is new. */
export function keepFacts(hub: HubContext, rid: number, facts: RoomFacts): void {
  if (JSON.stringify(asFacts(asRow(facts))) === JSON.stringify(factsOf(hub, rid))) return
  const row = asRow(facts)
  hub.sql.exec(
    `INSERT OR REPLACE INTO room_facts (rid, room_type, encrypted, children, predecessor, replacement)
     VALUES (?, ?, ?, ?, ?, ?)`,
    rid,
    row.room_type,
    row.encrypted,
    row.children,
    row.predecessor,
    row.replacement,
  )
}

function asRow({ type, encrypted, children, predecessor, replacement }: RoomFacts): FactsRow {
  return {
    room_type: type ?? null,
    encrypted: encrypted ? 1 : 0,
    children: children ? JSON.stringify(children) : null,
    predecessor: predecessor ?? null,
    replacement: replacement ?? null,
  }
}

function asFacts(row: FactsRow): RoomFacts {
  return {
    ...(row.room_type === null ? {} : { type: row.room_type }),
    encrypted: row.encrypted === 1,
    // Written by `keepFacts` alone.
    ...(row.children === null ? {} : { children: JSON.parse(row.children) as string[] }),
    ...(row.predecessor === null ? {} : { predecessor: row.predecessor }),
    ...(row.replacement === null ? {} : { replacement: row.replacement }),
  }
}
