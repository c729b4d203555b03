// What a Hub shard is told of members who are not its users: who came and left, and what they are called, by which its users
// find them. Specification: client-server API, "User Directory".

import type { MemberProfile, OtherMember } from '../hub/other-members.ts'
import type { EventNews } from '../hub/room-news.ts'
import { parseUserId } from '../matrix/identifiers.ts'
import type { RoomContext } from './context.ts'
import type { MembershipChange } from './member-counts.ts'

// The names of more than these would not fit into one call: a large room that is joined from outside.
const mostNamed = 10_000
// Longer ones are not searched for.
const longestName = 256

/** Who joined, is no longer joined or is called otherwise, of some changes to users who are not of a shard. */
export function othersOf(
  room: RoomContext,
  changes: readonly MembershipChange[],
): Pick<EventNews, 'others' | 'renamed'> {
  if (changes.length === 0) return {}
  const joins = changes.filter(({ next }) => next === 'join').map(({ eid }) => eid)
  const profiles = profilesIn(room, joins)
  const told = changes.flatMap((change): { member: OtherMember; moved: boolean }[] => {
    const userId = parseUserId(change.userId)
    const joined = change.next === 'join'
    if (!userId || (!joined && change.prev !== 'join')) return []
    const member = { userId, joined, ...(joined ? profiles.get(change.eid) : {}) }
    return [{ member, moved: change.prev !== change.next }]
  })
  const others = told.filter(({ moved }) => moved).map(({ member }) => member)
  const renamed = told.filter(({ moved }) => !moved).map(({ member }) => member)
  return { ...(others.length > 0 ? { others } : {}), ...(renamed.length > 0 ? { renamed } : {}) }
}

/** What member events of users who are joined say of them, by eid; nothing where there are too many. */
export function profilesIn(room: RoomContext, eids: readonly number[]): ReadonlyMap<number, MemberProfile> {
  if (eids.length > mostNamed) return new Map()
  const rows = room.sql.exec<{ eid: number; name: SqlStorageValue; avatar: SqlStorageValue }>(
    `SELECT eid, json ->> '$.content.displayname' AS name, json ->> '$.content.avatar_url' AS avatar
     FROM events WHERE eid IN (SELECT value FROM json_each(?))`,
    JSON.stringify(eids),
  )
  return new Map(
    [...rows].map(({ eid, name, avatar }) => [eid, { ...field('name', name), ...field('avatar', avatar) }]),
  )
}

function field(key: keyof MemberProfile, value: SqlStorageValue): MemberProfile {
  return typeof value === 'string' && value !== '' && value.length <= longestName ? { [key]: value } : {}
}
