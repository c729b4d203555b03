// The numbers of the updates of local users' device lists that other servers are told: positions of the log.
// Specification: server-server API, "Device Management", `stream_id`.

import type { UserId } from '../matrix/event.ts'
import type { HubContext } from './context.ts'

/** The number of a user's last update, undefined where there was none. */
export function lastUpdate(hub: HubContext, userId: UserId): number | undefined {
  const row = hub.sql
    .exec<{ streamId: number | null }>(
      'SELECT stream_id AS streamId FROM device_lists WHERE user_id = ?',
      userId,
    )
    .toArray()[0]
  return row?.streamId ?? undefined
}

/** The same as other servers are told it: 0 where there was none. */
export function streamIdOf(hub: HubContext, userId: UserId): number {
  return lastUpdate(hub, userId) ?? 0
}
