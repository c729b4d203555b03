// A simulated other server that asks ours over HTTP: its requests are signed, its key is known from D1, and its users join,
// leave and knock by the handshakes of the specification.

import { randomBytes } from 'node:crypto'
import { eventIdOf } from '../../src/matrix/event-hash.ts'
import { encodeBase64 } from '../../src/matrix/base64.ts'
import { signEvent } from '../../src/matrix/event-signature.ts'
import type { EventId, ServerName, UserId } from '../../src/matrix/event.ts'
import type { JsonObject, JsonValue } from '../../src/matrix/json.ts'
import { roomVersion, type RoomVersionRules } from '../../src/matrix/room-version.ts'
import { fakeKey, signedRequest } from './fake-homeserver.ts'
import { type Answer, type TestServer, testServerName } from './server.ts'
import { textOf } from './text-of.ts'

export const federation = '/_matrix/federation'
export const allVersions = ['1', '2', '3', '4', '5', '6', '7', '8', '9', '10', '11', '12']

export type AskingServer = Awaited<ReturnType<typeof askingServer>>

export interface SignedEvent {
  readonly pdu: JsonObject
  readonly eventId: EventId
}

/** Another server. Its key is as if it had been fetched just now. */
export async function askingServer(server: TestServer, name: string) {
  const serverName = name as ServerName
  const key = fakeKey(`ed25519:${randomBytes(3).toString('hex')}`)
  const db = await server.mf.getD1Database('DB')
  await db
    .prepare(
      `INSERT INTO remote_keys (server_name, key_id, public_key, valid_until_ts, old, fetched_at)
       VALUES (?, ?, ?, ?, 0, ?)`,
    )
    .bind(serverName, key.keyId, encodeBase64(key.key.publicKey), Date.now() + 6 * 86_400_000, Date.now())
    .run()
  const signer = { serverName, ...key }

  /** A signed request. The answer is JSON. */
  const ask = async <T = JsonObject>(
    method: string,
    uri: string,
    content: JsonObject | null = null,
  ): Promise<Answer<T>> => {
    const response = await fetchRaw(method, uri, content)
    return { status: response.status, body: (await response.json()) as T, headers: response.headers }
  }
  const fetchRaw = async (
    method: string,
    uri: string,
    content: JsonObject | null = null,
    headers: Readonly<Record<string, string>> = {},
  ) => {
    const { authorization, body } = signedRequest(signer, testServerName, { method, uri, content })
    return await fetch(`${server.url}${uri}`, {
      method,
      headers: {
        ...headers,
        Authorization: authorization,
        ...(body ? { 'Content-Type': 'application/json' } : {}),
      },
      ...(body ? { body } : {}),
    })
  }
  /** An event hashed and signed by this server. */
  const sign = (rules: RoomVersionRules, fields: JsonObject): SignedEvent => {
    const withId =
      rules.eventId === 'field'
        ? { ...fields, event_id: `$${randomBytes(9).toString('hex')}:${name}` }
        : fields
    const pdu = signEvent(withId, rules, name, key.keyId, key.key)
    return { pdu, eventId: eventIdOf(pdu, rules) }
  }
  const make = async (membership: string, roomId: string, userId: string, versions = allVersions) => {
    const query = versions.map((version) => `ver=${version}`).join('&')
    return await ask(
      'GET',
      `${federation}/v1/make_${membership}/${encodeURIComponent(roomId)}/${encodeURIComponent(userId)}?${query}`,
    )
  }
  /** A template as the other server gave it, with changes, signed. */
  const fromTemplate = ({ status, body }: Answer<JsonObject>, changes: JsonObject = {}): SignedEvent => {
    if (status !== 200) throw new Error(`no template: ${status} ${JSON.stringify(body)}`)
    const rules = roomVersion(textOf(body, 'room_version'))
    if (!rules) throw new Error('an unknown room version')
    return sign(rules, { ...(body['event'] as JsonObject), ...changes })
  }
  const send = async <T extends JsonValue = JsonObject>(
    membership: string,
    roomId: string,
    { pdu, eventId }: SignedEvent,
    { version = membership === 'knock' ? 1 : 2, query = '' } = {},
  ) =>
    await ask<T>(
      'PUT',
      `${federation}/v${version}/send_${membership}/${encodeURIComponent(roomId)}/${encodeURIComponent(eventId)}${query}`,
      pdu,
    )

  return {
    serverName,
    signer,
    user: (localpart: string) => `@${localpart}:${name}` as UserId,
    ask,
    fetchRaw,
    sign,
    make,
    fromTemplate,
    send,
    /** Joins a user. Throws unless all goes well. */
    async join(roomId: string, userId: string) {
      const event = fromTemplate(await make('join', roomId, userId))
      const answer = await send<{ state: JsonObject[]; auth_chain: JsonObject[] } & JsonObject>(
        'join',
        roomId,
        event,
      )
      if (answer.status !== 200) throw new Error(`join: ${answer.status} ${JSON.stringify(answer.body)}`)
      return { ...event, answer: answer.body }
    },
  }
}
