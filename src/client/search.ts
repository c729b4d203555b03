// Specification: client-server API, "Server Side Search".

import * as v from 'valibot'
import { config } from '../config.ts'
import { hubStub, roomStub } from '../env.ts'
import { MatrixError } from '../errors.ts'
import type { App, AppContext } from '../http/app-type.ts'
import { jsonBody, queryParams } from '../http/json-body.ts'
import { requireSession } from '../http/session.ts'
import type { RoomId } from '../matrix/event.ts'
import { FilterError, parseRoomEventFilter, type RoomEventFilter } from '../matrix/filter.ts'
import { isJsonObject, type JsonValue } from '../matrix/json.ts'
import type { ResultsRequest, RoomResults } from '../room/search-results.ts'
import { comparePlaces, type RoomSearch, type SearchMatch, wordsOf } from '../room/search-room.ts'
import { readerOf } from './room-read.ts'
import { formatSearchToken, parseSearchToken, type SearchToken } from './search-token.ts'

const count = v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(100))
const roomEvents = v.looseObject({
  search_term: v.string(),
  keys: v.optional(v.array(v.picklist(['content.body', 'content.name', 'content.topic'])), [
    'content.body',
    'content.name',
    'content.topic',
  ]),
  filter: v.optional(v.custom<JsonValue>(isJsonObject, 'an object is expected')),
  order_by: v.optional(v.picklist(['recent', 'rank']), 'rank'),
  event_context: v.optional(
    v.looseObject({
      before_limit: v.optional(count, 5),
      after_limit: v.optional(count, 5),
      include_profile: v.optional(v.boolean(), false),
    }),
  ),
  include_state: v.optional(v.boolean(), false),
  groupings: v.optional(
    v.looseObject({
      group_by: v.optional(v.array(v.looseObject({ key: v.picklist(['room_id', 'sender']) })), []),
    }),
  ),
})
const bodySchema = v.looseObject({
  search_categories: v.looseObject({ room_events: v.optional(roomEvents) }),
})
type RoomEventsSearch = v.InferOutput<typeof roomEvents>

const usualLimit = 10
const largestLimit = 50
const mostWords = 20

/** POST /search. */
export function searchRoutes(app: App): void {
  // https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3search
  app.post('/_matrix/client/v3/search', requireSession(), async (c) => {
    const { search_categories: categories } = await jsonBody(c, bodySchema)
    const { next_batch: batch } = queryParams(c, v.object({ next_batch: v.optional(v.string()) }))
    const search = categories.room_events
    const found = search ? `"room_events":${await searchRoomEvents(c, search, batch)}` : ''
    return c.body(`{"search_categories":{${found}}}`, 200, { 'Content-Type': 'application/json' })
  })
}

interface Found extends SearchMatch {
  readonly roomId: RoomId
}

async function searchRoomEvents(
  c: AppContext,
  search: RoomEventsSearch,
  batch: string | undefined,
): Promise<string> {
  const token = batch === undefined ? { skip: 0 } : parseSearchToken(batch)
  if (!token) throw new MatrixError('M_INVALID_PARAM', 400, 'next_batch is not a token of this endpoint')
  const filter = filterOf(search)
  const limit = Math.min(Math.max(filter.limit ?? usualLimit, 1), largestLimit)
  const rooms = await searchedRooms(c, filter)
  const { found, total, highlights } = await ask(c, rooms, token, {
    words: [...new Set(wordsOf(search.search_term))].slice(0, mostWords),
    keys: search.keys,
    filter,
    order: search.order_by,
    limit,
  })
  const page = found.sort(comparePlaces(search.order_by)).slice(0, limit)
  const rendered = await render(c, page, search)
  const next = nextToken(page, limit, token, rooms.length, roomsPerPage(c))
  const parts = [
    `"count":${total}`,
    `"highlights":${JSON.stringify(highlights)}`,
    `"results":[${page.flatMap((match) => resultText(rendered, match)).join()}]`,
    ...(search.include_state ? [`"state":{${stateText(rendered)}}`] : []),
    ...groupsText(page, search),
    ...(next ? [`"next_batch":"${formatSearchToken(next)}"`] : []),
  ]
  return `{${parts.join()}}`
}

function filterOf({ filter = {} }: RoomEventsSearch): RoomEventFilter {
  try {
    return parseRoomEventFilter(filter)
  } catch (error) {
    if (!(error instanceof FilterError)) throw error
    throw new MatrixError('M_INVALID_PARAM', 400, `Invalid field filter.${error.field}: ${error.message}`)
  }
}

/** The rooms a user is in or was in, as far as the filter lets them through. */
async function searchedRooms(c: AppContext, filter: RoomEventFilter): Promise<RoomId[]> {
  const { userId, shard } = c.var.session
  const rooms = await hubStub(c.env, shard).roomsOf(userId)
  return rooms
    .filter(({ membership }) => membership === 'join' || membership === 'leave' || membership === 'ban')
    .map(({ roomId }) => roomId)
    .filter((roomId) => filter.rooms?.includes(roomId) ?? true)
    .filter((roomId) => !filter.not_rooms?.includes(roomId))
    .sort()
}

// Each room is asked once for its matches and perhaps again for those that are shown.
function roomsPerPage(c: AppContext): number {
  return Math.max(1, config(c.env).roomsPerSync - usualLimit)
}

async function ask(c: AppContext, rooms: readonly RoomId[], token: SearchToken, search: RoomSearch) {
  const nothing = { found: [] as Found[], total: 0, highlights: [] as string[] }
  if (search.words.length === 0) return nothing
  const reader = await readerOf(c)
  const asked = rooms.slice(token.skip, token.skip + roomsPerPage(c))
  const answers = await Promise.all(
    asked.map(async (roomId) => {
      const request = { ...search, ...(token.after ? { after: token.after } : {}) }
      return { roomId, ...(await roomStub(c.env, roomId).searchRoom(reader, request)) }
    }),
  )
  return {
    found: answers.flatMap(({ roomId, matches }): Found[] => matches.map((match) => ({ roomId, ...match }))),
    total: answers.reduce((sum, answer) => sum + answer.count, 0),
    highlights: [...new Set(answers.flatMap((answer) => answer.highlights))],
  }
}

// On a server whose answers may ask few rooms, the next ones follow when these have nothing more.
function nextToken(
  page: readonly Found[],
  limit: number,
  { skip }: SearchToken,
  rooms: number,
  perPage: number,
): SearchToken | undefined {
  const last = page.at(-1)
  if (last && page.length === limit)
    return { skip, after: { eventId: last.eventId, rank: last.rank, ts: last.ts, pos: last.pos } }
  return skip + perPage < rooms ? { skip: skip + perPage } : undefined
}

async function render(
  c: AppContext,
  page: readonly Found[],
  { event_context: context, include_state: state }: RoomEventsSearch,
): Promise<Map<RoomId, RoomResults>> {
  const reader = page.length === 0 ? undefined : await readerOf(c)
  if (!reader) return new Map()
  const byRoom = Map.groupBy(page, ({ roomId }) => roomId)
  const rendered = await Promise.all(
    [...byRoom].map(async ([roomId, matches]) => {
      const request: ResultsRequest = {
        eventIds: matches.map(({ eventId }) => eventId),
        ...(context
          ? {
              context: {
                before: context.before_limit,
                after: context.after_limit,
                profiles: context.include_profile,
              },
            }
          : {}),
        state,
      }
      return [roomId, await roomStub(c.env, roomId).searchResults(reader, request)] as const
    }),
  )
  return new Map(rendered)
}

function resultText(rendered: ReadonlyMap<RoomId, RoomResults>, { roomId, eventId, rank }: Found): string[] {
  const text = rendered.get(roomId)?.results[eventId]
  return text === undefined ? [] : [`{"rank":${rank},${text}}`]
}

function stateText(rendered: ReadonlyMap<RoomId, RoomResults>): string {
  return [...rendered].map(([roomId, { state }]) => `${JSON.stringify(roomId)}:${state ?? '[]'}`).join()
}

function groupsText(page: readonly Found[], { groupings }: RoomEventsSearch): string[] {
  const keys = [...new Set(groupings?.group_by.map(({ key }) => key))]
  if (keys.length === 0) return []
  const groups = keys.map((key) => {
    const byKey = Map.groupBy(page, (match) => (key === 'room_id' ? match.roomId : match.sender))
    const entries = [...byKey].map(([name, matches], order) => [
      name,
      { order, results: matches.map(({ eventId }) => eventId) },
    ])
    return [key, Object.fromEntries(entries)]
  })
  return [`"groups":${JSON.stringify(Object.fromEntries(groups))}`]
}
