// Presence of this shard's users, in memory only: what a user is shown as, and what a sync is told of it.
// Specification: client-server API, "Presence".

import type { UserId } from '../matrix/event.ts'
import type { HubContext } from './context.ts'
import { findUser, userIdOf } from './interned.ts'
import { shareRoom, usersSharing } from './members.ts'
import { othersPresenceSince } from './others-presence.ts'

export type PresenceState = 'online' | 'unavailable' | 'offline'

/** The content of `m.presence`. */
export interface PresenceContent {
  readonly presence: PresenceState
  /** Milliseconds. */
  readonly last_active_ago?: number
  readonly currently_active?: true
  readonly status_msg?: string
  readonly displayname?: string
  readonly avatar_url?: string
}

export interface PresenceEvent {
  readonly sender: UserId
  readonly content: PresenceContent
}

interface PresentDevice {
  state: 'online' | 'unavailable'
  /** When it last synced or set its presence, milliseconds. */
  seen: number
}

export interface UserPresence {
  /** The devices that are not offline. */
  readonly devices: Map<string, PresentDevice>
  /** What others are told. */
  shown: PresenceState
  /** The ephemeral sequence number since which they are. */
  changed: number
  /** When the user last did something, milliseconds. */
  lastActive?: number
  /** When those outside of this shard were last told, milliseconds. */
  toldAt?: number
  statusMsg: string | undefined
  /** The profile fields that changed since this object started. */
  profile: Pick<PresenceContent, 'displayname' | 'avatar_url'>
}

interface Presence {
  readonly users: Map<number, UserPresence>
  /** Milliseconds. */
  readonly startedAt: number
  /** The highest `changed` of all users. */
  lastChanged: number
  /** The sequence number from which on those who were not heard of since `startedAt` count as offline. */
  settled?: number
  /** Whether a look at who has gone is due. */
  timed: boolean
}

const states = new WeakMap<HubContext, Presence>()

/** The presence of this shard's users. */
export function presenceTable(hub: HubContext): Presence {
  const known = states.get(hub)
  if (known) return known
  const fresh: Presence = { users: new Map(), startedAt: hub.now(), lastChanged: 0, timed: false }
  states.set(hub, fresh)
  return fresh
}

/** What a user is shown as now. */
export function presenceContent(hub: HubContext, uid: number): PresenceContent {
  const user = presenceTable(hub).users.get(uid)
  if (!user) return { presence: 'offline' }
  const { shown, lastActive, statusMsg, profile } = user
  return {
    presence: shown,
    ...(lastActive === undefined ? {} : { last_active_ago: Math.max(0, hub.now() - lastActive) }),
    // Who is no longer active is shown as unavailable: while online, no further updates are needed.
    ...(shown === 'online' ? { currently_active: true } : {}),
    ...(statusMsg === undefined ? {} : { status_msg: statusMsg }),
    ...profile,
  }
}

/**
 * What a user is told of the others they share a room with: all who are not offline at first, later those who changed
 * after an ephemeral sequence number. Those in `newlySeen` are new to the user, who is told of them in any case.
 */
export function presenceSince(
  hub: HubContext,
  uid: number,
  since: number | undefined,
  newlySeen: readonly UserId[],
): PresenceEvent[] {
  const { users } = presenceTable(hub)
  const told = new Set(since === undefined ? present(hub) : changedSince(hub, uid, since))
  for (const other of told) if (!shareRoom(hub, uid, other)) told.delete(other)
  for (const userId of newlySeen) {
    const other = findUser(hub, userId)
    if (other !== undefined && users.has(other)) told.add(other)
  }
  told.delete(uid)
  return [
    ...[...told].map((other) => ({ sender: userIdOf(hub, other), content: presenceContent(hub, other) })),
    ...othersPresenceSince(hub, uid, since, newlySeen),
  ]
}

function present(hub: HubContext): number[] {
  return [...presenceTable(hub).users].filter(([, { shown }]) => shown !== 'offline').map(([uid]) => uid)
}

function changedSince(hub: HubContext, uid: number, since: number): number[] {
  const { users, lastChanged, settled } = presenceTable(hub)
  if (since >= lastChanged && since >= (settled ?? 0)) return []
  const changed = [...users].filter(([, user]) => user.changed > since).map(([other]) => other)
  if (settled === undefined || since >= settled) return changed
  // The client may have been told before a restart that they are online.
  return [...changed, ...[...usersSharing(hub, uid)].filter((other) => !users.has(other))]
}
