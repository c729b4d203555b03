// What of a room a local user may see. Specification: client-server API, "Room history visibility".

import { MatrixError } from '../errors.ts'
import {
  isEventVisible,
  parseHistoryVisibility,
  type HistoryVisibility,
} from '../matrix/history-visibility.ts'
import { stringProperty } from '../matrix/json.ts'
import { identity, type RoomContext } from './context.ts'
import { isHidden } from './dummy-event.ts'
import { eventByEid, eventStatus, livePosition, type StoredEvent } from './events.ts'
import { slotHistory, type SlotHistory } from './slot-history.ts'
import { currentState, type StateRef } from './state-at.ts'

/** One user's view of a room. */
export interface View {
  /** The last position at which the user was joined: Infinity while they are, -Infinity if they never were. */
  readonly lastJoined: number
  /** Whether anyone may read what is said in the room now. */
  readonly worldReadable: boolean
  readonly sees: (stored: StoredEvent) => boolean
}

/** The view of a user. M_FORBIDDEN if there is no such room. Reads the history of their membership and of the history visibility once. */
export function viewOf(room: RoomContext, userId: string): View {
  identity(room)
  const member = slotHistory(room, 'm.room.member', userId)
  const setting = slotHistory(room, 'm.room.history_visibility', '')
  const lastJoined = lastJoinedPosition(member)
  const sees = (stored: StoredEvent) => {
    // Rejected and soft-failed events are shown to nobody.
    if (stored.status !== eventStatus.accepted || isHidden(stored.event)) return false
    // Everybody sees themselves go, also who only turned down an invite or took back a knock.
    if (isOwnLeave(stored, userId)) return true
    const before = {
      visibility: visibilityIn(room, setting, stored.stateBefore),
      // Nobody sees what came after they left for good, even if at a fork they were still in the room; and only who
      // joins gets to see what was said since the invite.
      membership: stored.eid > lastJoined + 1 ? undefined : membershipIn(room, member, stored.stateBefore),
    }
    return isEventVisible(stored.event, userId, before, lastJoined >= stored.eid)
  }
  const worldReadable = visibilityIn(room, setting, currentState(room)) === 'world_readable'
  return { lastJoined, worldReadable, sees }
}

function isOwnLeave({ event }: StoredEvent, userId: string): boolean {
  if (event.type !== 'm.room.member' || event.state_key !== userId) return false
  return event.content['membership'] === 'leave' || event.content['membership'] === 'ban'
}

function lastJoinedPosition({ rows }: SlotHistory): number {
  const last = rows.findLastIndex(({ membership }) => membership === 'join')
  if (last === -1) return -Infinity
  const next = rows[last + 1]
  return next === undefined ? Infinity : next.pos - 1
}

function membershipIn(room: RoomContext, history: SlotHistory, ref: StateRef): string | undefined {
  const eid = history.eidIn(ref)
  return eid === 0 ? undefined : stringProperty(eventByEid(room, eid).event.content, 'membership')
}

function visibilityIn(room: RoomContext, history: SlotHistory, ref: StateRef): HistoryVisibility {
  const eid = history.eidIn(ref)
  const content = eid === 0 ? undefined : eventByEid(room, eid).event.content
  return parseHistoryVisibility(stringProperty(content, 'history_visibility'))
}

/** Those of the events that a user may see, in the same order. */
export function visibleEvents(
  room: RoomContext,
  userId: string,
  events: readonly StoredEvent[],
): StoredEvent[] {
  return events.filter(viewOf(room, userId).sees)
}

export interface Readable {
  /** The last position whose event may be read. */
  readonly upTo: number
  /** Whether the right to read rests on having been in the room: it ends when the user forgets the room. */
  readonly left: boolean
}

/** How far a user may read, undefined for one who may not. */
function readable(room: RoomContext, { lastJoined, worldReadable }: View): Readable | undefined {
  if (lastJoined === Infinity || worldReadable) return { upTo: livePosition(room), left: false }
  if (lastJoined === -Infinity) return undefined
  // After leaving, nothing that came later: the leave itself is the last to be seen.
  return { upTo: lastJoined + 1, left: true }
}

/** How far a user may read in the room. M_FORBIDDEN for those who may not, or if there is no such room. */
export function requireReadable(
  room: RoomContext,
  userId: string,
  view: View = viewOf(room, userId),
): Readable {
  identity(room)
  const result = readable(room, view)
  if (!result) throw forbidden()
  return result
}

/**
 * The position whose state a user may see: the current one for members, that of their leaving for former ones, and
 * the current one for anyone else where the room is world readable. M_FORBIDDEN otherwise: the invited and those who
 * knock have their stripped state.
 */
export function stateVisibleAt(
  room: RoomContext,
  userId: string,
  view: View = viewOf(room, userId),
): Readable {
  const result = requireReadable(room, userId, view)
  return Number.isFinite(view.lastJoined) ? { ...result, upTo: view.lastJoined + 1 } : result
}

/**
 * How far in the range up to `to` a user is told of the state: as `stateVisibleAt`, and 0, which is before all state, for those
 * who were never in the room.
 */
export function stateToldUpTo(to: number, { lastJoined, worldReadable }: View): number {
  return worldReadable ? to : Math.max(0, Math.min(to, lastJoined + 1))
}

function forbidden(): MatrixError {
  return new MatrixError('M_FORBIDDEN', 403, 'You are not in this room')
}
