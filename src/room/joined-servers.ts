// Which servers are in the room, and which application services: those with a joined user. Kept in memory and brought up to date from the membership rows.
// Specification: server-server API, "Transactions" (to whom events go), "Server Access Control Lists (ACLs)".

import { listeners } from '../appservice/listeners.ts'
import { looksAfterUser } from '../appservice/namespaces.ts'
import type { ServerName } from '../matrix/event.ts'
import { parseUserId, serverNameOf } from '../matrix/identifiers.ts'
import type { RoomContext } from './context.ts'
import { livePosition } from './events.ts'
import { type MembershipChange, membershipChanges } from './member-counts.ts'

/** How many joined users there are, of each server and of each application service. */
interface Joined {
  readonly servers: Map<ServerName, number>
  readonly appservices: Map<string, number>
}

const known = new WeakMap<RoomContext, { position: number; joined: Joined }>()

/** The servers in the room now, with how many joined users each has. */
export function joinedServers(room: RoomContext): ReadonlyMap<ServerName, number> {
  return joinedNow(room).servers
}

/** The ids of the application services in the room now, with how many joined users each looks after. */
export function joinedAppservices(room: RoomContext): ReadonlyMap<string, number> {
  return joinedNow(room).appservices
}

function joinedNow(room: RoomContext): Joined {
  const position = livePosition(room)
  const last = known.get(room)
  if (last?.position === position) return last.joined
  // Going back means a rolled back transaction: count anew.
  const joined = last && last.position < position ? catchUp(room, last, position) : countAll(room, position)
  known.set(room, { position, joined })
  return joined
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
  return joinedBefore(room, positions, ({ servers }) => [...servers.keys()])
}

/** The ids of the application services in the room just before or just after each of some positions, in ascending order. */
export function appservicesAround(room: RoomContext, positions: readonly number[]): ReadonlySet<string>[] {
  const twice = positions.flatMap((position) => [position, position + 1])
  const ids = joinedBefore(room, twice, ({ appservices }) => [...appservices.keys()])
  return positions.map((_, i) => new Set([...(ids[2 * i] ?? []), ...(ids[2 * i + 1] ?? [])]))
}

function joinedBefore<T>(room: RoomContext, positions: readonly number[], look: (joined: Joined) => T): T[] {
  const changes = joinsAndParts(room, positions[0] ?? Infinity, livePosition(room))
  // Back from now to before the first of them, then forward again.
  const joined = copyOf(joinedNow(room))
  for (const { userId, next } of changes.toReversed()) add(room, joined, userId, next === 'join' ? -1 : 1)
  return positions.map((position) => {
    for (let change = changes[0]; change && change.position < position; change = changes[0]) {
      add(room, joined, change.userId, change.next === 'join' ? 1 : -1)
      changes.shift()
    }
    return look(joined)
  })
}

function copyOf({ servers, appservices }: Joined): Joined {
  return { servers: new Map(servers), appservices: new Map(appservices) }
}

function countAll(room: RoomContext, position: number): Joined {
  const joined: Joined = { servers: new Map(), appservices: new Map() }
  const rows = room.sql.exec<{ userId: string; membership: string | null }>(
    `SELECT slots.state_key AS userId, state.membership, max(state.pos) FROM slots JOIN state USING (slot)
     WHERE slots.type = 'm.room.member' AND state.pos <= ? GROUP BY slot`,
    position,
  )
  for (const { userId, membership } of rows) if (membership === 'join') add(room, joined, userId, 1)
  return joined
}

function catchUp(
  room: RoomContext,
  last: { readonly position: number; readonly joined: Joined },
  position: number,
): Joined {
  const changes = joinsAndParts(room, last.position + 1, position)
  if (changes.length === 0) return last.joined
  const joined = copyOf(last.joined)
  for (const { userId, next } of changes) add(room, joined, userId, next === 'join' ? 1 : -1)
  return joined
}

function joinsAndParts(room: RoomContext, from: number, to: number): MembershipChange[] {
  if (from > to) return []
  const changes = membershipChanges(room, from, to)
  return changes.filter(({ prev, next }) => (prev === 'join') !== (next === 'join'))
}

function add(room: RoomContext, { servers, appservices }: Joined, text: string, n: number): void {
  // State keys are whatever a sender liked; only user ids can be joined.
  const userId = parseUserId(text)
  if (userId === undefined) return
  const serverName = serverNameOf(userId)
  count(servers, serverName, n)
  if (serverName !== room.serverName) return
  for (const appservice of listeners(room.env)) {
    if (looksAfterUser(room.env, appservice, userId)) count(appservices, appservice.id, n)
  }
}

function count<K>(counts: Map<K, number>, key: K, n: number): void {
  const sum = (counts.get(key) ?? 0) + n
  if (sum > 0) counts.set(key, sum)
  else counts.delete(key)
}
