// The keys to verify events with, fetched before the events are handed to their room.

import type { Env } from '../../env.ts'
import { parseEventId, parseServerName, parseUserId, serverNameOf } from '../../matrix/identifiers.ts'
import type { ServerName } from '../../matrix/event.ts'
import { type JsonObject, objectProperty, property, stringProperty } from '../../matrix/json.ts'
import { policyKeyId } from '../../matrix/policy-server.ts'
import { isEd25519KeyId } from '../../matrix/signing.ts'
import type { ServerKeySet } from '../../room/receive-pdu.ts'
import { type KeyRequest, keysFor } from '../client/key-ring.ts'

// More signatures of one server than that are not looked for.
const mostKeysPerServer = 4
// Each may have to be asked for its keys.
const mostInviteSigners = 3

/** The keys that may be needed for these events, whatever their room version. */
export async function eventKeys(env: Env, pdus: readonly JsonObject[]): Promise<ServerKeySet> {
  return await keysFor(env, pdus.flatMap(keyRequests))
}

/** The keys that an event was signed with by those who must have signed it. */
export function keyRequests(pdu: JsonObject): KeyRequest[] {
  const signatures = objectProperty(pdu, 'signatures')
  const signedAt = property(pdu, 'origin_server_ts')
  return signers(pdu).flatMap((serverName) =>
    Object.keys(objectProperty(signatures, serverName) ?? {})
      // The key of a policy server stands in the room, and is not looked for among those that servers publish.
      .filter((keyId) => isEd25519KeyId(keyId) && keyId !== policyKeyId)
      .slice(0, mostKeysPerServer)
      .map((keyId) => ({
        serverName,
        keyId,
        minimumValidUntilTs: typeof signedAt === 'number' ? signedAt : 0,
      })),
  )
}

// The sender's server; in versions 1 and 2 that of the event id; that of who authorised a restricted join. A third-party
// invite may be signed by any one server, such as that of the invited user.
function signers(pdu: JsonObject): ServerName[] {
  const sender = parseUserId(stringProperty(pdu, 'sender') ?? '')
  const eventId = parseEventId(stringProperty(pdu, 'event_id') ?? '')
  const content = objectProperty(pdu, 'content')
  const authoriser = parseUserId(stringProperty(content, 'join_authorised_via_users_server') ?? '')
  const named = [
    sender && serverNameOf(sender),
    eventId && serverNameOf(eventId),
    authoriser && serverNameOf(authoriser),
    ...(property(content, 'third_party_invite') === undefined
      ? []
      : signedBy(pdu).slice(0, mostInviteSigners)),
  ]
  return [...new Set(named.filter((serverName) => serverName !== undefined))]
}

function signedBy(pdu: JsonObject): ServerName[] {
  return Object.keys(objectProperty(pdu, 'signatures') ?? {})
    .map(parseServerName)
    .filter((serverName) => serverName !== undefined)
}
