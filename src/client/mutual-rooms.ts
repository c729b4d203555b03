// Specification: client-server API, "Mutual Rooms".

import * as v from 'valibot'
import { hubStub } from '../env.ts'
import { MatrixError } from '../errors.ts'
import type { App } from '../http/app-type.ts'
import { queryParams } from '../http/json-body.ts'
import { requireSession } from '../http/session.ts'
import { parseUserId } from '../matrix/identifiers.ts'

const querySchema = v.object({ user_id: v.string(), from: v.optional(v.string()) })
const roomsPerPage = 100

/** GET /mutual_rooms. */
export function mutualRoomsRoutes(app: App): void {
  // https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv1mutual_rooms
  app.get('/_matrix/client/v1/mutual_rooms', requireSession(), async (c) => {
    const query = queryParams(c, querySchema)
    const { userId, shard, appservice } = c.var.session
    // An application service says by the same parameter, before this one, whom it acts as.
    const text = appservice ? c.req.queries('user_id')?.at(-1) : query.user_id
    const other = parseUserId(text ?? '')
    if (!other) throw invalid('user_id', 'not a user id')
    if (other === userId) throw invalid('user_id', 'your own')
    const rooms = await hubStub(c.env, shard).mutualRooms(userId, other)
    const start = query.from === undefined ? 0 : placeAfter(rooms, query.from)
    const joined = rooms.slice(start, start + roomsPerPage)
    const last = joined.at(-1)
    const more = last !== undefined && start + roomsPerPage < rooms.length
    return c.json({ joined, count: rooms.length, ...(more ? { next_batch: last } : {}) })
  })
}

// The rooms are sorted, and a token is the last room given: it stays right when others are joined and left.
function placeAfter(rooms: readonly string[], token: string): number {
  if (!token.startsWith('!')) throw invalid('from', 'not a token of this endpoint')
  const next = rooms.findIndex((roomId) => roomId > token)
  return next === -1 ? rooms.length : next
}

function invalid(parameter: string, reason: string): MatrixError {
  return new MatrixError('M_INVALID_PARAM', 400, `Invalid parameter ${parameter}: ${reason}`)
}
