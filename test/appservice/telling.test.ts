// Events on their way to application services: who is sent which, in which form, in which order.
// Specification: application service API, "Registration", "Pushing events".

import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type JsonObject, type JsonValue, objectProperty, property } from '../../src/matrix/json.ts'
import { type AskingServer, askingServer, federation, type SignedEvent } from '../support/asking-server.ts'
import { rulesOf } from '../support/remote-server.ts'
import { startAppservice, type TestAppservice } from '../support/appservice.ts'
import { startServer, type Account, type TestServer } from '../support/server.ts'
import { textOf } from '../support/text-of.ts'

let bridge: TestAppservice
let logger: TestAppservice
let mute: TestAppservice
let archive: TestAppservice
let server: TestServer
let alice: Account
let bob: Account
let ann: Account
let ben: Account

beforeAll(async () => {
  bridge = await startAppservice('bridge')
  logger = await startAppservice('logger')
  mute = await startAppservice('mute')
  archive = await startAppservice('archive')
  server = await startServer({
    vars: {
      ...bridge.vars({ namespaces: { users: [{ exclusive: false, regex: '@bridge_.*' }] } }),
      ...logger.vars({
        namespaces: {
          aliases: [
            { exclusive: false, regex: '#_logger_.*' },
            { exclusive: false, regex: '#far_.*:other.test' },
          ],
        },
      }),
      ...archive.vars({ namespaces: { rooms: [{ exclusive: false, regex: '!' }] } }),
      // One that asks and is never told.
      ...mute.vars({ url: null, namespaces: { users: [{ exclusive: false, regex: '@.*' }] } }),
      DEFAULT_ROOM_VERSION: '12',
    },
  })
  alice = await server.register('alice')
  bob = await server.register('bob')
  ann = await server.register('bridge_ann')
  ben = await server.register('bridge_ben')
})
afterAll(async () => {
  await server.stop()
  for (const one of [bridge, logger, mute, archive]) await one.stop()
})

async function call(method: string, { token }: Account, path: string, body?: JsonValue): Promise<JsonObject> {
  const options = { token, ...(body === undefined ? {} : { body }) }
  const answer = await server.request(method, `/_matrix/client/v3${path}`, options)
  expect(answer.status, `${method} ${path}: ${JSON.stringify(answer.body)}`).toBe(200)
  return answer.body
}

async function makeRoom(creator: Account, options: JsonObject = {}): Promise<string> {
  return textOf(await call('POST', creator, '/createRoom', { preset: 'public_chat', ...options }), 'room_id')
}

let n = 0
async function say(sender: Account, roomId: string, body = 'hello'): Promise<string> {
  n += 1
  const path = `/rooms/${encodeURIComponent(roomId)}/send/m.room.message/${n}`
  return textOf(await call('PUT', sender, path, { msgtype: 'm.text', body }), 'event_id')
}

const enter = (who: Account, roomId: string) =>
  call('POST', who, `/rooms/${encodeURIComponent(roomId)}/join`, {})
const leave = (who: Account, roomId: string) =>
  call('POST', who, `/rooms/${encodeURIComponent(roomId)}/leave`, {})

const idsIn = (appservice: TestAppservice, roomId: string) =>
  appservice
    .events()
    .filter((event) => event['room_id'] === roomId)
    .map((event) => event['event_id'])

/** The event once an application service has it. */
const has = (appservice: TestAppservice, eventId: string): Promise<JsonObject> =>
  appservice.until(() => appservice.events().find((event) => event['event_id'] === eventId))

/** A room that the user eve of another server is in, with what that server can do there. */
async function roomWith(remote: AskingServer, creator: Account, options: JsonObject = {}) {
  const eve = remote.user('eve')
  const roomId = await makeRoom(creator, { room_version: '11', ...options })
  await remote.join(roomId, eve)
  const room = await server.room(roomId)
  return {
    roomId,
    room,
    /** An event of eve's. */
    event: async (fields: JsonObject): Promise<SignedEvent> => {
      const draft = await room.eventTemplate({ type: 'm.room.message', sender: eve, content: {} })
      const template: JsonObject = JSON.parse(draft)
      return remote.sign(rulesOf('11'), { ...template, ...fields })
    },
    push: async (...events: SignedEvent[]) => {
      n += 1
      const pdus = events.map(({ pdu }) => pdu)
      const body = { origin: remote.serverName, origin_server_ts: Date.now(), pdus }
      expect((await remote.ask('PUT', `${federation}/v1/send/t${n}`, body)).status).toBe(200)
    },
  }
}

describe('an application service is sent what happens', () => {
  it('in rooms that its users are in, from when they come until they go', async () => {
    const roomId = await makeRoom(alice)
    const before = await say(alice, roomId)
    await enter(ann, roomId)
    const during = await say(alice, roomId)
    await has(bridge, during)
    await enter(ben, roomId)
    await leave(ann, roomId)
    const still = await say(alice, roomId)
    await leave(ben, roomId)
    const after = await say(alice, roomId)
    await enter(ann, roomId)
    const back = await say(alice, roomId)
    await has(bridge, back)
    const got = idsIn(bridge, roomId)
    expect(got).toEqual([...new Set(got)])
    expect(got).toContain(still)
    expect(got).not.toContain(before)
    expect(got).not.toContain(after)
    // The last thing it is told before it is gone is that it goes.
    const members = bridge
      .events()
      .filter((event) => event['room_id'] === roomId && event['type'] === 'm.room.member')
    expect(
      members.map((event) => [event['state_key'], (event['content'] as JsonObject)['membership']]),
    ).toEqual([
      [ann.userId, 'join'],
      [ben.userId, 'join'],
      [ann.userId, 'leave'],
      [ben.userId, 'leave'],
      [ann.userId, 'join'],
    ])
  })

  it('to its users who are not in the room: invites with what they are shown, kicks and bans', async () => {
    const roomId = await makeRoom(alice, { preset: 'private_chat', name: 'Quiet' })
    const target = { user_id: ann.userId }
    await call('POST', alice, `/rooms/${roomId}/invite`, target)
    await say(alice, roomId)
    await call('POST', alice, `/rooms/${roomId}/kick`, { ...target, reason: 'no' })
    await say(alice, roomId)
    await call('POST', alice, `/rooms/${roomId}/ban`, target)
    await bridge.until(() => idsIn(bridge, roomId).length >= 3)
    await say(alice, roomId)
    const got = bridge.events().filter((event) => event['room_id'] === roomId)
    expect(got.map((event) => event['content'])).toMatchObject([
      { membership: 'invite' },
      { membership: 'leave', reason: 'no' },
      { membership: 'ban' },
    ])
    const shown = property(objectProperty(got[0], 'unsigned'), 'invite_room_state')
    expect(shown).toEqual(
      expect.arrayContaining([
        expect.objectContaining({ type: 'm.room.create' }),
        expect.objectContaining({ type: 'm.room.name', content: { name: 'Quiet' } }),
      ]),
    )
    expect(got[1]?.['unsigned']).toMatchObject({ prev_content: { membership: 'invite' } })
  })

  it('to its users who are invited to a room that has too much to show: the invites alone', async () => {
    const large = 'x'.repeat(50_000)
    const roomId = await makeRoom(alice, {
      preset: 'private_chat',
      creation_content: { large },
      initial_state: [
        { type: 'm.room.name', content: { name: 'Large', large } },
        { type: 'm.room.topic', content: { topic: 'Large', large } },
      ],
      invite: [ann.userId, ben.userId],
    })
    await bridge.until(() => idsIn(bridge, roomId).length >= 2)
    const got = bridge.events().filter((event) => event['room_id'] === roomId)
    expect(got.map((event) => event['state_key'])).toEqual([ann.userId, ben.userId])
    for (const event of got) expect(event['unsigned']).not.toHaveProperty('invite_room_state')
  })

  it('in rooms that an alias of its namespace leads to, as long as it does', async () => {
    const roomId = await makeRoom(alice)
    const path = `/directory/room/${encodeURIComponent('#_logger_one:test.local')}`
    const before = await say(alice, roomId)
    await call('PUT', alice, path, { room_id: roomId })
    const during = await say(alice, roomId)
    await has(logger, during)
    await call('DELETE', alice, path)
    const after = await say(alice, roomId)
    await call('PUT', alice, path, { room_id: roomId })
    const again = await say(alice, roomId)
    await has(logger, again)
    expect(idsIn(logger, roomId)).toEqual([during, again])
    expect(idsIn(logger, roomId)).not.toContain(before)
    expect(idsIn(logger, roomId)).not.toContain(after)
    await call('DELETE', alice, path)
  })

  it('in rooms that are made with such an alias, from the first event on', async () => {
    const roomId = await makeRoom(alice, { room_alias_name: '_logger_two' })
    await logger.until(() => idsIn(logger, roomId).length >= 6)
    const [create] = logger.events().filter((event) => event['room_id'] === roomId)
    // In the newest rooms the create event itself carries no room id: here it does.
    expect(create).toMatchObject({ type: 'm.room.create', room_id: roomId, sender: alice.userId })
  })

  it('in rooms whose ids are in its namespace, whoever is there', async () => {
    const roomId = await makeRoom(alice, { name: 'Nobody of theirs' })
    const said = await say(alice, roomId)
    const redacted = await call('PUT', alice, `/rooms/${roomId}/redact/${said}/r`, { reason: 'typo' })
    await has(archive, textOf(redacted, 'event_id'))
    const got = archive.events().filter((event) => event['room_id'] === roomId)
    expect(got[0]).toMatchObject({ type: 'm.room.create' })
    // Also at the top, where it was before room version 11.
    expect(got.at(-1)).toMatchObject({ type: 'm.room.redaction', redacts: said, content: { redacts: said } })
  })

  it('not in rooms that merely claim an alias of this server', async () => {
    const roomId = await makeRoom(alice)
    await enter(bob, roomId)
    const alias = '#_logger_three:test.local'
    const path = `/directory/room/${encodeURIComponent(alias)}`
    await call('PUT', bob, path, { room_id: roomId })
    await call('PUT', alice, `/rooms/${roomId}/state/m.room.canonical_alias`, { alias })
    await has(logger, await say(alice, roomId))
    // Who set the alias may take it away, but not what the room says of it.
    await call('DELETE', bob, path)
    const after = await say(alice, roomId)
    expect(await call('GET', alice, `/rooms/${roomId}/state/m.room.canonical_alias`)).toEqual({ alias })
    await has(logger, await say(bob, await makeRoom(bob, { room_alias_name: '_logger_three' })))
    expect(idsIn(logger, roomId)).not.toContain(after)
  })

  it('and nothing else: rooms without it never leak', async () => {
    const roomId = await makeRoom(alice)
    await enter(bob, roomId)
    await say(bob, roomId, 'secret')
    const probe = await makeRoom(ann, { room_alias_name: '_logger_probe' })
    const last = await say(ann, probe)
    for (const one of [bridge, logger]) {
      await has(one, last)
      expect(idsIn(one, roomId)).toEqual([])
      expect(JSON.stringify(one.requests)).not.toContain('secret')
    }
    expect(mute.requests).toEqual([])
  })

  it('not what is rejected, soft-failed, or shown to no client', async () => {
    const remote = await askingServer(server, 'remote.test')
    const eve = remote.user('eve')
    const { roomId, room, event, push } = await roomWith(remote, ann)
    const good = await event({ content: { body: 'good' } })
    const softFailed = await event({ content: { body: 'too late' } })
    await push(good)
    const forged = await event({ type: 'm.room.topic', state_key: '', content: { topic: 'mine' } })
    await push(forged)
    await call('POST', ann, `/rooms/${encodeURIComponent(roomId)}/ban`, { user_id: eve })
    await push(softFailed)
    n += 1
    const dummy = await call('PUT', ann, `/rooms/${roomId}/send/org.matrix.dummy_event/${n}`, {})
    await has(bridge, await say(ann, roomId))
    const got = idsIn(bridge, roomId)
    expect(got).toContain(good.eventId)
    for (const { eventId } of [forged, softFailed]) expect(got).not.toContain(eventId)
    expect(got).not.toContain(dummy['event_id'])
    // They are known here: they were left out on purpose.
    expect(await room.unknownEvents([forged.eventId, softFailed.eventId])).toEqual([])
  })

  it('in rooms that name an alias of another server in its namespace; aliases of this one prove themselves', async () => {
    const remote = await askingServer(server, 'other.test')
    const eve = remote.user('eve')
    const power = { users: { [alice.userId]: 100, [eve]: 100 } }
    const { roomId, event, push } = await roomWith(remote, alice, { power_level_content_override: power })
    const named = async (alias: string) => {
      const state = await event({ type: 'm.room.canonical_alias', state_key: '', content: { alias } })
      await push(state)
      return state.eventId
    }
    // Others could draw any room of theirs to the application service by it.
    const claimed = await named('#_logger_fake:test.local')
    const secret = await say(alice, roomId)
    const real = await named('#far_away:other.test')
    const during = await say(alice, roomId)
    await has(logger, during)
    const end = await named('#elsewhere:other.test')
    const after = await say(alice, roomId)
    await has(logger, await say(alice, await makeRoom(alice, { room_alias_name: '_logger_after' })))
    expect(idsIn(logger, roomId)).toEqual([real, during, end])
    for (const eventId of [claimed, secret, after]) expect(idsIn(logger, roomId)).not.toContain(eventId)
  })

  it('in rooms that follow others with their aliases', async () => {
    const old = await makeRoom(alice, { room_alias_name: '_logger_upgraded' })
    const upgraded = await call('POST', alice, `/rooms/${encodeURIComponent(old)}/upgrade`, {
      new_version: '12',
    })
    const replacement = textOf(upgraded, 'replacement_room')
    const there = await say(alice, replacement)
    await has(logger, there)
    const late = await call('PUT', alice, `/rooms/${encodeURIComponent(old)}/state/m.room.name`, {
      name: 'Old',
    })
    await has(logger, await say(alice, replacement))
    expect(idsIn(logger, old)).not.toContain(late['event_id'])
  })

  it('in the order in which it happened, each event once, with its age', async () => {
    const roomId = await makeRoom(ann)
    const sent: string[] = []
    for (let i = 0; i < 30; i += 1) sent.push(await say(i % 2 ? ann : ann, roomId, `${i}`))
    await has(bridge, sent.at(-1) ?? '')
    const got = bridge
      .events()
      .filter((event) => event['room_id'] === roomId && event['type'] === 'm.room.message')
    expect(got.map((event) => event['event_id'])).toEqual(sent)
    for (const event of got) {
      expect(event).toMatchObject({ sender: ann.userId, unsigned: { age: expect.any(Number) as number } })
    }
    expect(bridge.transactions().every(({ events }) => events.length <= 100)).toBe(true)
    const ids = bridge.transactions().map(({ txnId }) => txnId)
    expect(new Set(ids).size).toBe(ids.length)
  })

  it('by requests that carry its token, on the path of the specification', () => {
    const [first] = bridge.requests
    expect(first).toMatchObject({ method: 'PUT', headers: { authorization: `Bearer ${bridge.hsToken}` } })
    expect(first?.path).toMatch(/^\/_matrix\/app\/v1\/transactions\/[^/]+$/)
    expect(first?.query).toEqual({})
  })
})
