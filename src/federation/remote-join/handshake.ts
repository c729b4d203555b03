// Asking a server in a room for a member event of our user, and handing the signed event in.
// Specification: server-server API, "Joining Rooms", "Knocking upon a room", "Leaving Rooms".

import type { OwnSigner } from '../../keys/own-signer.ts'
import type { RoomId, ServerName } from '../../matrix/event.ts'
import type { JsonObject } from '../../matrix/json.ts'
import { roomVersionIds, unstableRoomVersionIds } from '../../matrix/room-version.ts'
import { firstVersionRequest } from '../client/first-version.ts'
import type { FederationAnswer, FederationCall, JsonCall } from '../client/request.ts'
import { type OwnMember, readTemplate, type SignedMember, signMember } from './own-member.ts'
import { isUnknownEndpoint, refusal } from './servers.ts'

export interface HandshakeDeps {
  readonly request: (call: JsonCall) => Promise<FederationAnswer>
  readonly fetch: (call: FederationCall) => Promise<Response>
  readonly signer: OwnSigner
  /** Milliseconds. */
  readonly now: () => number
}

const timeoutMs = 20_000

/** Our member event on the template of a server, signed. Errors of the server as `refusal` has them. */
export async function makeMember(
  { request, signer, now }: HandshakeDeps,
  server: ServerName,
  member: OwnMember,
): Promise<SignedMember> {
  const { membership, roomId, userId } = member
  // Leaving must be possible whatever the version; then it shows in the template.
  const known = [...roomVersionIds, ...unstableRoomVersionIds]
  const versions = membership === 'leave' ? '' : `?${known.map((id) => `ver=${id}`).join('&')}`
  const path = `/_matrix/federation/v1/make_${membership}/${encodeURIComponent(roomId)}/${encodeURIComponent(userId)}`
  const answer = await request({ destination: server, method: 'GET', path: path + versions, timeoutMs })
  if (answer.status !== 200) throw refusal(server, answer)
  const template = readTemplate(server, answer.body, member, signer.serverName)
  return signMember(server, template, member, signer, now())
}

/** Hands a leave in. */
export async function sendLeave(
  deps: HandshakeDeps,
  server: ServerName,
  roomId: RoomId,
  leave: SignedMember,
): Promise<void> {
  const second = await deps.request(sendCall(server, 'v2/send_leave', roomId, leave))
  const answer = isUnknownEndpoint(second)
    ? await firstVersionRequest(deps.fetch, sendCall(server, 'v1/send_leave', roomId, leave))
    : second
  if (answer.status !== 200) throw refusal(server, answer)
}

/** Hands a knock in. Answers what the server says of the room. */
export async function sendKnock(
  deps: HandshakeDeps,
  server: ServerName,
  roomId: RoomId,
  knock: SignedMember,
): Promise<JsonObject> {
  const answer = await deps.request(sendCall(server, 'v1/send_knock', roomId, knock))
  if (answer.status !== 200) throw refusal(server, answer)
  return answer.body
}

function sendCall(
  destination: ServerName,
  endpoint: string,
  roomId: RoomId,
  { pdu, eventId }: SignedMember,
): FederationCall {
  const path = `/_matrix/federation/${endpoint}/${encodeURIComponent(roomId)}/${encodeURIComponent(eventId)}`
  return { destination, method: 'PUT', path, content: pdu, timeoutMs }
}
