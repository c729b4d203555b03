// What a user's subscription to a thread is judged by. Specification: MSC4306 (thread subscriptions), which is not in the
// specification yet.

import { MatrixError } from '../errors.ts'
import type { UserId } from '../matrix/event.ts'
import { findIdentity, type RoomContext } from './context.ts'
import { livePosition } from './events.ts'
import { visibleEvent } from './read-event.ts'
import { relationOf } from './relations.ts'
import { viewOf } from './visibility.ts'

export interface ThreadStandingRequest {
  readonly userId: UserId
  /** The event id of the thread's root. */
  readonly root: string
  /** The event for which a client subscribes by itself. */
  readonly cause?: string
}

/** Positions in the room. */
export interface ThreadStanding {
  /** Of its newest event. */
  readonly end: number
  readonly cause?: number
  /** The user is not in the room any more, and may read only what they have not forgotten. */
  readonly left: boolean
}

/**
 * Where a thread stands. M_NOT_FOUND where the user sees no such root or cause, IO.ELEMENT.MSC4306.M_NOT_IN_THREAD for a
 * cause that is no reply in the thread.
 */
export function threadStanding(
  room: RoomContext,
  { userId, root, cause }: ThreadStandingRequest,
): ThreadStanding {
  if (!findIdentity(room)) throw new MatrixError('M_NOT_FOUND', 404, 'Event not found')
  const view = viewOf(room, userId)
  visibleEvent(room, view, root)
  const standing = {
    end: livePosition(room),
    left: Number.isFinite(view.lastJoined) && !view.worldReadable,
  }
  if (cause === undefined) return standing
  const { event, eid } = visibleEvent(room, view, cause)
  const relation = relationOf(event)
  // The root itself is not in the thread, nor is what relates to it otherwise.
  if (relation?.relType !== 'm.thread' || relation.parent !== root) {
    throw new MatrixError('IO.ELEMENT.MSC4306.M_NOT_IN_THREAD', 400, 'automatic is no event in the thread')
  }
  return { ...standing, cause: eid }
}
