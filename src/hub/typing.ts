// Who is typing: in memory only, it is worth nothing a minute later.
// Specification: client-server API, "Typing notifications".

import type { HubContext } from './context.ts'

export interface TypingRoom {
  /** user id → end of typing, milliseconds. */
  readonly users: Map<string, number>
  /** The typing sequence number of the last change. */
  changed: number
}

export interface Typing {
  readonly rooms: Map<number, TypingRoom>
  sequence: number
}

const states = new WeakMap<HubContext, Typing>()

/** The typing state of this shard. */
export function typingState(hub: HubContext): Typing {
  const known = states.get(hub)
  if (known) return known
  // Starts at the clock, so that numbers go on rising over a restart.
  const fresh: Typing = { rooms: new Map(), sequence: hub.now() }
  states.set(hub, fresh)
  return fresh
}

/** The sequence number of the last change of anybody's typing. */
export function typingSequence(hub: HubContext): number {
  return typingState(hub).sequence
}

/** Who is typing in the rooms that changed after a sequence number. */
export function typingSince(hub: HubContext, since: number): { rid: number; userIds: string[] }[] {
  return [...typingState(hub).rooms]
    .filter(([, room]) => room.changed > since)
    .map(([rid, room]) => ({ rid, userIds: [...room.users.keys()] }))
}
