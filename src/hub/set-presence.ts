// Changes of presence: what clients say, what their syncs say, and what they do. What time brings is in
// look-after-presence.ts.
// Specification: client-server API, "Presence".

import type { UserId } from '../matrix/event.ts'
import { wakeAt } from './alarm.ts'
import { expireOthers } from './apply-other-presence.ts'
import type { HubContext } from './context.ts'
import { nextEphemeral } from './ephemeral.ts'
import { findUser, internUser } from './interned.ts'
import { keepPresence } from './kept-presence.ts'
import { usersSharing } from './members.ts'
import { noDevice, presenceTable, type PresenceState, type UserPresence } from './presence.ts'
import type { SyncRequest } from './sync-request.ts'
import { tellPresence } from './tell-presence.ts'
import { wake } from './waiters.ts'

// The specification's example.
const idleAfterMs = 5 * 60_000
// Each look is a request and a row.
const lookEveryMs = 60_000

export interface PresenceRequest {
  readonly userId: UserId
  /** Undefined for an application service that acts as none. */
  readonly deviceId: string | undefined
  readonly presence: PresenceState
  readonly statusMsg?: string | undefined
}

/** What changed of a profile; null where it was removed. */
export interface ProfileChange {
  readonly displayname?: string | null
  readonly avatar_url?: string | null
}

/** Sets what a device shows its user to be, and the user's status message: none where it is absent. */
export function setPresence(hub: HubContext, request: PresenceRequest): void {
  const uid = internUser(hub, request.userId)
  const user = userPresence(hub, uid)
  const deviceId = request.deviceId ?? noDevice
  user.lastActive = hub.now()
  if (request.presence === 'offline') user.devices.delete(deviceId)
  else user.devices.set(deviceId, { state: request.presence, seen: hub.now() })
  const sameMessage = user.statusMsg === request.statusMsg
  user.statusMsg = request.statusMsg
  update(hub, uid, user, !sameMessage)
}

/** A device syncs: its user is there, if that is what it says. */
export function deviceSynced(
  hub: HubContext,
  {
    userId,
    deviceId = noDevice,
    setPresence: state,
  }: Pick<SyncRequest, 'userId' | 'deviceId' | 'setPresence'>,
): void {
  expireOthers(hub)
  if (state === undefined) return
  const uid = internUser(hub, userId)
  const user = userPresence(hub, uid)
  // To become online is to do something, to stay so is not.
  if (state === 'online' && user.devices.get(deviceId)?.state !== 'online') user.lastActive = hub.now()
  user.devices.set(deviceId, { state, seen: hub.now() })
  update(hub, uid, user)
}

/** A device was logged out. */
export function deviceEnded(hub: HubContext, uid: number, deviceId: string): void {
  const user = presenceTable(hub).users.get(uid)
  if (user?.devices.delete(deviceId)) update(hub, uid, user)
}

/** A user did something. Nobody is woken: what was done does so, or `wakeFor` afterwards with what this answers. */
export function userActive(hub: HubContext, userId: UserId): number[] {
  const uid = findUser(hub, userId)
  const user = uid === undefined ? undefined : presenceTable(hub).users.get(uid)
  // Who does not want to be seen is not made online by what they do.
  if (uid === undefined || !user || user.devices.size === 0) return []
  user.lastActive = hub.now()
  // Any activity on any of the user's clients makes them online.
  for (const device of user.devices.values()) device.state = 'online'
  const isNews = show(hub, user)
  if (isNews) stamp(hub, user)
  keepPresence(hub, uid, user)
  if (!isNews) return []
  tellPresence(hub, [uid])
  return [uid]
}

/**
 * A name or avatar changed: told as presence too. Nobody is woken: the member events that follow do so.
 * Specification: "Events on Change of Profile Information".
 */
export function profileChanged(hub: HubContext, userId: UserId, change: ProfileChange): void {
  const uid = internUser(hub, userId)
  const user = userPresence(hub, uid)
  const { displayname, avatar_url: avatarUrl } = { ...user.profile, ...change }
  user.profile = {
    ...(typeof displayname === 'string' ? { displayname } : {}),
    ...(typeof avatarUrl === 'string' ? { avatar_url: avatarUrl } : {}),
  }
  // Other servers and shards learn of it by member events alone.
  user.changed = nextChange(hub)
  keepPresence(hub, uid, user)
}

/** Forgets what a user whose data is erased had said. */
export function eraseStatus(hub: HubContext, uid: number): void {
  const user = presenceTable(hub).users.get(uid)
  if (!user) return
  delete user.statusMsg
  user.profile = {}
  user.changed = nextChange(hub)
  keepPresence(hub, uid, user)
}

/** Wakes those who share a room with any of these users. */
export function wakeFor(hub: HubContext, uids: readonly number[]): void {
  const others = new Set(uids.flatMap((uid) => [...usersSharing(hub, uid)]))
  for (const other of others) wake(hub, other)
}

function userPresence(hub: HubContext, uid: number): UserPresence {
  const { users } = presenceTable(hub)
  const known = users.get(uid)
  if (known) return known
  const fresh: UserPresence = { devices: new Map(), shown: 'offline', changed: 0, profile: {} }
  users.set(uid, fresh)
  return fresh
}

/** Brings what others are shown up to date, on disk before anybody is told. */
function update(hub: HubContext, uid: number, user: UserPresence, isOtherwiseNews = false): void {
  const isNews = show(hub, user) || isOtherwiseNews
  if (isNews) stamp(hub, user)
  keepPresence(hub, uid, user)
  watch(hub)
  if (!isNews) return
  wakeFor(hub, [uid])
  tellPresence(hub, [uid])
}

/** Brings what is shown up to date. Answers whether it changed. */
export function show(hub: HubContext, user: UserPresence): boolean {
  const before = user.shown
  user.shown = stateNow(hub, user)
  return user.shown !== before
}

// The device that is most there counts.
function stateNow(hub: HubContext, { devices, lastActive }: UserPresence): PresenceState {
  if (devices.size === 0) return 'offline'
  const idle = lastActive === undefined || hub.now() - lastActive >= idleAfterMs
  return !idle && [...devices.values()].some(({ state }) => state === 'online') ? 'online' : 'unavailable'
}

/** Notes that others are told of a user now. */
export function stamp(hub: HubContext, user: UserPresence): void {
  user.changed = nextChange(hub)
  user.toldAt = hub.now()
}

function nextChange(hub: HubContext): number {
  const changed = nextEphemeral(hub)
  presenceTable(hub).lastChanged = changed
  return changed
}

/** Has it looked after who has gone as long as somebody is there. A sync that goes on finds the alarm set. */
export function watch(hub: HubContext): void {
  const isAnybodyThere = [...presenceTable(hub).users.values()].some(({ devices }) => devices.size > 0)
  if (isAnybodyThere) wakeAt(hub, hub.now() + lookEveryMs)
}
