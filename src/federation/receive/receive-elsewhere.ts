// What a server tells of a room that this one is not in: that an invite of one of our users was taken back, or a knock turned
// down. There is no state to judge that by. For an invite the one who invited is believed, for a knock those who sent the
// state that we were shown.
// Specification: server-server API, "Inviting to a room", "Knocking upon a room"; client-server API, "Stripped state".

import { inviterOf, sendersIn } from '../../client/remote-standing.ts'
import { isLocal } from '../../client/path-params.ts'
import { type Env, hubStub } from '../../env.ts'
import type { Standing } from '../../hub/members.ts'
import type { Event, RoomId, ServerName, UserId } from '../../matrix/event.ts'
import { checkedEvent } from '../../matrix/event-format.ts'
import { hasValidContentHash } from '../../matrix/event-hash.ts'
import { verifyEventSignatures } from '../../matrix/event-signature.ts'
import { parseUserId, serverNameOf } from '../../matrix/identifiers.ts'
import { isJsonObject, type JsonObject, objectProperty, property, stringProperty } from '../../matrix/json.ts'
import { roomVersion, type RoomVersionRules } from '../../matrix/room-version.ts'
import { keyOf } from '../../room/receive-pdu.ts'
import { shardOf } from '../../storage/users.ts'
import { eventKeys } from './event-keys.ts'

/** Takes the ends of invites and knocks in. Everything else of such a room is no business of ours. */
export async function receiveElsewhere(
  env: Env,
  origin: ServerName,
  roomId: RoomId,
  pdus: readonly JsonObject[],
): Promise<void> {
  for (const pdu of pdus) {
    const target = endedFor(env, pdu)
    const shard = target && (await shardOf(env, target))
    if (target && shard !== undefined) await endMembership(env, origin, { roomId, target, shard, pdu })
  }
}

/** The user of this server whom an event says to be out of a room. */
function endedFor(env: Env, pdu: JsonObject): UserId | undefined {
  if (property(pdu, 'type') !== 'm.room.member') return undefined
  const membership = property(objectProperty(pdu, 'content'), 'membership')
  if (membership !== 'leave' && membership !== 'ban') return undefined
  const target = parseUserId(stringProperty(pdu, 'state_key') ?? '')
  return target !== undefined && isLocal(env, target) ? target : undefined
}

interface End {
  readonly roomId: RoomId
  readonly target: UserId
  readonly shard: number
  readonly pdu: JsonObject
}

async function endMembership(
  env: Env,
  origin: ServerName,
  { roomId, target, shard, pdu }: End,
): Promise<void> {
  const hub = hubStub(env, shard)
  const standing = await hub.standingIn(target, roomId)
  if (standing?.membership !== 'invite' && standing?.membership !== 'knock') return
  const rules = versionOf(standing)
  if (!rules) return
  const format = checkedEvent(pdu, rules)
  if (!format.ok || format.event.room_id !== roomId) return
  const { event } = format
  if (serverNameOf(event.sender) !== origin || !mayEnd(standing, target, event.sender)) return
  if (!(await isSigned(env, event, rules))) return
  const { event_id: eventId, type, sender, state_key, content, origin_server_ts } = event
  await hub.applyRemoteMembership({
    roomId,
    userId: target,
    membership: content['membership'] === 'ban' ? 'ban' : 'leave',
    eventId,
    event: { type, event_id: eventId, sender, state_key: state_key ?? '', content, origin_server_ts },
  })
}

function mayEnd(standing: Standing, target: UserId, sender: UserId): boolean {
  if (standing.membership === 'invite') return inviterOf(standing, target) === sender
  return sender !== target && sendersIn(standing).includes(sender)
}

/** The rules of the room, as its create event in the stripped state has them. */
function versionOf({ stripped }: Standing): RoomVersionRules | undefined {
  const state: unknown = JSON.parse(stripped ?? '[]')
  const create = (Array.isArray(state) ? state : [])
    .filter(isJsonObject)
    .find((event) => property(event, 'type') === 'm.room.create')
  // Servers of old send no create event, and rooms of old name no version.
  return roomVersion(stringProperty(objectProperty(create, 'content'), 'room_version') ?? '1')
}

async function isSigned(env: Env, { pdu }: Event, rules: RoomVersionRules): Promise<boolean> {
  const keys = await eventKeys(env, [pdu])
  const verdict = verifyEventSignatures(pdu, rules, (server, keyId) => keyOf(keys, server, keyId))
  return verdict.ok && hasValidContentHash(pdu, rules)
}
