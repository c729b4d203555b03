// Which events relate to which: an index over the timeline, kept by whatever puts events into it or redacts them.
// Specification: client-server API, "Forming relationships between events".

import type { Event } from '../matrix/event.ts'
import { objectProperty, stringProperty } from '../matrix/json.ts'
import type { RoomContext } from './context.ts'
import { eventByEid, type StoredEvent } from './events.ts'

export interface Relation {
  /** The parent's event id. The parent need not be known. */
  readonly parent: string
  readonly relType: string
}

/** A child event as the index has it. */
export interface ChildRow {
  readonly pos: number
  readonly eid: number
  readonly rel_type: string
  readonly type: string
  readonly sender: string
  readonly [column: string]: SqlStorageValue
}

const longest = 255

/** What an event relates to. Relationships that do not have the right form are ignored. */
export function relationOf({ content }: Pick<Event, 'content'>): Relation | undefined {
  const relatesTo = objectProperty(content, 'm.relates_to')
  const parent = stringProperty(relatesTo, 'event_id')
  // Rich replies have no `rel_type`, and are none of this index's business.
  const relType = stringProperty(relatesTo, 'rel_type')
  if (parent === undefined || relType === undefined) return undefined
  return parent.length > longest || relType.length > longest ? undefined : { parent, relType }
}

/** Takes an event into the index that has just got its place in the timeline. */
export function indexRelation(room: RoomContext, { eid, event }: StoredEvent, pos: number): void {
  const relation = relationOf(event)
  if (!relation) return
  room.sql.exec(
    `INSERT OR IGNORE INTO relations (threaded, parent, pos, eid, rel_type, type, sender)
     VALUES (?, ?, ?, ?, ?, ?, ?)`,
    isThreaded(relation),
    relation.parent,
    pos,
    eid,
    relation.relType,
    event.type,
    event.sender,
  )
}

/** Takes an event out of the index: its redaction breaks the relationship. Call before its content is gone. */
export function forgetRelation(room: RoomContext, { eid, event }: StoredEvent): void {
  const relation = relationOf(event)
  if (!relation) return
  room.sql.exec(
    'DELETE FROM relations WHERE threaded = ? AND parent = ? AND eid = ?',
    isThreaded(relation),
    relation.parent,
    eid,
  )
}

/** The children of an event in the order of the room, of users that are not ignored. */
export function childrenOf(
  room: RoomContext,
  parent: string,
  ignored: readonly string[],
  { threaded }: { readonly threaded?: boolean } = {},
): ChildRow[] {
  return room.sql
    .exec<ChildRow>(
      `SELECT pos, eid, rel_type, type, sender FROM relations
       WHERE threaded IN (?, ?) AND parent = ? AND sender NOT IN (SELECT value FROM json_each(?)) ORDER BY pos`,
      threaded === true ? 1 : 0,
      threaded === false ? 0 : 1,
      parent,
      JSON.stringify(ignored),
    )
    .toArray()
}

/** A child as an event, its `eid` its position. */
export function childEvent(room: RoomContext, { pos, eid }: ChildRow): StoredEvent {
  return { ...eventByEid(room, eid), eid: pos }
}

function isThreaded({ relType }: Relation): 0 | 1 {
  return relType === 'm.thread' ? 1 : 0
}
