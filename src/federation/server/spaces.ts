// Rooms and the rooms in them, as servers may see them that could bring a user in. Server-server API, "Spaces".

import * as v from 'valibot'
import { roomParam } from '../../client/own-user.ts'
import { type Env, roomStub } from '../../env.ts'
import { MatrixError } from '../../errors.ts'
import { queryParams } from '../../http/json-body.ts'
import type { RoomId, ServerName } from '../../matrix/event.ts'
import { isJsonObject, type JsonObject, property } from '../../matrix/json.ts'
import { parseSpaceChild } from '../../matrix/space-child.ts'
import { findKnownRooms } from '../../storage/room-index.ts'
import type { FederationRouter } from './router.ts'

const querySchema = v.object({ suggested_only: v.optional(v.picklist(['true', 'false']), 'false') })

// Each child is a request, of which the free plan allows 50; the rest can be asked for one by one.
const mostChildren = 32
const mostLookedUp = 90
// The rooms whose members may join a restricted one.
const mostAllowed = 8
const atOnce = 6

/** GET /hierarchy/{roomId}. */
export function spaceRoutes(router: FederationRouter): void {
  // https://spec.matrix.org/v1.19/server-server-api/#get_matrixfederationv1hierarchyroomid
  router.get('/_matrix/federation/v1/hierarchy/:roomId', async (c, { origin }) => {
    const roomId = roomParam(c)
    const suggestedOnly = queryParams(c, querySchema).suggested_only === 'true'
    const asking = { env: c.env, origin, inRooms: new Map<RoomId, Promise<boolean>>() }
    const room = await look(asking, roomId, suggestedOnly ? 'suggested' : 'all')
    // Nobody learns of rooms that they could not enter.
    if (typeof room === 'string') throw new MatrixError('M_NOT_FOUND', 404, 'Room not found')
    return c.json({ room, ...(await childrenFor(asking, room)) })
  })
}

interface Asking {
  readonly env: Env
  readonly origin: ServerName
  /** Whether the server is in the rooms that were asked so far. */
  readonly inRooms: Map<RoomId, Promise<boolean>>
}

/** A room as the server may see it. `unknown`: this server cannot tell. */
async function look(
  asking: Asking,
  roomId: RoomId,
  children?: 'all' | 'suggested',
): Promise<JsonObject | 'closed' | 'unknown'> {
  const { env, origin } = asking
  const requester = { serverName: origin }
  const answer = await roomStub(env, roomId).summaryFor({ requester, ...(children ? { children } : {}) })
  if (answer.standing === 'elsewhere') return 'unknown'
  if (answer.standing === 'closed') return 'closed'
  if (answer.membersOf && !(await isInAny(asking, answer.membersOf))) return 'closed'
  const summary: unknown = JSON.parse(answer.summary)
  return isJsonObject(summary) ? summary : 'unknown'
}

/** Whether the server has a user in one of these rooms, as far as this server is in them and knows. */
async function isInAny({ env, origin, inRooms }: Asking, roomIds: readonly RoomId[]): Promise<boolean> {
  for (const roomId of roomIds) {
    const known = inRooms.get(roomId)
    if (!known && inRooms.size >= mostAllowed) continue
    const asked = known ?? roomStub(env, roomId).hasServer(origin)
    inRooms.set(roomId, asked)
    if (await asked) return true
  }
  return false
}

async function childrenFor(
  asking: Asking,
  room: JsonObject,
): Promise<{ children: JsonObject[]; inaccessible_children: RoomId[] }> {
  const events = property(room, 'children_state')
  const ids = (Array.isArray(events) ? events : [])
    .flatMap((event) => (isJsonObject(event) ? (parseSpaceChild(event)?.roomId ?? []) : []))
    .slice(0, mostLookedUp)
  // A room that this server never had anything to do with is left out without being asked.
  const known = await findKnownRooms(asking.env, ids)
  const here = ids.filter((roomId) => known.has(roomId)).slice(0, mostChildren)
  const children: JsonObject[] = []
  const inaccessible: RoomId[] = []
  for (let at = 0; at < here.length; at += atOnce) {
    const chunk = here.slice(at, at + atOnce)
    const looks = await Promise.all(
      chunk.map(async (roomId) => ({ roomId, found: await look(asking, roomId) })),
    )
    for (const { roomId, found } of looks) {
      if (found === 'closed') inaccessible.push(roomId)
      else if (found !== 'unknown') children.push(found)
    }
  }
  return { children, inaccessible_children: inaccessible }
}
