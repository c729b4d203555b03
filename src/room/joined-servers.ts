// Which servers are in the room: those with a joined user. Kept in memory and brought up to date from the membership rows.
// Specification: server-server API, "Transactions" (to whom events go), "Server Access Control Lists (ACLs)".

import type { ServerName } from '../matrix/event.ts'
import { parseUserId, serverNameOf } from '../matrix/identifiers.ts'
import type { RoomContext } from './context.ts'
import { livePosition } from './events.ts'
import { type MembershipChange, membershipChanges } from './member-counts.ts'

type Servers = Map<ServerName, number>

const known = new WeakMap<RoomContext, { position: number; servers: Servers }>()

/** The servers in the room now, with how many joined users each has. */
export function joinedServers(room: RoomContext): ReadonlyMap<ServerName, number> {
  const position = livePosition(room)
  const last = known.get(room)
  if (last?.position === position) return last.servers
  // Going back means a rolled back transaction: count anew.
  const servers = last && last.position < position ? catchUp(room, last, position) : countAll(room, position)
  known.set(room, { position, servers })
  return servers
}

/** Whether a server has a joined user in the room. */
export function isServerInRoom(room: RoomContext, serverName: ServerName): boolean {
  return joinedServers(room).has(serverName)
}

/** Whether other servers than this one are in the room. */
export function hasOtherServers(room: RoomContext): boolean {
  return joinedServers(room).size > (isServerInRoom(room, room.serverName) ? 1 : 0)
}

/** The servers that were in the room just before each of some positions, which come in ascending order. */
export function joinedServersBefore(room: RoomContext, positions: readonly number[]): ServerName[][] {
  const changes = joinsAndParts(room, positions[0] ?? Infinity, livePosition(room))
  // Back from now to before the first of them, then forward again.
  const servers = new Map(joinedServers(room))
  for (const { userId, next } of changes.toReversed()) add(servers, userId, next === 'join' ? -1 : 1)
  return positions.map((position) => {
    for (let change = changes[0]; change && change.position < position; change = changes[0]) {
      add(servers, change.userId, change.next === 'join' ? 1 : -1)
      changes.shift()
    }
    return [...servers.keys()]
  })
}

function countAll(room: RoomContext, position: number): Servers {
  const servers: Servers = new Map()
  const rows = room.sql.exec<{ userId: string; membership: string | null }>(
    `SELECT slots.state_key AS userId, state.membership, max(state.pos) FROM slots JOIN state USING (slot)
     WHERE slots.type = 'm.room.member' AND state.pos <= ? GROUP BY slot`,
    position,
  )
  for (const { userId, membership } of rows) if (membership === 'join') add(servers, userId, 1)
  return servers
}

function catchUp(
  room: RoomContext,
  last: { readonly position: number; readonly servers: Servers },
  position: number,
): Servers {
  const changes = joinsAndParts(room, last.position + 1, position)
  if (changes.length === 0) return last.servers
  const servers = new Map(last.servers)
  for (const { userId, next } of changes) add(servers, userId, next === 'join' ? 1 : -1)
  return servers
}

function joinsAndParts(room: RoomContext, from: number, to: number): MembershipChange[] {
  if (from > to) return []
  const changes = membershipChanges(room, from, to)
  return changes.filter(({ prev, next }) => (prev === 'join') !== (next === 'join'))
}

function add(servers: Servers, userId: string, n: number): void {
  // State keys are whatever a sender liked; only user ids can be joined.
  const parsed = parseUserId(userId)
  const serverName = parsed && serverNameOf(parsed)
  if (serverName === undefined) return
  const count = (servers.get(serverName) ?? 0) + n
  if (count > 0) servers.set(serverName, count)
  else servers.delete(serverName)
}
