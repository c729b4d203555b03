// Users of other servers whom a user of this shard can find: by a room that both are in, or by one that is open to all.
// Specification: client-server API, "User Directory".

import type { RoomId, UserId } from '../matrix/event.ts'
import { searchedWords, spellings } from '../storage/user-directory.ts'
import type { HubContext } from './context.ts'
import { findUser } from './interned.ts'

export interface OthersSearch {
  readonly term: string
  /** Rooms whose members anybody may find. */
  readonly openRooms: readonly RoomId[]
  readonly limit: number
}

export interface FoundOther {
  readonly userId: UserId
  readonly displayname: string | null
  readonly avatarUrl: string | null
  /** Whether their name or id begins with the term: they come first. */
  readonly begins: boolean
}

const localpart = "substr(lower(user_id), 1, instr(user_id, ':') - 1)"

/** Those who have every word of the term in their name or user id, those whose name or id begins with it first. */
export function searchOthers(
  hub: HubContext,
  userId: UserId,
  { term, openRooms, limit }: OthersSearch,
): FoundOther[] {
  const parameters: SqlStorageValue[] = []
  const parameter = (value: SqlStorageValue) => `?${parameters.push(value)}`
  const uid = parameter(findUser(hub, userId) ?? 0)
  const open = parameter(JSON.stringify(openRooms))
  const ending = parameter(`:${hub.serverName}`)
  const contains = (word: string) => {
    const inName = spellings(word).map((spelling) => `instr(lower(name), ${parameter(spelling)}) > 0`)
    const inId = parameter(word.toLowerCase())
    // Everybody of a server has its name in their id.
    const byId = [`instr(${localpart}, ${inId}) > 0`, `instr(lower(user_id), ${inId}) IN (1, 2)`]
    return `(${[...inName, ...byId].join(' OR ')})`
  }
  const words = searchedWords(term).map((word) => `AND ${contains(word)}`)
  const whole = parameter(term.trim().toLowerCase())
  return hub.sql
    .exec<{ userId: UserId; displayname: string | null; avatarUrl: string | null; begins: number | null }>(
      `SELECT user_id AS userId, max(name) AS displayname, max(avatar) AS avatarUrl,
         instr(lower(max(name)), ${whole}) = 1 OR instr(lower(user_id), ${whole}) IN (1, 2) AS begins
       FROM other_members
       WHERE rid IN (
           SELECT rid FROM user_room WHERE uid = ${uid} AND membership = 'join'
           UNION SELECT rid FROM rooms WHERE room_id IN (SELECT value FROM json_each(${open})))
         AND substr(user_id, -length(${ending})) <> ${ending}
         ${words.join(' ')}
       GROUP BY user_id
       ORDER BY begins DESC, displayname IS NULL, user_id
       LIMIT ${parameter(limit)}`,
      ...parameters,
    )
    .toArray()
    .map(({ begins, ...found }) => ({ ...found, begins: begins === 1 }))
}
