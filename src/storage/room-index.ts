// Rooms as D1 knows them: a summary a room, written by the room, read by the published room directory.
// Specification: client-server API, "Published room directory".

import { and, desc, eq, gt, inArray, isNull, lt, lte, or, type SQL, sql } from 'drizzle-orm'
import type { RoomId } from '../matrix/event.ts'
import { database } from './database.ts'
import { appserviceDirectory } from './schema/appservice-directory.ts'
import { rooms } from './schema/rooms.ts'

export type RoomSummary = typeof rooms.$inferSelect

interface Database {
  readonly DB: D1Database
}

/** Writes a room's summary, unless a later one is there already. */
export async function writeRoomSummary(env: Database, summary: RoomSummary): Promise<void> {
  const { roomId, published, ...changes } = summary
  // As long as the room is published or not as before, the index over that is left alone: one row is written.
  const updated = await database(env)
    .update(rooms)
    .set(changes)
    .where(
      and(eq(rooms.roomId, roomId), eq(rooms.published, published), lte(rooms.position, summary.position)),
    )
  if (updated.meta.changes > 0) return
  await database(env)
    .insert(rooms)
    .values(summary)
    .onConflictDoUpdate({
      target: rooms.roomId,
      set: { ...changes, published },
      setWhere: lte(rooms.position, summary.position),
    })
}

/** A room's summary. */
export async function findRoomSummary(env: Database, roomId: RoomId): Promise<RoomSummary | undefined> {
  return await database(env).select().from(rooms).where(eq(rooms.roomId, roomId)).get()
}

/** Which of these rooms, 100 at most, this server has or had a part in. */
export async function findKnownRooms(env: Database, roomIds: readonly RoomId[]): Promise<Set<RoomId>> {
  if (roomIds.length === 0) return new Set()
  const rows = await database(env)
    .select({ roomId: rooms.roomId })
    .from(rooms)
    .where(inArray(rooms.roomId, [...roomIds]))
  return new Set(rows.map(({ roomId }) => roomId))
}

/** Those of some rooms that are published in the directory. */
export async function publishedAmong(env: Database, roomIds: readonly string[]): Promise<Set<string>> {
  const asked = sql`SELECT value FROM json_each(${JSON.stringify(roomIds)})`
  const rows = await database(env)
    .select({ roomId: rooms.roomId })
    .from(rooms)
    .where(and(eq(rooms.published, true), sql`${rooms.roomId} IN (${asked})`))
  return new Set(rows.map(({ roomId }) => roomId))
}

/** A place in the directory: between rooms, so that pages stay right while rooms come and go. */
export interface DirectoryPlace {
  readonly joinedMembers: number
  readonly roomId: string
}

export interface DirectoryQuery {
  readonly limit: number
  /** Whose rooms: those that this server publishes by default. */
  readonly networks?: DirectoryNetworks
  /** What the rooms must have in their name, topic or alias. */
  readonly searchTerm?: string
  /** Null stands for rooms without a type. */
  readonly roomTypes?: readonly (string | null)[]
  readonly after?: DirectoryPlace
  readonly before?: DirectoryPlace
}

export type DirectoryNetworks =
  /** Those that an application service publishes under some names of networks. */
  | { readonly appservice: string; readonly networks: readonly string[] }
  /** Those that this server publishes, and all that some application services do. */
  | { readonly allOf: readonly string[] }

/**
 * Published rooms with the most members first, `limit` of them after a place or before it. `more` tells whether
 * there are others beyond in the same direction.
 */
export async function findPublishedRooms(
  env: Database,
  query: DirectoryQuery,
): Promise<{ rooms: RoomSummary[]; more: boolean }> {
  const backwards = query.before !== undefined
  const order = backwards
    ? [rooms.joinedMembers, desc(rooms.roomId)]
    : [desc(rooms.joinedMembers), rooms.roomId]
  const rows = await database(env)
    .select()
    .from(rooms)
    .where(and(...matching(query), beyond(query)))
    .orderBy(...order)
    .limit(query.limit + 1)
  const page = rows.slice(0, query.limit)
  return { rooms: backwards ? page.toReversed() : page, more: rows.length > query.limit }
}

/** How many published rooms match a query. */
export async function countPublishedRooms(env: Database, query: DirectoryQuery): Promise<number> {
  return await database(env).$count(rooms, and(...matching(query)))
}

/** What is searched for, or in: the same letters whatever their case. */
export function searchText(text: string): string {
  return text.normalize('NFC').toLowerCase()
}

function matching({ searchTerm, roomTypes, networks }: DirectoryQuery): (SQL | undefined)[] {
  const term = searchText(searchTerm ?? '')
  return [
    listed(networks),
    // Nobody can join a room that all have left.
    gt(rooms.joinedMembers, 0),
    term === '' ? undefined : sql`instr(${rooms.search}, ${term}) > 0`,
    roomTypes === undefined ? undefined : hasType(roomTypes),
  ]
}

function listed(networks: DirectoryNetworks | undefined): SQL | undefined {
  // As in the condition of the index.
  const here = sql`${rooms.published} = 1`
  if (!networks) return here
  const { roomId, appservice, network } = appserviceDirectory
  const among = (column: typeof appservice | typeof network, values: readonly string[]) =>
    sql`${column} IN (SELECT value FROM json_each(${JSON.stringify(values)}))`
  const condition =
    'allOf' in networks
      ? among(appservice, networks.allOf)
      : and(eq(appservice, networks.appservice), among(network, networks.networks))
  const there = sql`${rooms.roomId} IN (SELECT ${roomId} FROM ${appserviceDirectory} WHERE ${condition})`
  return 'allOf' in networks ? or(here, there) : there
}

function hasType(roomTypes: readonly (string | null)[]): SQL | undefined {
  const named = roomTypes.filter((type) => type !== null)
  const alternatives = [
    ...(named.length > 0 ? [inArray(rooms.type, named)] : []),
    ...(roomTypes.includes(null) ? [isNull(rooms.type)] : []),
  ]
  return alternatives.length === 0 ? sql`0` : or(...alternatives)
}

function beyond({ after, before }: DirectoryQuery): SQL | undefined {
  if (after) {
    return or(
      lt(rooms.joinedMembers, after.joinedMembers),
      and(eq(rooms.joinedMembers, after.joinedMembers), sql`${rooms.roomId} > ${after.roomId}`),
    )
  }
  if (!before) return undefined
  return or(
    gt(rooms.joinedMembers, before.joinedMembers),
    and(eq(rooms.joinedMembers, before.joinedMembers), sql`${rooms.roomId} < ${before.roomId}`),
  )
}
