// Who may see an event. Specification: client-server API, "Room history visibility".

import type { Event } from './event.ts'
import { stringProperty, type JsonValue } from './json.ts'

export type HistoryVisibility = 'world_readable' | 'shared' | 'invited' | 'joined'

/** What decides about one user's view at one point of the room. */
export interface Viewpoint {
  readonly visibility: HistoryVisibility
  /** The user's membership; undefined for one who has none. */
  readonly membership: string | undefined
}

/** Reads `history_visibility`; one that is absent or not understood is `shared`. */
export function parseHistoryVisibility(value: JsonValue | undefined): HistoryVisibility {
  if (value === 'world_readable' || value === 'invited' || value === 'joined') return value
  return 'shared'
}

/**
 * Whether a user may see an event. `before` is the room just before the event; `joinedLater` whether the user
 * was joined at any point after it.
 */
export function isEventVisible(
  event: Pick<Event, 'type' | 'state_key' | 'content'>,
  userId: string,
  before: Viewpoint,
  joinedLater: boolean,
): boolean {
  // A change of history visibility, or of the user's own membership, may be seen from before or from after.
  // Every other event leaves both as they are.
  return (
    isVisibleFrom(before, joinedLater) || isVisibleFrom(viewpointAfter(event, userId, before), joinedLater)
  )
}

/** The viewpoint just after an event that is accepted into the room. */
export function viewpointAfter(
  event: Pick<Event, 'type' | 'state_key' | 'content'>,
  userId: string,
  before: Viewpoint,
): Viewpoint {
  if (event.type === 'm.room.history_visibility' && event.state_key === '') {
    const visibility = parseHistoryVisibility(stringProperty(event.content, 'history_visibility'))
    return { ...before, visibility }
  }
  if (event.type === 'm.room.member' && event.state_key === userId) {
    return { ...before, membership: stringProperty(event.content, 'membership') }
  }
  return before
}

function isVisibleFrom({ visibility, membership }: Viewpoint, joinedLater: boolean): boolean {
  // 1. World readable: everyone.
  if (visibility === 'world_readable') return true
  // 2. Members see what happens while they are joined.
  if (membership === 'join') return true
  // 3. Shared: whoever joins later sees what was before.
  if (visibility === 'shared' && joinedLater) return true
  // 4. Invited: from the invite on.
  return visibility === 'invited' && membership === 'invite'
  // 5. Otherwise not.
}
