// Changes of presence: what clients say, what their syncs say, and the time that passes without either.
// Specification: client-server API, "Presence".

import type { UserId } from '../matrix/event.ts'
import { expireOthers } from './apply-other-presence.ts'
import type { HubContext } from './context.ts'
import { nextEphemeral } from './ephemeral.ts'
import { findUser, internUser } from './interned.ts'
import { usersSharing } from './members.ts'
import { presenceTable, type PresenceState, type UserPresence } from './presence.ts'
import type { SyncRequest } from './sync-request.ts'
import { tellPresence } from './tell-presence.ts'
import { presentDevices, wake } from './waiters.ts'

// The specification's example.
const idleAfterMs = 5 * 60_000
// Longer than a client takes from one sync to the next.
const offlineAfterMs = 45_000
const lookEveryMs = 15_000

export interface PresenceRequest {
  readonly userId: UserId
  readonly deviceId: string
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
  user.lastActive = hub.now()
  if (request.presence === 'offline') user.devices.delete(request.deviceId)
  else user.devices.set(request.deviceId, { state: request.presence, seen: hub.now() })
  const sameMessage = user.statusMsg === request.statusMsg
  user.statusMsg = request.statusMsg
  if (show(hub, user) || !sameMessage) changed(hub, [uid, user])
  watch(hub)
}

/** A device syncs: its user is there, if that is what it says. */
export function deviceSynced(
  hub: HubContext,
  { userId, deviceId, setPresence: state }: Pick<SyncRequest, 'userId' | 'deviceId' | 'setPresence'>,
): void {
  if (state === undefined) return
  const uid = internUser(hub, userId)
  const user = userPresence(hub, uid)
  // To become online is to do something, to stay so is not.
  if (state === 'online' && user.devices.get(deviceId)?.state !== 'online') user.lastActive = hub.now()
  user.devices.set(deviceId, { state, seen: hub.now() })
  if (show(hub, user)) changed(hub, [uid, user])
  watch(hub)
}

/** A device was logged out. */
export function deviceEnded(hub: HubContext, uid: number, deviceId: string): void {
  const user = presenceTable(hub).users.get(uid)
  if (user?.devices.delete(deviceId) && show(hub, user)) changed(hub, [uid, user])
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
  if (!show(hub, user)) return []
  stamp(hub, user)
  tellOthers(hub, [uid])
  return [uid]
}

/**
 * A name or avatar changed: told as presence too. Nobody is woken: the member events that follow do so.
 * Specification: "Events on Change of Profile Information".
 */
export function profileChanged(hub: HubContext, userId: UserId, change: ProfileChange): void {
  const user = userPresence(hub, internUser(hub, userId))
  const { displayname, avatar_url: avatarUrl } = { ...user.profile, ...change }
  user.profile = {
    ...(typeof displayname === 'string' ? { displayname } : {}),
    ...(typeof avatarUrl === 'string' ? { avatar_url: avatarUrl } : {}),
  }
  stamp(hub, user)
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
  const fresh: UserPresence = {
    devices: new Map(),
    shown: 'offline',
    changed: 0,
    statusMsg: undefined,
    profile: {},
  }
  users.set(uid, fresh)
  return fresh
}

/** Brings what is shown up to date. Answers whether it changed. */
function show(hub: HubContext, user: UserPresence): boolean {
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

function stamp(hub: HubContext, user: UserPresence): void {
  user.changed = nextEphemeral(hub)
  presenceTable(hub).lastChanged = user.changed
}

function changed(hub: HubContext, ...users: readonly (readonly [number, UserPresence])[]): void {
  for (const [, user] of users) stamp(hub, user)
  const uids = users.map(([uid]) => uid)
  wakeFor(hub, uids)
  tellOthers(hub, uids)
}

// Some forget whom they did not hear of for half an hour.
const repeatAfterMs = 25 * 60_000

function tellOthers(hub: HubContext, uids: readonly number[]): void {
  const { users } = presenceTable(hub)
  for (const uid of uids) {
    const user = users.get(uid)
    if (user) user.toldAt = hub.now()
  }
  tellPresence(hub, uids)
}

/** Looks after who has gone as long as somebody is there; with nobody there, no timer keeps this object awake. */
function watch(hub: HubContext): void {
  const table = presenceTable(hub)
  if (table.timed || [...table.users.values()].every(({ devices }) => devices.size === 0)) return
  table.timed = true
  setTimeout(() => {
    table.timed = false
    look(hub)
    watch(hub)
  }, lookEveryMs)
}

function look(hub: HubContext): void {
  const table = presenceTable(hub)
  const there = [...table.users].filter(([, { devices }]) => devices.size > 0)
  for (const [uid, { devices }] of there) {
    const waiting = presentDevices(hub, uid)
    for (const [deviceId, device] of devices) {
      if (waiting.has(deviceId)) device.seen = hub.now()
      else if (hub.now() - device.seen >= offlineAfterMs) devices.delete(deviceId)
    }
  }
  changed(hub, ...there.filter(([, user]) => show(hub, user)))
  const due = there.filter(([, { toldAt = 0 }]) => hub.now() - toldAt >= repeatAfterMs)
  tellOthers(
    hub,
    due.map(([uid]) => uid),
  )
  expireOthers(hub)
  // After a restart everybody gets the time to sync again before they are told to be offline.
  if (table.settled === undefined && hub.now() - table.startedAt >= offlineAfterMs) {
    table.settled = nextEphemeral(hub)
  }
}
