// Specification: client-server API, "Published room directory".

import * as v from 'valibot'
import { parseInstanceId } from '../appservice/network-instance.ts'
import { config } from '../config.ts'
import { type Env, roomStub } from '../env.ts'
import { MatrixError } from '../errors.ts'
import { checkedServerName, queryPublicRooms } from '../federation/client/queries.ts'
import type { App, AppContext } from '../http/app-type.ts'
import { checked, jsonBody, jsonObject, queryParams } from '../http/json-body.ts'
import { refuseSuspended, requireKnownUser, requireSession } from '../http/session.ts'
import type { ServerName } from '../matrix/event.ts'
import type { JsonObject } from '../matrix/json.ts'
import { publishedRoomsChunk } from '../room/summary-json.ts'
import {
  countPublishedRooms,
  type DirectoryPlace,
  type DirectoryQuery,
  findPublishedRooms,
  findRoomSummary,
} from '../storage/room-index.ts'
import { roomParam } from './own-user.ts'

const longestPage = 500
const defaultPage = 100
const serverParam = v.looseObject({ server: v.optional(v.string()) })
const pageParams = v.looseObject({
  // Clients have these in the body of a POST alone, other servers here too.
  include_all_networks: v.optional(
    v.pipe(
      v.picklist(['true', 'false']),
      v.transform((text) => text === 'true'),
    ),
  ),
  third_party_instance_id: v.optional(v.string()),
  limit: v.optional(v.pipe(v.string(), v.digits(), v.transform(Number))),
  since: v.optional(v.string()),
})
const listParams = v.looseObject({ ...serverParam.entries, ...pageParams.entries })
const searchBody = v.looseObject({
  limit: v.optional(v.pipe(v.number(), v.integer(), v.minValue(0))),
  since: v.optional(v.string()),
  filter: v.optional(
    v.looseObject({
      generic_search_term: v.optional(v.string()),
      room_types: v.optional(v.pipe(v.array(v.nullable(v.string())), v.maxLength(50))),
    }),
  ),
  include_all_networks: v.optional(v.boolean()),
  third_party_instance_id: v.optional(v.string()),
})

/** GET and POST /publicRooms, GET and PUT /directory/list/room/{roomId}. */
export function roomDirectoryRoutes(app: App): void {
  // https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3publicrooms
  app.get('/_matrix/client/v3/publicRooms', async (c) => {
    const { server } = queryParams(c, listParams)
    const other = otherServer(c, server)
    if (other === undefined) return c.json(await listDirectory(c.env, c.req.query()))
    await requireKnownUser(c)
    // Who asks, and by which token, is nothing to tell others.
    const asked = Object.entries(c.req.query()).filter(([name]) => Object.hasOwn(pageParams.entries, name))
    return c.json(await queryPublicRooms(c.env, other, { query: new URLSearchParams(asked) }))
  })

  // https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3publicrooms
  app.post('/_matrix/client/v3/publicRooms', requireSession(), async (c) => {
    const other = otherServer(c, queryParams(c, serverParam).server)
    const body = await jsonObject(c, { optional: true })
    if (other === undefined) return c.json(await searchDirectory(c.env, body))
    checked(searchBody, body, 'M_BAD_JSON')
    return c.json(await queryPublicRooms(c.env, other, { body }))
  })

  // https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3directorylistroomroomid
  app.get('/_matrix/client/v3/directory/list/room/:roomId', async (c) => {
    const summary = await findRoomSummary(c.env, roomParam(c))
    if (!summary) throw new MatrixError('M_NOT_FOUND', 404, 'Room not found')
    return c.json({ visibility: summary.published ? 'public' : 'private' })
  })

  // https://spec.matrix.org/v1.19/client-server-api/#put_matrixclientv3directorylistroomroomid
  app.put('/_matrix/client/v3/directory/list/room/:roomId', requireSession(), async (c) => {
    const { userId: sender, admin } = c.var.session
    refuseSuspended(c.var.session)
    const roomId = roomParam(c)
    const body = await jsonBody(
      c,
      v.looseObject({ visibility: v.optional(v.picklist(['public', 'private']), 'public') }),
    )
    await roomStub(c.env, roomId).publish({ sender, admin, published: body.visibility === 'public' })
    return c.json({})
  })
}

/** A page of this server's directory, as query parameters ask for it. M_INVALID_PARAM. */
export async function listDirectory(env: Env, query: Record<string, string>): Promise<JsonObject> {
  const { limit, since, ...networks } = checked(pageParams, query, 'M_INVALID_PARAM')
  return await page(env, { limit: pageSize(limit), ...placeOf(since), ...networksOf(env, networks) })
}

/** A page of this server's directory, as the body of a POST asks for it. M_BAD_JSON, M_INVALID_PARAM. */
export async function searchDirectory(env: Env, content: JsonObject): Promise<JsonObject> {
  const body = checked(searchBody, content, 'M_BAD_JSON')
  const term = body.filter?.generic_search_term
  const types = body.filter?.room_types
  return await page(env, {
    limit: pageSize(body.limit),
    ...placeOf(body.since),
    ...networksOf(env, body),
    ...(term === undefined ? {} : { searchTerm: term }),
    ...(types === undefined ? {} : { roomTypes: types }),
  })
}

/** Whose rooms are asked for. M_INVALID_PARAM. */
function networksOf(
  env: Env,
  asked: {
    readonly include_all_networks?: boolean | undefined
    readonly third_party_instance_id?: string | undefined
  },
): Pick<DirectoryQuery, 'networks'> {
  const { include_all_networks: all = false, third_party_instance_id: id } = asked
  const { appservices } = config(env)
  if (id === undefined)
    return all && appservices.length > 0 ? { networks: { allOf: appservices.map((one) => one.id) } } : {}
  // "Can only be used if `include_all_networks` is false."
  if (all) {
    throw new MatrixError(
      'M_INVALID_PARAM',
      400,
      'Invalid field third_party_instance_id: only without include_all_networks',
    )
  }
  const instance = parseInstanceId(id)
  const known = appservices.find((one) => one.id === instance?.appservice)
  if (!instance || !known?.protocols.includes(instance.protocol)) {
    return { networks: { appservice: '', networks: [] } }
  }
  // Application services publish under the name of the network, or of the protocol for all of its networks.
  return { networks: { appservice: known.id, networks: [instance.network, instance.protocol] } }
}

function otherServer(c: AppContext, server: string | undefined): ServerName | undefined {
  const name = server === undefined ? undefined : checkedServerName('server', server)
  return name === config(c.env).serverName ? undefined : name
}

function pageSize(limit: number | undefined): number {
  return limit === undefined || limit === 0 ? defaultPage : Math.min(limit, longestPage)
}

async function page(env: Env, query: DirectoryQuery): Promise<JsonObject> {
  const [{ rooms, more }, total] = await Promise.all([
    findPublishedRooms(env, query),
    countPublishedRooms(env, query),
  ])
  // Paging backwards, there is what was come from after the page; forwards, before it.
  const hasNext = query.before !== undefined || more
  const hasPrevious = query.before === undefined ? query.after !== undefined : more
  const [first, last] = [rooms.at(0), rooms.at(-1)]
  return {
    chunk: rooms.map(publishedRoomsChunk),
    ...(hasNext && last ? { next_batch: token('n', last) } : {}),
    ...(hasPrevious && first ? { prev_batch: token('p', first) } : {}),
    total_room_count_estimate: total,
  }
}

// A token says beside which room to go on, and in which direction.
function token(direction: 'n' | 'p', { joinedMembers, roomId }: DirectoryPlace): string {
  return `${direction}${joinedMembers}_${roomId}`
}

function placeOf(since: string | undefined): Pick<DirectoryQuery, 'after' | 'before'> {
  if (since === undefined) return {}
  const [, direction, joinedMembers, roomId] = /^([np])(\d{1,15})_(.+)$/s.exec(since) ?? []
  if (roomId === undefined) {
    throw new MatrixError('M_INVALID_PARAM', 400, 'Invalid parameter since: not a token of this directory')
  }
  const place = { joinedMembers: Number(joinedMembers), roomId }
  return direction === 'n' ? { after: place } : { before: place }
}
