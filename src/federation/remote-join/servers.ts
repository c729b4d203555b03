// Servers that may help into a room, tried one after the other, and what it means when none does.
// Specification: server-server API, "Joining Rooms", "Restricted rooms".

import { type Errcode, isMatrixError, MatrixError } from '../../errors.ts'
import type { RoomId, ServerName } from '../../matrix/event.ts'
import { parseServerName, serverNameOf } from '../../matrix/identifiers.ts'
import { type JsonObject, stringProperty } from '../../matrix/json.ts'
import type { FederationAnswer } from '../client/request.ts'

// Whoever names more than that only wants us to ask around.
const mostServers = 8
const longestMessage = 300

/** The servers to try for a room, in order: those given, or else the one that the room id names. Never ourselves. */
export function candidates(
  own: ServerName,
  roomId: RoomId,
  given: readonly (string | undefined)[],
): ServerName[] {
  const named = given
    .map((name) => parseServerName(name ?? ''))
    .filter((name) => name !== undefined && name !== own)
  // The server in a room id made the room, which does not say that it is still in it: the last resort.
  const resort = named.length > 0 ? [] : [serverNameOf(roomId)]
  const others = [...named, ...resort].filter((name) => name !== undefined).filter((name) => name !== own)
  return [...new Set(others)].slice(0, mostServers)
}

/**
 * Lets servers try in turn until one succeeds. Otherwise throws what tells most: a refusal before an unknown room, that before
 * servers that cannot be reached. M_NOT_FOUND where there is none to try.
 */
export async function firstOf<T>(
  servers: readonly ServerName[],
  attempt: (server: ServerName) => Promise<T>,
): Promise<T> {
  const failures: MatrixError[] = []
  for (const server of servers) {
    try {
      return await attempt(server)
    } catch (error) {
      if (!isMatrixError(error) || isFinal(error)) throw error
      failures.push(error)
    }
  }
  throw mostTelling(failures)
}

/** Whether no other server would make a difference. */
export function isFinal({ errcode }: MatrixError): boolean {
  return errcode === 'M_RESOURCE_LIMIT_EXCEEDED' || errcode === 'M_UNSUPPORTED_ROOM_VERSION'
}

const telling: readonly Errcode[] = [
  'M_FORBIDDEN',
  'M_INCOMPATIBLE_ROOM_VERSION',
  'M_UNABLE_TO_GRANT_JOIN',
  'M_UNABLE_TO_AUTHORISE_JOIN',
  'M_NOT_FOUND',
]

/** The error to tell of where none of the servers could help. */
export function mostTelling(failures: readonly MatrixError[]): MatrixError {
  for (const errcode of telling) {
    const found = failures.find((error) => error.errcode === errcode)
    if (found) return found
  }
  const [first] = failures
  if (!first) return new MatrixError('M_NOT_FOUND', 404, 'No server is known to be in that room')
  if (failures.length === 1) return first
  const timedOut = failures.every(({ status }) => status === 504)
  return new MatrixError(
    timedOut ? 'M_CONNECTION_TIMEOUT' : 'M_CONNECTION_FAILED',
    timedOut ? 504 : 502,
    `No server could help: ${failures.map(({ message }) => message).join('; ')}`,
  )
}

// What is handed on to the client. Others speak of our request, which the client has not made.
const handedOn: Readonly<Record<number, readonly Errcode[]>> = {
  400: ['M_INCOMPATIBLE_ROOM_VERSION', 'M_UNABLE_TO_GRANT_JOIN', 'M_UNABLE_TO_AUTHORISE_JOIN', 'M_BAD_STATE'],
  403: ['M_FORBIDDEN', 'M_INVITE_BLOCKED'],
  404: ['M_NOT_FOUND'],
}
const standIn: Readonly<Record<number, Errcode>> = { 403: 'M_FORBIDDEN', 404: 'M_NOT_FOUND' }

/** The error of another server as our client is told of it: 502 M_UNKNOWN but for what concerns the user. */
export function refusal(
  server: ServerName,
  { status, body }: Pick<FederationAnswer, 'status' | 'body'>,
): MatrixError {
  const errcode = stringProperty(body, 'errcode')
  const message = (stringProperty(body, 'error') ?? 'no reason given').slice(0, longestMessage)
  const known = handedOn[status]?.find((code) => code === errcode) ?? standIn[status]
  if (known !== undefined) return new MatrixError(known, status, message, extra(known, body))
  return new MatrixError('M_UNKNOWN', 502, `${server} answered with status ${status}: ${message}`)
}

function extra(errcode: Errcode, body: JsonObject): JsonObject {
  const version = stringProperty(body, 'room_version')
  return errcode === 'M_INCOMPATIBLE_ROOM_VERSION' && version !== undefined
    ? { room_version: version.slice(0, longestMessage) }
    : {}
}

/** Whether a server does not know the endpoint, and an older version of it may be tried. */
export function isUnknownEndpoint({ status, body }: Pick<FederationAnswer, 'status' | 'body'>): boolean {
  const errcode = stringProperty(body, 'errcode')
  // Servers from before M_UNRECOGNIZED answer without an errcode.
  return (status === 404 || status === 405) && (errcode === 'M_UNRECOGNIZED' || errcode === undefined)
}
