// Presence on disk, so that the Hub may sleep while its users are there: a row a user, written when what others are shown
// changes, or which devices are there or missing, and never because a sync merely goes on.
// Specification: client-server API, "Presence".

import type { HubContext } from './context.ts'
import type { PresenceState, PresentDevice, UserPresence } from './presence.ts'

// Activity alone is kept this exactly, in milliseconds: a few of the minutes after which somebody counts as idle.
const activityStepMs = 60_000

interface PresenceRow {
  readonly uid: number
  readonly shown: PresenceState
  readonly changed: number
  readonly last_active: number | null
  readonly told_at: number | null
  readonly status_msg: string | null
  readonly profile: string
  readonly devices: string
  readonly [column: string]: SqlStorageValue
}

/** A device as it is kept: when it was last seen is for memory alone. */
type KeptDevice = Pick<PresentDevice, 'state' | 'missing'>

/** All users that presence is kept of. */
export function loadPresence(hub: HubContext): Map<number, UserPresence> {
  const rows = hub.sql.exec<PresenceRow>(
    'SELECT uid, shown, changed, last_active, told_at, status_msg, profile, devices FROM presence',
  )
  return new Map([...rows].map((row) => [row.uid, asUser(row)]))
}

// Both JSON columns are written by `keepPresence` alone.
function asUser(row: PresenceRow): UserPresence {
  const user: UserPresence = {
    devices: new Map(JSON.parse(row.devices) as [string, KeptDevice][]),
    shown: row.shown,
    changed: row.changed,
    ...(row.last_active === null ? {} : { lastActive: row.last_active }),
    ...(row.told_at === null ? {} : { toldAt: row.told_at }),
    statusMsg: row.status_msg ?? undefined,
    profile: JSON.parse(row.profile) as UserPresence['profile'],
  }
  user.kept = keptOf(user)
  return user
}

/** What is on disk of a user, as far as it decides whether to write. */
export interface KeptPresence {
  readonly lastActive: number
  readonly rest: string
}

// With each change of what others are shown comes another `changed`. What a device says is not part of it: where that
// matters, it changes what is shown.
function keptOf({ changed, toldAt, lastActive = 0, devices }: UserPresence): KeptPresence {
  const there = [...devices].map(([deviceId, { missing }]) => [deviceId, missing])
  return { lastActive, rest: JSON.stringify([changed, toldAt, there]) }
}

/** Writes down how a user stands, where the next life of this object would be misled by what is on disk. */
export function keepPresence(hub: HubContext, uid: number, user: UserPresence): void {
  const now = keptOf(user)
  const { kept } = user
  if (kept?.rest === now.rest && now.lastActive - kept.lastActive < activityStepMs) return
  const devices = [...user.devices].map(([deviceId, { state, missing }]): [string, KeptDevice] => [
    deviceId,
    missing === undefined ? { state } : { state, missing },
  ])
  hub.sql.exec(
    `INSERT OR REPLACE INTO presence (uid, shown, changed, last_active, told_at, status_msg, profile, devices)
     VALUES (?, ?, ?, ?, ?, ?, ?, ?)`,
    uid,
    user.shown,
    user.changed,
    user.lastActive ?? null,
    user.toldAt ?? null,
    user.statusMsg ?? null,
    JSON.stringify(user.profile),
    JSON.stringify(devices),
  )
  user.kept = now
}
