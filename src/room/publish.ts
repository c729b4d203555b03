// Whether a room is in the published room directory. The room remembers it, and tells D1 with its summary.
// Specification: client-server API, "Published room directory".

import { MatrixError } from '../errors.ts'
import type { UserId } from '../matrix/event.ts'
import { transact } from './append.ts'
import { findIdentity, setMeta, type RoomContext } from './context.ts'
import { forgetIndex, isPublished } from './index-room.ts'
import { armAlarm, soonMs } from './outbox.ts'
import { requireAliasPower } from './room-power.ts'

export interface PublishRequest {
  readonly sender: UserId
  readonly published: boolean
  /** Server administrators may publish and withdraw any room. */
  readonly admin: boolean
}

/** Publishes or withdraws a room. M_NOT_FOUND for an unknown room, M_FORBIDDEN without the power for it. */
export function publish(room: RoomContext, { sender, published, admin }: PublishRequest): void {
  if (!findIdentity(room)) throw new MatrixError('M_NOT_FOUND', 404, 'Room not found')
  // The specification leaves open who may: as with its main alias, whoever decides how others find the room.
  if (!admin) requireAliasPower(room, sender)
  if (isPublished(room) !== published) transact(room, () => markPublished(room, published))
}

/** Remembers whether the room is published. Call inside `transact`. */
export function markPublished(room: RoomContext, published: boolean): void {
  setMeta(room, 'published', published ? 1 : 0)
  forgetIndex(room)
  armAlarm(room, soonMs)
}
