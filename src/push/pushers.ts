// The pushers of a shard's users: set, listed and removed, on disk and in memory.
// Specification: client-server API, POST /pushers/set, GET /pushers.

import { newSecretToken } from '../storage/secret-token.ts'
import type { Pusher, PusherSettings, PushDeps, Pushes } from './context.ts'
import { readPauses } from './email-digest.ts'

/** How many pushers a user may have: each costs a request an event. */
export const mostPushers = 50

type PusherRow = {
  id: number
  uid: number
  device_id: string
  pushkey_ts: number
  settings: string
  failures: number
  retry_at: number
  waiting: number
  secret: string | null
  pauses: string | null
}

/** Reads all pushers into memory. */
export function openPushes(deps: PushDeps): Pushes {
  const rows = deps.sql
    .exec<PusherRow>(
      `SELECT id, uid, device_id, pushkey_ts, settings, failures, retry_at,
         (SELECT count(*) FROM pushes WHERE pusher = id) AS waiting, secret, pauses
       FROM pushers LEFT JOIN email_pushers ON pusher = id ORDER BY id`,
    )
    .toArray()
  const pushers = new Map<number, Pusher[]>()
  for (const row of rows) pushers.set(row.uid, [...(pushers.get(row.uid) ?? []), asPusher(row)])
  return {
    deps,
    pushers,
    ready: new Set(),
    active: 0,
    activeFailing: 0,
    alarmAt: undefined,
    idleWaiters: [],
  }
}

function asPusher(row: PusherRow): Pusher {
  return {
    id: row.id,
    uid: row.uid,
    deviceId: row.device_id,
    // Written by `setPusher` alone.
    settings: JSON.parse(row.settings) as PusherSettings,
    email:
      row.secret === null
        ? undefined
        : { secret: row.secret, pauses: row.pauses === null ? new Map() : readPauses(row.pauses) },
    pushkeyTs: row.pushkey_ts,
    failures: row.failures,
    retryAt: row.retry_at,
    quickRetries: 0,
    waiting: row.waiting,
    busy: false,
    gone: false,
  }
}

/** The pushers of a user. */
export function pushersOf(pushes: Pushes, uid: number): readonly Pusher[] {
  return pushes.pushers.get(uid) ?? []
}

/**
 * Makes a pusher for a device, or changes the user's one with the same app id and pushkey, which is then tried again at
 * once if it has failed. Answers false where the user has too many.
 */
export function setPusher(pushes: Pushes, uid: number, deviceId: string, settings: PusherSettings): boolean {
  const { sql, now } = pushes.deps
  const known = pushersOf(pushes, uid).find((pusher) => isFor(pusher, settings))
  const text = JSON.stringify(settings)
  const pushkeyTs = Math.floor(now() / 1000)
  if (known) {
    // Clients say it again with each start.
    const same = known.deviceId === deviceId && JSON.stringify(known.settings) === text
    if (same && known.failures === 0) return true
    Object.assign(known, { deviceId, settings, pushkeyTs, failures: 0, quickRetries: 0, retryAt: 0 })
    sql.exec(
      'UPDATE pushers SET device_id = ?, settings = ?, pushkey_ts = ?, failures = 0, retry_at = 0 WHERE id = ?',
      deviceId,
      text,
      pushkeyTs,
      known.id,
    )
    keepKind(pushes, known)
    return true
  }
  if (pushersOf(pushes, uid).length >= mostPushers) return false
  const row = sql
    .exec<PusherRow>(
      `INSERT INTO pushers (uid, device_id, settings, pushkey_ts) VALUES (?, ?, ?, ?)
       RETURNING id, uid, device_id, pushkey_ts, settings, failures, retry_at, 0 AS waiting, NULL AS secret, NULL AS pauses`,
      uid,
      deviceId,
      text,
      pushkeyTs,
    )
    .toArray()
  const added = row.map(asPusher)
  for (const pusher of added) keepKind(pushes, pusher)
  pushes.pushers.set(uid, [...pushersOf(pushes, uid), ...added])
  return true
}

/** Makes a pusher one that sends mails, or one that does not any more, as its settings say. */
function keepKind({ deps }: Pushes, pusher: Pusher): void {
  const isEmail = pusher.settings.kind === 'email'
  if (isEmail === (pusher.email !== undefined)) return
  // What waits was written for the other kind.
  deps.sql.exec('DELETE FROM pushes WHERE pusher = ?', pusher.id)
  pusher.waiting = 0
  if (!isEmail) {
    pusher.email = undefined
    deps.sql.exec('DELETE FROM email_pushers WHERE pusher = ?', pusher.id)
    return
  }
  pusher.email = { secret: newSecretToken(), pauses: new Map() }
  deps.sql.exec('INSERT INTO email_pushers (pusher, secret) VALUES (?, ?)', pusher.id, pusher.email.secret)
}

/** Whether a pusher is the one for an app and a pushkey. */
export function isFor(
  { settings }: Pusher,
  { appId, pushkey }: Pick<PusherSettings, 'appId' | 'pushkey'>,
): boolean {
  return settings.appId === appId && settings.pushkey === pushkey
}

/** Removes pushers, with what waits for them. */
export function removePushers(pushes: Pushes, which: (pusher: Pusher) => boolean): void {
  const { sql } = pushes.deps
  for (const [uid, pushers] of pushes.pushers) {
    const gone = pushers.filter(which)
    if (gone.length === 0) continue
    for (const pusher of gone) {
      pusher.gone = true
      pushes.ready.delete(pusher)
      sql.exec('DELETE FROM pushers WHERE id = ?', pusher.id)
      sql.exec('DELETE FROM pushes WHERE pusher = ?', pusher.id)
      if (pusher.email) sql.exec('DELETE FROM email_pushers WHERE pusher = ?', pusher.id)
    }
    const left = pushers.filter((pusher) => !gone.includes(pusher))
    if (left.length > 0) pushes.pushers.set(uid, left)
    else pushes.pushers.delete(uid)
  }
}
