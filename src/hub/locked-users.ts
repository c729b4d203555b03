// Users whose accounts are locked: what they would have to sign in for is not pushed to them either.
// Specification: client-server API, "Account locking".

import type { UserId } from '../matrix/event.ts'
import type { HubContext } from './context.ts'
import { internUser } from './interned.ts'
import { dropWaitingPushes } from './pushes.ts'
import { dropWaiters } from './waiters.ts'

/** Notes that a user is locked, or is no longer. Those of their syncs that wait end, and what waits to be pushed is dropped. */
export function setLocked(hub: HubContext, userId: UserId, locked: boolean): void {
  const uid = internUser(hub, userId)
  if (!locked) {
    hub.sql.exec('DELETE FROM locked_users WHERE uid = ?', uid)
    return
  }
  hub.sql.exec('INSERT OR IGNORE INTO locked_users VALUES (?)', uid)
  dropWaitingPushes(hub, uid)
  dropWaiters(hub, uid)
}
