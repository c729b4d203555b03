// Specification: client-server API, "User Directory". Names of local users are those of profiles, never those of single rooms;
// users of other servers are found by what they are called in the rooms that make them visible.

import * as v from 'valibot'
import { hubStub, type Env } from '../env.ts'
import type { FoundOther, OthersSearch } from '../hub/search-others.ts'
import type { App } from '../http/app-type.ts'
import { jsonBody } from '../http/json-body.ts'
import { rateLimitUser } from '../http/rate-limit.ts'
import { requireSession, type Session } from '../http/session.ts'
import type { RoomId, UserId } from '../matrix/event.ts'
import { askShards } from './other-shards.ts'
import { findOpenRooms, findUsersByTerm, type FoundUser } from '../storage/user-directory.ts'

const defaultLimit = 10
const largestLimit = 50
const longestTerm = 256
// Those who match are looked at in pages until enough of them are visible; a bound on requests and on their size.
const candidatesPerPage = 200
const mostPages = 5
const mostOpenRooms = 5000

const searchBody = v.looseObject({
  search_term: v.pipe(v.string(), v.maxLength(longestTerm)),
  limit: v.optional(v.pipe(v.number(), v.integer(), v.minValue(0)), defaultLimit),
})

/** POST /user_directory/search. */
export function userDirectoryRoutes(app: App): void {
  // https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3user_directorysearch
  app.post('/_matrix/client/v3/user_directory/search', requireSession(), async (c) => {
    await rateLimitUser(c.env, c.env.SEND_LIMIT, c.var.session)
    const body = await jsonBody(c, searchBody)
    const limit = Math.min(body.limit, largestLimit)
    const { found, more } = await search(c.env, c.var.session, body.search_term, limit)
    return c.json({ results: found.map(result), limited: more })
  })
}

function result({ userId, displayname, avatarUrl }: Omit<FoundUser, 'shard'>) {
  return {
    user_id: userId,
    ...(displayname === null ? {} : { display_name: displayname }),
    ...(avatarUrl === null ? {} : { avatar_url: avatarUrl }),
  }
}

async function search(
  env: Env,
  session: Session,
  term: string,
  limit: number,
): Promise<{ found: Omit<FoundUser, 'shard'>[]; more: boolean }> {
  const [own, open] = await Promise.all([
    hubStub(env, session.shard).joinedRooms(session.userId),
    findOpenRooms(env, mostOpenRooms),
  ])
  const local = await searchLocal(env, session, term, limit, { own, open })
  const left = limit - local.found.length
  const others = await searchElsewhere(env, session, { term, openRooms: open, limit: left + 1 })
  return {
    found: [...local.found, ...others.slice(0, left)],
    more: local.more || others.length > left,
  }
}

/**
 * Users of other servers. A shard knows those in rooms with users of its own: only the searcher's has the rooms that these are in, and
 * each may have rooms that are open to all.
 */
async function searchElsewhere(
  env: Env,
  { userId }: Session,
  request: OthersSearch,
): Promise<Omit<FoundUser, 'shard'>[]> {
  const found = await askShards(env, (hub) => hub.searchOthers(userId, request))
  if (found.length === 1) return found.flat()
  const all = Map.groupBy(found.flat(), (other) => other.userId)
  const merged = [...all].map(([other, known]) => ({
    userId: other,
    displayname: last(known.map(({ displayname }) => displayname)),
    avatarUrl: last(known.map(({ avatarUrl }) => avatarUrl)),
    begins: known.some(({ begins }) => begins),
  }))
  return merged.toSorted(inOrder).slice(0, request.limit)
}

// The same of several names as a shard takes where rooms differ.
function last(texts: readonly (string | null)[]): string | null {
  return texts.reduce((one, other) => (one === null || (other !== null && other > one) ? other : one), null)
}

function inOrder(a: FoundOther, b: FoundOther): number {
  const [first, second] = [a, b].map(
    ({ begins, displayname }) => (begins ? 0 : 2) + (displayname === null ? 1 : 0),
  )
  return (first ?? 0) - (second ?? 0) || (a.userId < b.userId ? -1 : 1)
}

async function searchLocal(
  env: Env,
  session: Session,
  term: string,
  limit: number,
  { own, open }: { readonly own: readonly RoomId[]; readonly open: readonly RoomId[] },
): Promise<{ found: FoundUser[]; more: boolean }> {
  const first = await findUsersByTerm(env, term, { limit: candidatesPerPage, offset: 0 })
  const found: FoundUser[] = []
  let candidates = first
  for (let page = 1; candidates.length > 0; page += 1) {
    found.push(...(await visible(env, session, candidates, { own, open })))
    const ended = candidates.length < candidatesPerPage
    if (found.length > limit || ended || page === mostPages) {
      return { found: found.slice(0, limit), more: found.length > limit || !ended }
    }
    candidates = await findUsersByTerm(env, term, {
      limit: candidatesPerPage,
      offset: page * candidatesPerPage,
    })
  }
  return { found, more: false }
}

/** Those whom the searcher may find: by a room that both are in, or by one that is open to all. */
async function visible(
  env: Env,
  { userId: searcher }: Session,
  candidates: readonly FoundUser[],
  rooms: { readonly own: readonly RoomId[]; readonly open: readonly RoomId[] },
): Promise<FoundUser[]> {
  const either = [...new Set([...rooms.own, ...rooms.open])]
  const byShard = Map.groupBy(candidates, ({ shard }) => shard)
  const seen = await Promise.all(
    [...byShard].map(async ([shard, users]): Promise<UserId[]> => {
      const hub = hubStub(env, shard)
      const others = users.map(({ userId }) => userId).filter((userId) => userId !== searcher)
      // Searchers find themselves where everybody does.
      const self = others.length < users.length ? await hub.joinedToAny([searcher], rooms.open) : []
      return [...(await hub.joinedToAny(others, either)), ...self]
    }),
  )
  const visibleIds = new Set(seen.flat())
  return candidates.filter(({ userId }) => visibleIds.has(userId))
}
