// What someone outside the room is shown of it with an invite or a knock.
// Specification: client-server API, "Stripped state"; since v1.16 it must hold the create event.

import type { UserId } from '../matrix/event.ts'
import type { JsonObject } from '../matrix/json.ts'
import { strippedEvent } from './client-event.ts'
import type { RoomContext } from './context.ts'
import { eventByEid } from './events.ts'
import { eidAtPosition, findSlot } from './state-at.ts'

/** The types of state that tell somebody outside what the room is. */
export const strippedTypes = [
  'm.room.create',
  'm.room.name',
  'm.room.avatar',
  'm.room.topic',
  'm.room.join_rules',
  'm.room.canonical_alias',
  'm.room.encryption',
]

/** The stripped state as of a position, with the member events of the given users. */
export function strippedState(room: RoomContext, position: number, users: readonly UserId[]): JsonObject[] {
  const slots = [
    ...strippedTypes.map((type) => findSlot(room, type, '')),
    ...users.map((userId) => findSlot(room, 'm.room.member', userId)),
  ]
  return slots.flatMap((slot) => {
    const eid = slot === undefined ? 0 : eidAtPosition(room, position, slot)
    return eid === 0 ? [] : [strippedEvent(eventByEid(room, eid))]
  })
}
