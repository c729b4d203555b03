// Lock-out after repeated wrong passwords, for accounts that exist and those that do not alike.

import type { HubContext } from './context.ts'

const freeFailures = 10
const firstLockMs = 30_000
const longestLockMs = 15 * 60 * 1000
const forgetAfterMs = 24 * 60 * 60 * 1000

/** How a user name stands: how long it is still locked, and whether there are failures to clear on success. */
export interface LoginStanding {
  readonly lockedForMs: number
  readonly hasFailures: boolean
}

/** The standing of a user name before a password is tried. */
export function loginStanding(hub: HubContext, userId: string): LoginStanding {
  const row = hub.sql
    .exec<{ locked_until: number }>('SELECT locked_until FROM login_failures WHERE user_id = ?', userId)
    .toArray()[0]
  return { lockedForMs: Math.max(0, (row?.locked_until ?? 0) - hub.now()), hasFailures: row !== undefined }
}

/** Counts a failure. After ten of them the name is locked for half a minute, then twice as long each time. */
export function loginFailed(hub: HubContext, userId: string): void {
  const now = hub.now()
  // Names that do not exist leave rows too: old ones go.
  hub.sql.exec('DELETE FROM login_failures WHERE locked_until < ?', now - forgetAfterMs)
  const { failures } = hub.sql
    .exec<{ failures: number }>(
      `INSERT INTO login_failures (user_id, failures, locked_until) VALUES (?, 1, ?)
       ON CONFLICT (user_id) DO UPDATE SET failures = failures + 1, locked_until = excluded.locked_until
       RETURNING failures`,
      userId,
      now,
    )
    .one()
  if (failures < freeFailures) return
  const lockMs = Math.min(longestLockMs, firstLockMs * 2 ** (failures - freeFailures))
  hub.sql.exec('UPDATE login_failures SET locked_until = ? WHERE user_id = ?', now + lockMs, userId)
}

/** Forgets the failures of a user after a success. */
export function loginSucceeded(hub: HubContext, userId: string): void {
  hub.sql.exec('DELETE FROM login_failures WHERE user_id = ?', userId)
}
