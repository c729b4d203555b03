// Searching local users by id and profile. Specification: client-server API, "User Directory".

import { and, asc, isNull, or, type SQL, sql } from 'drizzle-orm'
import type { RoomId, UserId } from '../matrix/event.ts'
import { database } from './database.ts'
import { profiles } from './schema/profiles.ts'
import { rooms } from './schema/rooms.ts'
import { users } from './schema/users.ts'

interface Database {
  readonly DB: D1Database
}

export interface FoundUser {
  readonly userId: UserId
  /** The Hub shard of the user. */
  readonly shard: number
  readonly displayname: string | null
  readonly avatarUrl: string | null
}

// D1 takes at most 100 parameters in a query.
const mostWords = 5

/** The words of a term that are looked for. */
export function searchedWords(term: string): string[] {
  return term
    .split(/\s+/u)
    .filter((word) => word !== '')
    .slice(0, mostWords)
}

/**
 * Users who are not deactivated and have every word of the term in their name or user id: those whose name or id is or
 * begins with the term first, then those with a name. Who may see whom is not looked at.
 */
export async function findUsersByTerm(
  env: Database,
  term: string,
  page: { readonly limit: number; readonly offset: number },
): Promise<FoundUser[]> {
  return await database(env)
    .select({
      userId: users.userId,
      shard: users.shard,
      displayname: profiles.displayname,
      avatarUrl: profiles.avatarUrl,
    })
    .from(users)
    .leftJoin(profiles, sql`${profiles.userId} = ${users.userId}`)
    .where(and(isNull(users.deactivatedAt), ...searchedWords(term).map(hasWord)))
    .orderBy(rank(term.trim()), sql`${profiles.displayname} IS NULL`, asc(users.userId))
    .limit(page.limit)
    .offset(page.offset)
}

/** Rooms whose members anybody on this server may find: those with the join rule `public`, or that all may read. */
export async function findOpenRooms(env: Database, limit: number): Promise<RoomId[]> {
  const rows = await database(env)
    .select({ roomId: rooms.roomId })
    .from(rooms)
    .where(sql`${rooms.joinRule} = 'public' OR ${rooms.worldReadable} = 1`)
    .limit(limit)
  return rows.map(({ roomId }) => roomId)
}

const name = sql`lower(${profiles.displayname})`
const id = sql`lower(${users.userId})`
// Everybody's id has the name of this server in it.
const localpart = sql`substr(${id}, 1, instr(${id}, ':') - 1)`

// Not by LIKE, whose patterns D1 limits to 50 bytes.
function hasWord(word: string): SQL | undefined {
  const inId = word.toLowerCase()
  return or(
    ...spellings(word).map((spelling) => sql`instr(${name}, ${spelling}) > 0`),
    sql`instr(${localpart}, ${inId}) > 0`,
    sql`instr(${id}, ${inId}) = 1`,
    sql`instr(${id}, '@' || ${inId}) = 1`,
  )
}

function rank(term: string): SQL {
  const [exact, ...others] = spellings(term)
  const names = [exact ?? '', ...others]
  const equal = names.map((spelling) => sql`${name} = ${spelling}`)
  const begun = names.map((spelling) => sql`instr(${name}, ${spelling}) = 1`)
  const inId = term.toLowerCase()
  const isId = sql`${id} = ${inId} OR ${localpart} = ${inId} OR ${localpart} = '@' || ${inId}`
  const beginsId = sql`instr(${id}, ${inId}) = 1 OR instr(${id}, '@' || ${inId}) = 1`
  return sql`CASE WHEN ${or(...equal, isId)} THEN 0 WHEN ${or(...begun, beginsId)} THEN 1 ELSE 2 END`
}

/**
 * A text as SQLite's `lower`, which knows ASCII alone, leaves it in a name that has it in small letters, in capitals,
 * capitalised, or as it was typed.
 */
export function spellings(text: string): string[] {
  const typed = text.normalize('NFC')
  const small = typed.toLowerCase()
  const capitalised = small.replace(/(?<!\p{L})\p{L}/gu, (letter) => letter.toUpperCase())
  const forms = [typed, small, typed.toUpperCase(), capitalised]
  return [...new Set(forms.map((form) => form.replace(/[A-Z]/g, (letter) => letter.toLowerCase())))]
}
