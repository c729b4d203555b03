// What the endpoints that read a room have in common: who looks, from where, and the answer of the room.

import * as v from 'valibot'
import { hubStub } from '../env.ts'
import { MatrixError } from '../errors.ts'
import type { AppContext } from '../http/app-type.ts'
import type { RoomId } from '../matrix/event.ts'
import { FilterError, parseRoomEventFilter, type RoomEventFilter } from '../matrix/filter.ts'
import type { Viewer } from '../room/client-event.ts'
import type { ReadAnswer } from '../room/read-answer.ts'
import { parseToken } from '../room/tokens.ts'

/** A query parameter that is an integer, 0 or more. */
export const countParam = v.optional(v.pipe(v.string(), v.digits(), v.transform(Number)))

/** The direction of a walk through a room. */
export const directionParam = v.picklist(['f', 'b'])

/** Who asks. */
export function viewerOf(c: AppContext): Viewer {
  const { userId, device } = c.var.session
  return { userId, deviceId: device?.deviceId }
}

/** Who asks, with those whose events do not count in what is aggregated for them. */
export async function readerOf(c: AppContext): Promise<Viewer> {
  const { userId, shard } = c.var.session
  return { ...viewerOf(c), ignored: await hubStub(c.env, shard).ignoredUsers(userId) }
}

/** The room's answer as it goes out. M_FORBIDDEN if the user may read only what they have forgotten. */
export async function answerOf(c: AppContext, roomId: RoomId, answer: ReadAnswer): Promise<Response> {
  const { body, left } = answer
  try {
    if (left) await refuseForgotten(c, roomId)
  } catch (error) {
    // Nobody will read it.
    if (typeof body !== 'string') await body.cancel()
    throw error
  }
  return c.body(body, 200, { 'Content-Type': 'application/json' })
}

/** Refuses users who have no memory of the room: they were never in it, or left and forgot it. M_FORBIDDEN. */
export async function refuseForgotten(c: AppContext, roomId: RoomId): Promise<void> {
  const { userId, shard } = c.var.session
  const rooms = await hubStub(c.env, shard).roomsOf(userId)
  if (!rooms.some((room) => room.roomId === roomId)) {
    throw new MatrixError('M_FORBIDDEN', 403, 'You are not in this room')
  }
}

/** The room position behind a token of /messages, /context or /sync. M_INVALID_PARAM naming the parameter. */
export async function positionOf(
  c: AppContext,
  roomId: RoomId,
  parameter: string,
  token: string,
): Promise<number> {
  const { userId, shard } = c.var.session
  const position = parseToken(token) ?? (await hubStub(c.env, shard).roomPositionAt(userId, roomId, token))
  if (position === undefined) {
    throw new MatrixError('M_INVALID_PARAM', 400, `${parameter} is not a token of this server`)
  }
  return position
}

/** The `filter` parameter, which is JSON. M_INVALID_PARAM. */
export function filterParam(text: string | undefined): RoomEventFilter | undefined {
  if (text === undefined) return undefined
  try {
    return parseRoomEventFilter(JSON.parse(text))
  } catch (error) {
    if (error instanceof FilterError) {
      throw new MatrixError('M_INVALID_PARAM', 400, `Invalid parameter filter: ${error.message}`)
    }
    if (error instanceof SyntaxError) {
      throw new MatrixError('M_INVALID_PARAM', 400, 'Invalid parameter filter: not JSON')
    }
    throw error
  }
}

/** How many events to give: at most what `limit` and the filter ask for, 10 if neither says, never above 1000. */
export function eventCount(limit: number | undefined, filter: RoomEventFilter | undefined): number {
  const wanted = Math.min(limit ?? Infinity, filter?.limit ?? Infinity)
  return Math.min(Number.isFinite(wanted) ? wanted : 10, 1000)
}
