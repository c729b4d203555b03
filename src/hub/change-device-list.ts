// A change of somebody's keys or devices, for the users of this shard who share a room with them.
// Specification: client-server API, "Tracking the device list for a user".

import { hubStub } from '../env.ts'
import { errorMessage, log } from '../log.ts'
import type { UserId } from '../matrix/event.ts'
import { type HubContext, nextPosition } from './context.ts'
import { findUser } from './interned.ts'
import { usersSharing } from './members.ts'
import { sharersWithOther } from './other-members.ts'
import { wakeUser } from './waiters.ts'

/**
 * Gives a device list a new position, which is answered. Where other servers are told of it, that is its number from now on.
 * Call `tellChange` once it is committed.
 */
export function moveDeviceList(hub: HubContext, userId: UserId, { numbered = false } = {}): number {
  const position = nextPosition(hub)
  hub.sql.exec(
    `INSERT INTO device_lists (user_id, pos, stream_id) VALUES (?, ?, ?)
     ON CONFLICT (user_id) DO UPDATE SET pos = excluded.pos, stream_id = ifnull(excluded.stream_id, stream_id)`,
    userId,
    position,
    numbered ? position : null,
  )
  return position
}

/** Wakes those of this shard who see the device list of a user, the user among them. */
export function tellChange(hub: HubContext, userId: UserId): void {
  const uid = findUser(hub, userId)
  const sharers = uid === undefined ? sharersWithOther(hub, userId) : [uid, ...usersSharing(hub, uid)]
  for (const sharer of new Set(sharers)) wakeUser(hub, sharer)
}

/** Tells the other shards that a user of this one has changed keys or devices. Nobody waits for it. */
export function tellOtherHubs(hub: HubContext, userId: UserId): void {
  for (const shard of hub.otherShards) void tellHub(hub, shard, userId)
}

async function tellHub(hub: HubContext, shard: number, userId: UserId): Promise<void> {
  try {
    await hubStub(hub.env, shard).deviceListChanged(userId)
  } catch (error) {
    log({ event: 'device_list_not_told', user_id: userId, error: errorMessage(error) })
  }
}

/** Takes over that a user of another shard has changed keys or devices. */
export function deviceListChanged(hub: HubContext, userId: UserId): void {
  if (sharersWithOther(hub, userId).length === 0) return
  moveDeviceList(hub, userId)
  tellChange(hub, userId)
}
