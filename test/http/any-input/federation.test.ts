// Whatever another server sends, properly signed: an answer of the specification, never a 500, never silence.

import * as fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { appRoutes } from '../../../scripts/coverage.ts'
import { authorizationHeader } from '../../../src/federation/client/x-matrix.ts'
import type { ServerName } from '../../../src/matrix/event.ts'
import type { JsonObject, JsonValue } from '../../../src/matrix/json.ts'
import { type AskingServer, askingServer, federation } from '../../support/asking-server.ts'
import { unwatchedFetch } from '../../contract/watch-fetch.ts'
import { rulesOf } from '../../matrix/arbitrary.ts'
import { newClient, type RoomClient } from '../../support/room-client.ts'
import { startServer, testServerName, type TestServer } from '../../support/server.ts'
import { textOf } from '../../support/text-of.ts'
import { fault, type Probe, probe, type Reply, runs } from './probe.ts'
import { anyValue, fieldName, type World } from './values.ts'

const routes = appRoutes().filter(({ path }) => path.startsWith('/_matrix/federation/'))

let server: TestServer
let alice: RoomClient
let other: AskingServer
let world: World
let roomId: string
beforeAll(async () => {
  server = await startServer()
  alice = await newClient(server, 'alice')
  other = await askingServer(server, 'other.test')
  roomId = await alice.createRoom({ preset: 'public_chat', room_version: '11' })
  await other.join(roomId, other.user('bob'))
  const eventId = await alice.send(roomId, { msgtype: 'm.text', body: 'hello' })
  const roomAlias = `#room:${testServerName}`
  await alice.setAlias(roomAlias, roomId)
  const uploaded = await server.request('POST', '/_matrix/media/v3/upload', { token: alice.token, body: {} })
  world = {
    userId: alice.userId,
    otherUserId: other.user('bob'),
    deviceId: alice.deviceId,
    roomId,
    eventId,
    serverName: other.serverName,
    roomAlias,
    mediaId: textOf(uploaded.body, 'content_uri').replace(/.*\//, ''),
    filterId: '1',
    ruleId: '.m.rule.message',
    dataType: 'm.test',
  }
})
afterAll(() => server.stop())

/** A request with the signature of the other server. */
async function ask({ method, uri, body }: Probe): Promise<Reply> {
  const text = body === undefined || typeof body === 'string' ? body : new TextDecoder().decode(body)
  const target = { method, uri, destination: testServerName as ServerName }
  const response = await unwatchedFetch(`${server.url}${uri}`, {
    method,
    headers: {
      Authorization: authorizationHeader(other.signer, target, text === '' ? undefined : text),
      'Content-Type': 'application/json',
    },
    redirect: 'manual',
    signal: AbortSignal.timeout(30_000),
    ...(body === undefined ? {} : { body }),
  })
  const type = response.headers.get('Content-Type') ?? ''
  return { status: response.status, type, text: await response.text() }
}

describe('any input', () => {
  for (const route of routes) {
    it(`${route.method} ${route.path} answers as the specification says`, async () => {
      await fc.assert(
        fc.asyncProperty(fc.gen(), (g) => probe(g, route, world, ask)),
        { numRuns: runs, endOnFailure: true },
      )
    })
  }

  it('in an event with valid hashes and signatures is judged, and does the room no harm', async () => {
    const rules = rulesOf('11')
    const signed = (fields: JsonObject): JsonObject | undefined => {
      try {
        return other.sign(rules, fields).pdu
      } catch {
        return undefined
      }
    }
    const bob = other.user('bob')
    await fc.assert(
      fc.asyncProperty(fc.gen(), async (g) => {
        const answer = await other.make('leave', roomId, bob)
        const fields: JsonObject = { ...(answer.body['event'] as JsonObject) }
        fields['type'] = g(
          fc.constantFrom,
          'm.room.message',
          'm.room.member',
          'm.room.power_levels',
          'm.reaction',
        )
        delete fields['state_key']
        for (let change = 0; change < 3; change += 1) {
          const name = g(() =>
            fc.oneof(fc.constantFrom(...Object.keys(fields), 'state_key', 'redacts'), fieldName),
          )
          // Only one of the changes is to what rooms need to have it at all.
          if (change === 0 || name !== 'room_id') fields[name] = g(() => anyValue(world)) as JsonValue
        }
        const pdu = signed(fields)
        // What has no canonical form cannot be signed.
        if (!pdu) return
        const body = JSON.stringify({ origin: other.serverName, origin_server_ts: Date.now(), pdus: [pdu] })
        const reply = await ask({ method: 'PUT', uri: `${federation}/v1/send/${Math.random()}`, body })
        expect(fault(reply)).toBeUndefined()
        expect(reply.status).toBe(200)
      }),
      { numRuns: 20 * runs, endOnFailure: true },
    )
    // Members still talk to each other.
    const sent = await alice.send(roomId, { msgtype: 'm.text', body: 'still here' })
    expect((await alice.event(roomId, sent)).status).toBe(200)
  })
})
