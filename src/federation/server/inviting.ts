// Invites of users of this server by those of others: checked, countersigned, and shown to the invited user.
// Server-server API, "Inviting to a room"; client-server API, "Invite permission".

import { findOrAskForUser } from '../../appservice/query.ts'
import { writeToRoom } from '../write-to-room.ts'
import { refuseBlocked } from '../../client/invitees.ts'
import { roomParam } from '../../client/own-user.ts'
import { isLocal, textParam } from '../../client/path-params.ts'
import { type Env, hubStub } from '../../env.ts'
import { MatrixError } from '../../errors.ts'
import { ownSigner } from '../../keys/own-signer.ts'
import type { Event, RoomId, ServerName, UserId } from '../../matrix/event.ts'
import { checkedEvent } from '../../matrix/event-format.ts'
import { hasValidContentHash } from '../../matrix/event-hash.ts'
import { countersignEvent, verifyEventSignatures } from '../../matrix/event-signature.ts'
import { parseUserId, serverNameOf } from '../../matrix/identifiers.ts'
import { isJsonObject, type JsonObject, objectProperty, property, stringProperty } from '../../matrix/json.ts'
import { roomVersion, type RoomVersionRules } from '../../matrix/room-version.ts'
import type { ServerKeySet } from '../../room/receive-pdu.ts'
import { findLocalMembers, type LocalMember } from '../../storage/local-members.ts'
import { keysOfSignatures } from './membership-handshake.ts'
import type { FederationRouter } from './router.ts'
import { checkShownState, strippedEntries, strippedForm } from './shown-state.ts'

/** PUT /invite/{roomId}/{eventId} in both versions. */
export function invitingRoutes(router: FederationRouter): void {
  // https://spec.matrix.org/v1.19/server-server-api/#put_matrixfederationv1inviteroomideventid
  router.put('/_matrix/federation/v1/invite/:roomId/:eventId', async (c, { origin, content }) => {
    // The format is that of versions 1 and 2, which are the same here.
    const pdu = await receiveInvite(c.env, {
      origin,
      roomId: roomParam(c),
      eventId: textParam(c, 'eventId'),
      rules: supportedVersion('1'),
      pdu: content,
      shownState: property(objectProperty(content, 'unsigned'), 'invite_room_state'),
    })
    return c.json([200, { event: pdu }])
  })

  // https://spec.matrix.org/v1.19/server-server-api/#put_matrixfederationv2inviteroomideventid
  router.put('/_matrix/federation/v2/invite/:roomId/:eventId', async (c, { origin, content, faults }) => {
    const rules = supportedVersion(required(stringProperty(content, 'room_version'), 'room_version'))
    if (
      rules.strictCanonicalJson &&
      faults.some(({ path }) => path[0] === 'event' && path[1] !== 'unsigned')
    ) {
      throw invalid('the event is not canonical JSON')
    }
    const pdu = await receiveInvite(c.env, {
      origin,
      roomId: roomParam(c),
      eventId: textParam(c, 'eventId'),
      rules,
      pdu: required(objectProperty(content, 'event'), 'event'),
      shownState: property(content, 'invite_room_state'),
    })
    return c.json({ event: pdu })
  })
}

interface Invite {
  readonly origin: ServerName
  readonly roomId: RoomId
  /** The event id that the path names. */
  readonly eventId: string
  readonly rules: RoomVersionRules
  readonly pdu: JsonObject
  readonly shownState: unknown
}

/** Takes an invite in. Returns it with our signature. */
async function receiveInvite(env: Env, invite: Invite): Promise<JsonObject> {
  const { origin, roomId, rules, pdu } = invite
  // 1. An invite of one of our users by one of theirs: this server signs nothing else.
  const event = checkedInvite(env, invite)
  // 2. Signed by their server, and unchanged since.
  const keys = await checkSignatures(env, invite, event)
  // 3. The user is there and takes invites.
  const invited = await localUser(env, event.userId)
  await refuseBlocked(env, invited, event.sender)
  const { userId, shard } = invited
  const state = await stateToShow(env, invite)
  // 4. Where this server is in the room, the room itself decides.
  const kept = await writeToRoom(env, roomId, (room) =>
    room.receiveInvite({ origin, pdu, keys, userId, shard }),
  )
  if (kept !== undefined) return parsedPdu(kept)
  // 5. Otherwise the user is told, and the inviting server gets our signature.
  const signer = await ownSigner(env)
  const countersigned = countersignEvent(pdu, rules, signer.serverName, signer.keyId, signer.key)
  const { event_id: eventId, type, sender, origin_server_ts, content } = event
  await hubStub(env, shard).applyRemoteMembership({
    roomId,
    userId,
    membership: 'invite',
    eventId,
    stripped: [...state, strippedForm(event)],
    event: { type, event_id: eventId, sender, state_key: userId, content, origin_server_ts },
  })
  return countersigned
}

function checkedInvite(
  env: Env,
  { origin, roomId, eventId, rules, pdu }: Invite,
): Event & { readonly userId: UserId } {
  const format = checkedEvent(pdu, rules)
  if (!format.ok) throw invalid(format.reason)
  const { event } = format
  if (event.event_id !== eventId) throw invalid('the event has another id than the path')
  if (event.room_id !== roomId) throw invalid('the event is of another room than the path')
  if (event.type !== 'm.room.member') throw invalid('the event is not of type m.room.member')
  if (stringProperty(event.content, 'membership') !== 'invite') throw invalid('the membership is not invite')
  if (serverNameOf(event.sender) !== origin) throw invalid('the sender is of another server')
  const userId = parseUserId(event.state_key ?? '')
  if (userId === undefined || !isLocal(env, userId)) throw invalid('state_key is no user of this server')
  return { ...event, userId }
}

async function checkSignatures(
  env: Env,
  { origin, rules, pdu }: Invite,
  event: Event,
): Promise<ServerKeySet> {
  const keys = await keysOfSignatures(env, pdu, [origin])
  const verdict = verifyEventSignatures(pdu, rules, (server, keyId) => {
    const ofServer = Object.hasOwn(keys, server) ? keys[server] : undefined
    return ofServer && Object.hasOwn(ofServer, keyId) ? ofServer[keyId] : undefined
  })
  if (!verdict.ok) throw invalid(verdict.reason)
  if (!hasValidContentHash(event.pdu, rules)) throw invalid('the content hash is wrong')
  return keys
}

// Since v1.16 the state must be whole events and hold the create event. Older servers, in rooms of older versions, send
// stripped ones; what is wrong there is only left out.
async function stateToShow(env: Env, { rules, roomId, shownState }: Invite): Promise<JsonObject[]> {
  const entries = Array.isArray(shownState) ? shownState : []
  if (!rules.roomIdIsCreateHash) return strippedEntries(entries)
  const { state, wrong } = await checkShownState(env, rules, roomId, entries)
  const [fault] = wrong
  if (fault !== undefined) throw invalid(`invite_room_state: ${fault}`)
  if (!state.some(({ type, state_key: key }) => type === 'm.room.create' && key === '')) {
    throw invalid('invite_room_state: m.room.create is missing')
  }
  return state
}

async function localUser(env: Env, userId: UserId): Promise<LocalMember> {
  const find = async () => (await findLocalMembers(env, [userId])).get(userId)
  const member = await findOrAskForUser(env, userId, async () => 'another server', find)
  if (!member) throw new MatrixError('M_FORBIDDEN', 403, `${userId} is no user of this server`)
  return member
}

function supportedVersion(version: string): RoomVersionRules {
  const rules = roomVersion(version)
  if (rules) return rules
  const message = `Room version ${version} is not supported by this server`
  throw new MatrixError('M_INCOMPATIBLE_ROOM_VERSION', 400, message, { room_version: version })
}

function required<T>(value: T | undefined, field: string): T {
  if (value === undefined) throw new MatrixError('M_MISSING_PARAM', 400, `Missing field: ${field}`)
  return value
}

function parsedPdu(text: string): JsonObject {
  const pdu: unknown = JSON.parse(text)
  if (!isJsonObject(pdu)) throw new Error('the room answered with something else than an event')
  return pdu
}

function invalid(reason: string): MatrixError {
  return new MatrixError('M_INVALID_PARAM', 400, `Invalid invite: ${reason}`)
}
