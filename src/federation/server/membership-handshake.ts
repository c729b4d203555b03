// What joining, leaving and knocking through this server have in common.
// Server-server API, "Joining Rooms", "Restricted rooms", "Leaving Rooms", "Knocking upon a room".

import { checkedUserId, textParam } from '../../client/path-params.ts'
import { roomParam } from '../../client/own-user.ts'
import { config } from '../../config.ts'
import { type Env, roomStub } from '../../env.ts'
import { MatrixError } from '../../errors.ts'
import type { AppContext } from '../../http/app-type.ts'
import type { FederationRequest } from '../../http/federation-auth.ts'
import type { RoomId, ServerName, UserId } from '../../matrix/event.ts'
import { parseUserId, serverNameOf } from '../../matrix/identifiers.ts'
import { type JsonObject, objectProperty, property, stringProperty } from '../../matrix/json.ts'
import { isEd25519KeyId } from '../../matrix/signing.ts'
import type { SendMembershipRequest } from '../../room/federation-send.ts'
import type { ServerKeySet } from '../../room/receive-pdu.ts'
import { keysFor } from '../client/key-ring.ts'
import { json } from './retrieving-events.ts'

type Membership = SendMembershipRequest['membership']

// Each is a subrequest, of which the free plan has 50.
const mostRoomsAsked = 20
const mostSignatures = 10

/** The answer to make_join, make_leave and make_knock. `versions` is left out where the asking server does not say. */
export async function make(
  c: AppContext,
  origin: ServerName,
  membership: Membership,
  versions?: readonly string[],
): Promise<Response> {
  const userId = checkedUserId('userId', textParam(c, 'userId'))
  if (serverNameOf(userId) !== origin) {
    throw new MatrixError('M_FORBIDDEN', 403, `${origin} may not speak for ${userId}`)
  }
  const room = roomStub(c.env, roomParam(c))
  const request = { origin, membership, userId, ...(versions ? { versions } : {}) }
  const answer = await room.makeMembership(request)
  if ('body' in answer) return json(c, answer.body)
  const memberOf = await roomsJoinedBy(c.env, userId, answer.needsMembership)
  const decided = await room.makeMembership({ ...request, memberOf })
  if ('body' in decided) return json(c, decided.body)
  throw new Error('the room asked for memberships twice')
}

/** What send_join, send_leave and send_knock hand to the room. */
export async function sendRequest(
  c: AppContext,
  { origin, content, faults }: FederationRequest,
  membership: Membership,
): Promise<SendMembershipRequest> {
  return {
    origin,
    membership,
    eventId: textParam(c, 'eventId'),
    pdu: content,
    strictJson: faults.every(({ path }) => path[0] === 'unsigned'),
    keys: await signerKeys(c.env, content, origin),
  }
}

/** The user whom a member event is about, if it is the sender's own. */
export function joiningUser(pdu: JsonObject): UserId | undefined {
  return parseUserId(stringProperty(pdu, 'sender') ?? '')
}

/**
 * Those of some rooms that a user of another server is joined to. M_UNABLE_TO_AUTHORISE_JOIN where it is none of those that
 * this server knows, but there are others.
 */
export async function roomsJoinedBy(env: Env, userId: UserId, roomIds: readonly RoomId[]): Promise<RoomId[]> {
  const asked = roomIds.slice(0, mostRoomsAsked)
  const known = await Promise.all(asked.map((roomId) => roomStub(env, roomId).knownMembership(userId)))
  const joined = asked.filter((_, i) => known[i] === 'joined')
  if (joined.length > 0) return joined
  if (asked.length === roomIds.length && !known.includes('unknown')) return []
  throw new MatrixError(
    'M_UNABLE_TO_AUTHORISE_JOIN',
    400,
    'This server does not know all of the rooms whose members may join',
  )
}

/** The keys to check a member event with: those of its sender's server, and of another that vouches for a join. */
async function signerKeys(env: Env, pdu: JsonObject, origin: ServerName): Promise<ServerKeySet> {
  const authoriser = stringProperty(objectProperty(pdu, 'content'), 'join_authorised_via_users_server')
  const vouching = serverOf(authoriser)
  const servers = new Set([origin, ...(vouching ? [vouching] : [])])
  // Our own signature is made by the room.
  servers.delete(config(env).serverName)
  return await keysOfSignatures(env, pdu, [...servers])
}

/** The keys with which some servers have signed an event, as far as they can be had. */
export async function keysOfSignatures(
  env: Env,
  pdu: JsonObject,
  servers: readonly ServerName[],
): Promise<ServerKeySet> {
  return await keysFor(env, signatureKeys(pdu, servers))
}

/** The keys that the signatures of some servers on an event name. */
export function signatureKeys(pdu: JsonObject, servers: readonly ServerName[]) {
  const timestamp = property(pdu, 'origin_server_ts')
  const minimumValidUntilTs = typeof timestamp === 'number' ? timestamp : 0
  return servers.flatMap((serverName) =>
    Object.keys(objectProperty(objectProperty(pdu, 'signatures'), serverName) ?? {})
      .filter(isEd25519KeyId)
      .slice(0, mostSignatures)
      .map((keyId) => ({ serverName, keyId, minimumValidUntilTs })),
  )
}

function serverOf(userId: string | undefined): ServerName | undefined {
  const parsed = parseUserId(userId ?? '')
  return parsed && serverNameOf(parsed)
}
