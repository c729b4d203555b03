// Who was in a room before a Hub shard was told of it, for a shard that comes in later than others.

import { config } from '../config.ts'
import type { OtherMember } from '../hub/other-members.ts'
import { parseUserId } from '../matrix/identifiers.ts'
import type { RoomContext } from './context.ts'
import { profilesIn } from './others-of-shard.ts'

/**
 * The joined users at the position from which a sink is told; undefined for one that was told since, or from the beginning.
 */
export function membersBefore(room: RoomContext, sink: string, told: number): OtherMember[] | undefined {
  // A single shard is told everything.
  if (config(room.env).hubShards === 1 || told === 0) return undefined
  const row = room.sql.exec<{ pos: number }>('SELECT pos FROM sinks WHERE name = ?', sink).toArray()[0]
  // After a restart it may be said again: the shard knows what it has.
  return row?.pos === told ? joinedAt(room, told) : undefined
}

function joinedAt(room: RoomContext, position: number): OtherMember[] {
  const rows = room.sql.exec<{ userId: string; eid: number; membership: string | null }>(
    `SELECT slots.state_key AS userId, state.eid, state.membership, max(state.pos) FROM slots JOIN state USING (slot)
     WHERE slots.type = 'm.room.member' AND state.pos <= ? GROUP BY slot`,
    position,
  )
  const joined = [...rows].filter(({ membership }) => membership === 'join')
  const profiles = profilesIn(
    room,
    joined.map(({ eid }) => eid),
  )
  return joined.flatMap(({ userId: stateKey, eid }) => {
    const userId = parseUserId(stateKey)
    return userId ? [{ userId, joined: true, ...profiles.get(eid) }] : []
  })
}
