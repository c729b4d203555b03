// Identifiers in paths and bodies, checked. 400 M_INVALID_PARAM names the one that is none.

import { config } from '../config.ts'
import type { Env } from '../env.ts'
import { MatrixError } from '../errors.ts'
import type { AppContext } from '../http/app-type.ts'
import type { EventId, RoomAlias, UserId } from '../matrix/event.ts'
import { parseEventId, parseRoomAlias, parseUserId, serverNameOf } from '../matrix/identifiers.ts'

/** A path parameter as it is. */
export function textParam(c: AppContext, name: string): string {
  return c.req.param(name) ?? ''
}

/** The event that a path names. */
export function eventParam(c: AppContext): EventId {
  return parseEventId(textParam(c, 'eventId')) ?? refuse('eventId', 'not an event id')
}

/** The room alias that a path names. */
export function aliasParam(c: AppContext): RoomAlias {
  return parseRoomAlias(textParam(c, 'roomAlias')) ?? refuse('roomAlias', 'not a room alias')
}

/** A user id from a body or a path. */
export function checkedUserId(name: string, text: string): UserId {
  return parseUserId(text) ?? refuse(name, 'not a user id')
}

/** Whether a user or an alias is of this server. */
export function isLocal(env: Env, id: UserId | RoomAlias): boolean {
  return serverNameOf(id) === config(env).serverName
}

function refuse(name: string, reason: string): never {
  throw new MatrixError('M_INVALID_PARAM', 400, `Invalid parameter ${name}: ${reason}`)
}
