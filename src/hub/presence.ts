// Presence of this shard's users: what a user is shown as, and what a sync is told of it. In memory, as far as it matters
// also on disk (kept-presence.ts): the object that holds it sleeps between any two requests.
// Specification: client-server API, "Presence".

import type { UserId } from '../matrix/event.ts'
import type { HubContext } from './context.ts'
import { findUser, userIdOf } from './interned.ts'
import { type KeptPresence, loadPresence } from './kept-presence.ts'
import { shareRoom } from './members.ts'
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

export interface PresentDevice {
  state: 'online' | 'unavailable'
  /** When it last synced or set its presence, milliseconds; absent where it did not since this object started. */
  seen?: number
  /** Since when it is missed that was not seen since this object started, milliseconds. */
  missing?: number
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
  statusMsg?: string | undefined
  /** The profile fields that changed while there was presence. */
  profile: Pick<PresenceContent, 'displayname' | 'avatar_url'>
  /** What is on disk of it, absent where nothing is. */
  kept?: KeptPresence
}

interface Presence {
  readonly users: Map<number, UserPresence>
  /** The highest `changed` of all users. */
  lastChanged: number
}

const states = new WeakMap<HubContext, Presence>()

/** The presence of this shard's users, read from disk by whoever asks first. */
export function presenceTable(hub: HubContext): Presence {
  const known = states.get(hub)
  if (known) return known
  const users = loadPresence(hub)
  const lastChanged = [...users.values()].reduce((last, { changed }) => Math.max(last, changed), 0)
  const fresh: Presence = { users, lastChanged }
  states.set(hub, fresh)
  return fresh
}

/** What shows a user to be there whom an application service acts as without a device. No device has an empty id. */
export const noDevice = ''

/** A device that is there was so until now. In memory alone: it may sync again in a moment. */
export function deviceSeen(hub: HubContext, uid: number, deviceId: string = noDevice): void {
  const device = presenceTable(hub).users.get(uid)?.devices.get(deviceId)
  if (device) device.seen = hub.now()
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
  const told = new Set(since === undefined ? present(hub) : changedSince(hub, since))
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

function changedSince(hub: HubContext, since: number): number[] {
  const { users, lastChanged } = presenceTable(hub)
  if (since >= lastChanged) return []
  return [...users].filter(([, { changed }]) => changed > since).map(([uid]) => uid)
}
