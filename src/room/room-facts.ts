// What the Hub keeps of a room so that lists of rooms can be filtered without asking each of them, and that it knows which rooms
// replace which. Specification: MSC4186 (simplified sliding sync), "SlidingRoomFilter"; client-server API, "Room Upgrades".

import type { RoomFacts } from '../hub/room-news.ts'
import { parseRoomId } from '../matrix/identifiers.ts'
import { objectProperty, stringProperty } from '../matrix/json.ts'
import { spaceChildType } from '../matrix/space-child.ts'
import type { RoomContext } from './context.ts'
import type { StoredEvent } from './events.ts'
import { spaceChildren } from './space-children.ts'
import { currentEvent } from './state-at.ts'

const telling: ReadonlySet<string> = new Set([
  'm.room.create',
  'm.room.encryption',
  'm.room.tombstone',
  spaceChildType,
])

/** Whether an event may have changed what the Hub keeps. */
export function changesFacts({ event, eid, stateBefore, stateAfter }: StoredEvent): boolean {
  const resolved = stateBefore !== eid - 1 || stateAfter !== eid
  return resolved || (event.state_key !== undefined && telling.has(event.type))
}

/** What the room is now. Reads a row a child in spaces. */
export function roomFacts(room: RoomContext): RoomFacts {
  const create = currentEvent(room, 'm.room.create')?.content
  const type = stringProperty(create, 'type')
  const predecessor = parseRoomId(stringProperty(objectProperty(create, 'predecessor'), 'room_id') ?? '')
  const tombstone = currentEvent(room, 'm.room.tombstone')?.content
  const replacement = parseRoomId(stringProperty(tombstone, 'replacement_room') ?? '')
  return {
    ...(type === undefined ? {} : { type }),
    encrypted: currentEvent(room, 'm.room.encryption') !== undefined,
    ...(type === 'm.space'
      ? {
          children: spaceChildren(room, { suggestedOnly: false }).flatMap(
            (child) => stringProperty(child, 'state_key') ?? [],
          ),
        }
      : {}),
    ...(predecessor === undefined ? {} : { predecessor }),
    ...(replacement === undefined ? {} : { replacement }),
  }
}
