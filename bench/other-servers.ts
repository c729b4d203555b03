// Other homeservers on loopback, as far as a benchmark needs them: each has a port of its own, publishes a key, joins rooms
// of the server under measurement, sends events, and notes which events it was sent.

import { once } from 'node:events'
import { createServer, type Server } from 'node:https'
import type { AddressInfo } from 'node:net'
import { eventIdOf } from '../src/matrix/event-hash.ts'
import { signEvent } from '../src/matrix/event-signature.ts'
import type { ServerName } from '../src/matrix/event.ts'
import { isJsonObject, type JsonObject, stringProperty } from '../src/matrix/json.ts'
import { roomVersion, type RoomVersionRules } from '../src/matrix/room-version.ts'
import type { Authority } from '../test/support/certificates.ts'
import { fakeKey, keyDocument, signedRequest } from '../test/support/fake-homeserver.ts'

/** The server under measurement. */
interface Target {
  readonly url: string
  readonly serverName: string
}

export type OtherServer = Awaited<ReturnType<typeof otherServer>>

/** Starts so many. */
export async function otherServers(authority: Authority, count: number) {
  const certificate = authority.issue('127.0.0.1')
  const servers = await Promise.all(Array.from({ length: count }, () => otherServer(certificate)))
  return { servers, stop: async () => void (await Promise.all(servers.map((server) => server.stop()))) }
}

async function otherServer(certificate: { key: string; cert: string }) {
  const key = fakeKey()
  const received = new Set<string>()
  const waiting = new Map<string, () => void>()
  let serverName = '' as ServerName
  const take = (text: string) => {
    for (const pdu of (JSON.parse(text) as { pdus: JsonObject[] }).pdus) {
      const eventId = eventIdOf(pdu, rulesOf('11'))
      received.add(eventId)
      waiting.get(eventId)?.()
    }
  }
  const server = createServer(certificate, async (request, response) => {
    const body = Buffer.concat(await request.toArray()).toString()
    if (request.url?.startsWith('/_matrix/federation/v1/send/')) take(body)
    const isKeys = request.url?.startsWith('/_matrix/key/')
    response.end(isKeys ? JSON.stringify(keyDocument(serverName, [key])) : '{"pdus":{}}')
  })
  await once(server.listen(0, '127.0.0.1'), 'listening')
  serverName = `127.0.0.1:${(server.address() as AddressInfo).port}` as ServerName
  const signer = { serverName, ...key }
  let transactions = 0

  const ask = async (target: Target, method: string, uri: string, content: JsonObject | null = null) => {
    const { authorization, body } = signedRequest(signer, target.serverName, { method, uri, content })
    const response = await fetch(`${target.url}${uri}`, {
      method,
      headers: { Authorization: authorization, ...(body ? { 'Content-Type': 'application/json' } : {}) },
      ...(body ? { body } : {}),
    })
    const answer = await response.json<JsonObject>()
    if (response.status !== 200) throw new Error(`${method} ${uri}: ${JSON.stringify(answer)}`)
    return answer
  }
  const sign = (rules: RoomVersionRules, fields: JsonObject) =>
    signEvent(fields, rules, serverName, key.keyId, key.key)

  return {
    /** Joins a room by the handshake. `chain` makes messages that build upon the join and upon each other. */
    async join(target: Target, roomId: string) {
      const userId = `@user:${serverName}`
      const path = `/_matrix/federation/v1/make_join/${encodeURIComponent(roomId)}/${encodeURIComponent(userId)}?ver=11`
      const made = await ask(target, 'GET', path)
      const rules = rulesOf(stringProperty(made, 'room_version') ?? '')
      const template = made['event']
      if (!isJsonObject(template)) throw new Error('no template')
      const member = sign(rules, template)
      const eventId = eventIdOf(member, rules)
      const rest = `${encodeURIComponent(roomId)}/${encodeURIComponent(eventId)}`
      await ask(target, 'PUT', `/_matrix/federation/v2/send_join/${rest}`, member)
      const { state_key: _, ...fields } = template
      const auth = [...(template['auth_events'] as string[]).slice(0, 2), eventId]
      return {
        chain: (length: number) => {
          const pdus: JsonObject[] = []
          let parent = eventId
          for (let i = 1; i <= length; i += 1) {
            const content = { msgtype: 'm.text', body: `The quick brown fox ${i}` }
            const depth = Number(template['depth']) + i
            const pdu = sign(rules, {
              ...fields,
              type: 'm.room.message',
              content,
              auth_events: auth,
              prev_events: [parent],
              depth,
            })
            parent = eventIdOf(pdu, rules)
            pdus.push(pdu)
          }
          return pdus
        },
      }
    },
    /** Sends a transaction. Throws unless all its events are accepted. */
    async send(target: Target, pdus: JsonObject[]): Promise<void> {
      transactions += 1
      const content = { origin: serverName, origin_server_ts: Date.now(), pdus }
      const answer = await ask(target, 'PUT', `/_matrix/federation/v1/send/t${transactions}`, content)
      const results = Object.values(answer['pdus'] ?? {})
      if (results.length !== pdus.length || JSON.stringify(results).includes('error')) {
        throw new Error(`not all events were accepted: ${JSON.stringify(answer)}`)
      }
    },
    /** Resolves when it was sent an event. */
    has: (eventId: string): Promise<void> =>
      received.has(eventId) ? Promise.resolve() : new Promise((resolve) => waiting.set(eventId, resolve)),
    stop: () => close(server),
  }
}

async function close(server: Server): Promise<void> {
  server.closeAllConnections()
  await new Promise((closed) => server.close(closed))
}

function rulesOf(version: string): RoomVersionRules {
  const rules = roomVersion(version)
  if (!rules) throw new Error(`no room version ${version}`)
  return rules
}
