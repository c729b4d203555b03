// The rooms of a space. Specification: client-server API, "Spaces", "Managing rooms/spaces included in a space".

import type { JsonObject } from '../matrix/json.ts'
import { compareChildren, parseSpaceChild, spaceChildType } from '../matrix/space-child.ts'
import { strippedEvent } from './client-event.ts'
import { identity, type RoomContext } from './context.ts'
import { eventByEid } from './events.ts'

/** More children of one space than that are left out: they are read and sent at once. */
export const mostChildren = 1000

/**
 * The valid m.space.child events of the current state in the order of the children, as stripped state with
 * `origin_server_ts`. Reads a row a child.
 */
export function spaceChildren(
  room: RoomContext,
  { suggestedOnly }: { suggestedOnly: boolean },
): JsonObject[] {
  const { roomId } = identity(room)
  return childEids(room)
    .map((eid) => {
      const stored = eventByEid(room, eid)
      const event: JsonObject = {
        ...strippedEvent(stored),
        origin_server_ts: stored.event.origin_server_ts,
      }
      return { event, child: parseSpaceChild(event) }
    })
    .flatMap(({ event, child }) => (child ? [{ event, child }] : []))
    .filter(({ child }) => child.roomId !== roomId && (child.suggested || !suggestedOnly))
    .toSorted((a, b) => compareChildren(a.child, b.child))
    .slice(0, mostChildren)
    .map(({ event }) => event)
}

function childEids(room: RoomContext): number[] {
  return room.sql
    .exec<{ eid: number }>(
      `SELECT state.eid FROM slots JOIN state USING (slot)
       WHERE slots.type = ? AND state.eid <> 0
         AND state.pos = (SELECT max(pos) FROM state AS later WHERE later.slot = slots.slot)`,
      spaceChildType,
    )
    .toArray()
    .map(({ eid }) => eid)
}
