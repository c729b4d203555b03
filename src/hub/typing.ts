// Who is typing: in memory only, it is worth nothing a minute later.
// Specification: client-server API, "Typing notifications".

import type { HubContext } from './context.ts'

export interface TypingRoom {
  /** user id → end of typing, milliseconds. */
  readonly users: Map<string, number>
  /** The ephemeral sequence number of the last change. */
  changed: number
}

export interface Typing {
  readonly rooms: Map<number, TypingRoom>
}

const states = new WeakMap<HubContext, Typing>()

/** The typing state of this shard. */
export function typingState(hub: HubContext): Typing {
  const known = states.get(hub)
  if (known) return known
  const fresh: Typing = { rooms: new Map() }
  states.set(hub, fresh)
  return fresh
}

/** Who is typing in the rooms that changed after a sequence number. */
export function typingSince(hub: HubContext, since: number): { rid: number; userIds: string[] }[] {
  return [...typingState(hub).rooms]
    .filter(([, room]) => room.changed > since)
    .map(([rid, room]) => ({ rid, userIds: [...room.users.keys()] }))
}
