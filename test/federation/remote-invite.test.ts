// Inviting users of a server that is made up, and answers as no server should.

import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { countersignEvent } from '../../src/matrix/event-signature.ts'
import { isJsonObject, type JsonObject, objectProperty, property } from '../../src/matrix/json.ts'
import { checkedEvent } from '../../src/matrix/event-format.ts'
import { actingClient, registered } from '../support/acting-client.ts'
import { makeAuthority } from '../support/certificates.ts'
import { type FakeHomeserver, fakeKey, startFakeHomeserver } from '../support/fake-homeserver.ts'
import { type FederatedServer, startFederatedServer } from '../support/federated-server.ts'
import { rulesOf } from '../support/remote-server.ts'
import { newClient, refusal, type RoomClient } from '../support/room-client.ts'
import { textOf } from '../support/text-of.ts'

const authority = makeAuthority()
let server: FederatedServer
let remote: FakeHomeserver
let alice: RoomClient
let eve: string
beforeAll(async () => {
  server = await startFederatedServer(authority, 'hearth.test', { vars: registered('irc') })
  remote = await startFakeHomeserver(authority, 'remote.test')
  alice = await newClient(server, 'alice')
  eve = `@eve:${remote.serverName}`
})
afterAll(async () => {
  await remote.stop()
  await server.stop()
})

const rules = rulesOf('11')
const sign = (event: JsonObject, key = remote.key) =>
  countersignEvent(event, rules, remote.serverName, key.keyId, key.key)

type Version = 'v1' | 'v2'
interface Request {
  readonly path: string
  readonly body: JsonObject
}

/** Makes the other server answer invites to a room in some way. What it was asked is noted. */
function answerInvites(
  roomId: string,
  answer: (body: JsonObject, version: Version) => { readonly status?: number; readonly body: unknown },
): Request[] {
  const asked: Request[] = []
  for (const version of ['v1', 'v2'] as const) {
    const path = `/_matrix/federation/${version}/invite/${encodeURIComponent(roomId)}/*`
    remote.route(path, (request, response, text) => {
      const parsed: unknown = JSON.parse(text)
      const body = isJsonObject(parsed) ? parsed : {}
      asked.push({ path: request.url ?? '', body })
      const { status = 200, body: answered } = answer(body, version)
      response.writeHead(status).end(JSON.stringify(answered))
    })
  }
  return asked
}

const eventIn = (body: JsonObject): JsonObject => objectProperty(body, 'event') ?? {}
const membership = async (roomId: string) => (await alice.state(roomId, 'm.room.member', eve))?.['membership']

describe('an invite', () => {
  it('is sent with what the room is, and is in the room once it was signed', async () => {
    const roomId = await alice.createRoom({ room_version: '11', name: 'Club', topic: 'ours' })
    const asked = answerInvites(roomId, (body) => ({ body: { event: sign(eventIn(body)) } }))
    expect((await alice.act('invite', roomId, eve, { reason: 'come' })).status).toBe(200)
    expect(await alice.state(roomId, 'm.room.member', eve)).toEqual({ membership: 'invite', reason: 'come' })
    const [request] = asked
    expect(request?.body).toMatchObject({ room_version: '11' })
    const state = property(request?.body, 'invite_room_state')
    expect(Array.isArray(state) && state.every((event) => checkedEvent(event, rules).ok)).toBe(true)
    expect(state).toEqual(
      expect.arrayContaining(
        ['m.room.create', 'm.room.join_rules', 'm.room.name', 'm.room.topic', 'm.room.member'].map((type) =>
          expect.objectContaining({ type }),
        ),
      ),
    )
    // Asking for the same again makes no second invite.
    expect((await alice.act('invite', roomId, eve, { reason: 'come' })).status).toBe(200)
    expect(asked).toHaveLength(1)
  })

  it('has the time that an application service gives it', async () => {
    const bot = actingClient(server, 'irc')
    const roomId = await bot.createRoom({ room_version: '11' })
    const asked = answerInvites(roomId, (body) => ({ body: { event: sign(eventIn(body)) } }))
    const path = `state/m.room.member/${encodeURIComponent(eve)}?ts=1234567`
    const { status, body } = await bot.inRoom('PUT', roomId, path, { membership: 'invite' })
    expect(status).toBe(200)
    expect(eventIn(asked[0]?.body ?? {})).toMatchObject({ origin_server_ts: 1_234_567 })
    expect((await bot.event(roomId, textOf(body, 'event_id'))).body).toMatchObject({
      origin_server_ts: 1_234_567,
    })
  })

  it.each<[string, (event: JsonObject) => unknown]>([
    ['another event', (event) => sign({ ...event, origin_server_ts: 1 })],
    ['another membership', (event) => sign({ ...event, content: { membership: 'join' } })],
    ['another target', (event) => sign({ ...event, state_key: `@other:${remote.serverName}` })],
    ['no signature', (event) => event],
    ['a signature by a key of nobody', (event) => sign(event, fakeKey(remote.key.keyId))],
    ['a signature by an unknown key', (event) => sign(event, fakeKey('ed25519:unknown'))],
    ['nothing', () => undefined],
    ['a text', () => 'signed'],
  ])('is not in the room if %s comes back', async (_, back) => {
    const roomId = await alice.createRoom({ room_version: '11' })
    answerInvites(roomId, (body) => ({ body: { event: back(eventIn(body)) } }))
    expect(await alice.act('invite', roomId, eve)).toEqual(refusal(502, 'M_UNKNOWN'))
    expect(await membership(roomId)).toBeUndefined()
  })

  it('has the fields that were built here, whatever else comes back', async () => {
    const roomId = await alice.createRoom({ room_version: '11' })
    answerInvites(roomId, (body) => ({
      body: { event: { ...sign(eventIn(body)), unsigned: { a: 1 }, age: 1 } },
    }))
    expect((await alice.act('invite', roomId, eve)).status).toBe(200)
    const event = await alice.inRoom('GET', roomId, 'state')
    expect(JSON.stringify(event.body)).not.toContain('"a":1')
  })

  it('is judged again when it comes back', async () => {
    const roomId = await alice.createRoom({ room_version: '11' })
    let banned: Promise<unknown> = Promise.resolve()
    const path = `/_matrix/federation/v2/invite/${encodeURIComponent(roomId)}/*`
    remote.route(path, (_, response, text) => {
      // While the other server signs, its user is banned.
      banned = (async () => {
        await alice.act('ban', roomId, eve)
        const body: unknown = JSON.parse(text)
        response.end(JSON.stringify({ event: sign(eventIn(isJsonObject(body) ? body : {})) }))
      })()
    })
    expect(await alice.act('invite', roomId, eve)).toEqual(refusal(403, 'M_FORBIDDEN'))
    await banned
    expect(await membership(roomId)).toBe('ban')
  })

  it.each<[number, string, number, string]>([
    [403, 'M_FORBIDDEN', 403, 'M_FORBIDDEN'],
    [403, 'M_INVITE_BLOCKED', 403, 'M_INVITE_BLOCKED'],
    [400, 'M_INCOMPATIBLE_ROOM_VERSION', 400, 'M_INCOMPATIBLE_ROOM_VERSION'],
    [404, 'M_NOT_FOUND', 404, 'M_NOT_FOUND'],
    [400, 'M_INVALID_PARAM', 502, 'M_UNKNOWN'],
    [400, 'M_MISSING_PARAM', 502, 'M_UNKNOWN'],
    [500, 'M_UNKNOWN', 502, 'M_UNKNOWN'],
  ])('that is answered %i %s is answered %i %s here', async (status, errcode, told, as) => {
    const roomId = await alice.createRoom({ room_version: '11' })
    answerInvites(roomId, () => ({ status, body: { errcode, error: 'because' } }))
    expect(await alice.act('invite', roomId, eve)).toEqual(refusal(told, as))
    expect(await membership(roomId)).toBeUndefined()
  })

  it('is for members with the power for it', async () => {
    const roomId = await alice.createRoom({ room_version: '11' })
    const asked = answerInvites(roomId, (body) => ({ body: { event: sign(eventIn(body)) } }))
    const bob = await newClient(server, 'bob')
    expect(await bob.act('invite', roomId, eve)).toEqual(refusal(403, 'M_FORBIDDEN'))
    expect(asked).toEqual([])
  })
})

describe('a server of old', () => {
  it('is invited to a room of the first versions by the first version of the endpoint', async () => {
    const roomId = await alice.createRoom({ room_version: '1', name: 'Old' })
    const first = rulesOf('1')
    const asked = answerInvites(roomId, (body, version) =>
      version === 'v2'
        ? { status: 404, body: {} }
        : {
            body: [
              200,
              {
                event: countersignEvent(body, first, remote.serverName, remote.key.keyId, remote.key.key),
              },
            ],
          },
    )
    expect((await alice.act('invite', roomId, eve)).status).toBe(200)
    expect(await membership(roomId)).toBe('invite')
    expect(asked.map(({ path }) => path.split('/')[3])).toEqual(['v2', 'v1'])
    expect(objectProperty(asked[1]?.body, 'unsigned')).toMatchObject({
      invite_room_state: expect.arrayContaining([
        expect.objectContaining({ type: 'm.room.name' }),
      ]) as unknown,
    })
  })

  it('cannot be invited to a room of a later version', async () => {
    const roomId = await alice.createRoom({ room_version: '11' })
    const asked = answerInvites(roomId, () => ({ status: 404, body: {} }))
    expect(await alice.act('invite', roomId, eve)).toEqual(refusal(404, 'M_NOT_FOUND'))
    expect(asked).toHaveLength(1)
  })
})

describe('a new room', () => {
  it('is there although somebody could not be invited', async () => {
    const before = (await alice.done('GET', '/joined_rooms'))['joined_rooms'] as string[]
    const answer = await alice.call('POST', '/createRoom', { invite: ['@bob:gone.test:1'] })
    expect(answer).toEqual(refusal(502, 'M_CONNECTION_FAILED'))
    const after = (await alice.done('GET', '/joined_rooms'))['joined_rooms'] as string[]
    expect(after).toHaveLength(before.length + 1)
  })
})
