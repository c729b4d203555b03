// Starting and ending to type. Specification: client-server API, "Typing notifications".

import type { RoomId, UserId } from '../matrix/event.ts'
import type { HubContext } from './context.ts'
import { typingChanged } from './end-typing.ts'
import { internRoom, roomIdOf } from './interned.ts'
import { tellTyping } from './other-servers.ts'
import { typingState } from './typing.ts'

const longestTimeout = 120_000

export interface TypingRequest {
  readonly userId: UserId
  readonly roomId: RoomId
  readonly typing: boolean
  /** Milliseconds. */
  readonly timeout: number
}

/** Starts, prolongs or ends a user's typing and tells those who wait. */
export function setTyping(hub: HubContext, request: TypingRequest): void {
  const rid = internRoom(hub, request.roomId)
  const { rooms } = typingState(hub)
  const room = rooms.get(rid) ?? { users: new Map<string, number>(), changed: 0 }
  rooms.set(rid, room)
  const was = room.users.has(request.userId)
  if (request.typing) {
    const timeout = Math.min(Math.max(request.timeout, 0), longestTimeout)
    room.users.set(request.userId, hub.now() + timeout)
    setTimeout(() => expire(hub, rid, request.userId), timeout + 1)
  } else room.users.delete(request.userId)
  if (was !== request.typing) typingChanged(hub, rid, room)
}

function expire(hub: HubContext, rid: number, userId: UserId): void {
  const room = typingState(hub).rooms.get(rid)
  const end = room?.users.get(userId)
  if (!room || end === undefined || end > hub.now()) return
  room.users.delete(userId)
  typingChanged(hub, rid, room)
  tellTyping(hub, { userId, roomId: roomIdOf(hub, rid), typing: false })
}
