// What of an event depends on who asks: on every endpoint that returns events.
// Specification: client-server API, "Room event format" (unsigned), "Room history visibility".

import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { isJsonObject, type JsonObject, type JsonValue, objectProperty } from '../../src/matrix/json.ts'
import { receive, remoteUser, rulesOf, sign, template } from '../support/remote-server.ts'
import { newClient, roomClient, type RoomClient } from '../support/room-client.ts'
import { startServer, type TestServer } from '../support/server.ts'
import { textOf } from '../support/text-of.ts'

let server: TestServer
let alice: RoomClient
let bob: RoomClient
beforeAll(async () => {
  server = await startServer()
  alice = await newClient(server, 'alice')
  bob = await newClient(server, 'bob')
})
afterAll(() => server.stop())

/** All events in an answer, wherever they stand, by their ids. Stripped state has no ids. */
function eventsIn(value: JsonValue | undefined, found: JsonObject[] = []): JsonObject[] {
  if (Array.isArray(value)) for (const part of value) eventsIn(part, found)
  else if (isJsonObject(value)) {
    if (typeof value['event_id'] === 'string' && typeof value['sender'] === 'string') found.push(value)
    for (const part of Object.values(value)) eventsIn(part, found)
  }
  return found
}

const unsigned = (event: JsonObject | undefined): JsonObject => objectProperty(event, 'unsigned') ?? {}

async function answer(client: RoomClient, method: string, path: string, body?: JsonObject) {
  const options = { token: client.token, ...(body ? { body } : {}) }
  const { status, body: told } = await server.request<JsonValue>(method, `/_matrix/client/${path}`, options)
  expect(status, `${method} ${path}: ${JSON.stringify(told)}`).toBe(200)
  return told
}

describe('MSC4115: unsigned.membership is what the reader was just after the event', () => {
  let roomId: string
  let room: string
  const ids: Record<string, string> = {}
  /** What bob was, by event. Alice was joined all the time but before her own join. */
  const bobWas = new Map<string, string>()
  let position: string
  let since: string
  beforeAll(async () => {
    roomId = await alice.createRoom({ preset: 'public_chat' })
    room = encodeURIComponent(roomId)
    const state = await answer(alice, 'GET', `v3/rooms/${room}/state`)
    for (const event of eventsIn(state)) bobWas.set(textOf(event, 'event_id'), 'leave')
    const note = (name: string, eventId: string, was: string) => {
      ids[name] = eventId
      bobWas.set(eventId, was)
    }
    const say = (body: string, more: JsonObject = {}) =>
      alice.send(roomId, { msgtype: 'm.text', body, ...more })
    note('before', await say('needle before'), 'leave')
    note('gone', await say('needle gone'), 'leave')
    await alice.act('invite', roomId, bob.userId)
    note(
      'invite',
      textOf(
        (await alice.inRoom('GET', roomId, `state/m.room.member/${bob.userId}?format=event`)).body,
        'event_id',
      ),
      'invite',
    )
    note('invited', await say('needle invited'), 'invite')
    await bob.join(roomId)
    note(
      'join',
      textOf(
        (await bob.inRoom('GET', roomId, `state/m.room.member/${bob.userId}?format=event`)).body,
        'event_id',
      ),
      'join',
    )
    since = textOf(await bob.done('GET', '/sync'), 'next_batch')
    const sliding = await answer(bob, 'POST', 'v4/sync', list)
    position = textOf(sliding as JsonObject, 'pos')
    note(
      'joined',
      await say(`needle for ${bob.userId}`, { 'm.mentions': { user_ids: [bob.userId] } }),
      'join',
    )
    note(
      'reply',
      await say('in thread', { 'm.relates_to': { rel_type: 'm.thread', event_id: ids['before'] ?? '' } }),
      'join',
    )
    note(
      'topic',
      textOf((await alice.setState(roomId, 'm.room.topic', { topic: 'x' })).body, 'event_id'),
      'join',
    )
    note('redaction', textOf((await alice.redact(roomId, ids['gone'] ?? '')).body, 'event_id'), 'join')
  })

  const list: JsonObject = {
    conn_id: 'c',
    lists: { all: { range: [0, 9], timeline_limit: 50, required_state: { include: [{}] } } },
  }
  const event = (name: string) => encodeURIComponent(ids[name] ?? '')

  it.each<[string, () => Promise<JsonValue>]>([
    ['/sync', () => answer(bob, 'GET', `v3/sync?filter=${filter({ timeline: { limit: 50 } })}`)],
    ['/sync on from a token', () => answer(bob, 'GET', `v3/sync?since=${since}`)],
    ['/sync of state alone', () => answer(bob, 'GET', `v3/sync?since=${since}&use_state_after=true`)],
    [
      '/sync with members as needed',
      () => answer(bob, 'GET', `v3/sync?filter=${filter({ state: { lazy_load_members: true } })}`),
    ],
    ['sliding sync', () => answer(bob, 'POST', 'v4/sync', { ...list, conn_id: 'other' })],
    ['sliding sync on from a position', () => answer(bob, 'POST', `v4/sync`, { ...list, pos: position })],
    ['/messages', () => answer(bob, 'GET', `v3/rooms/${room}/messages?dir=b&limit=50`)],
    [
      '/messages with members',
      () =>
        answer(
          bob,
          'GET',
          `v3/rooms/${room}/messages?dir=f&filter=${encodeURIComponent('{"lazy_load_members":true}')}`,
        ),
    ],
    ['/state', () => answer(bob, 'GET', `v3/rooms/${room}/state`)],
    [
      '/state of one slot',
      () => answer(bob, 'GET', `v3/rooms/${room}/state/m.room.name/?format=event`.replace('name', 'topic')),
    ],
    ['/members', () => answer(bob, 'GET', `v3/rooms/${room}/members`)],
    ['/context', () => answer(bob, 'GET', `v3/rooms/${room}/context/${event('invited')}?limit=50`)],
    ['/event', () => answer(bob, 'GET', `v3/rooms/${room}/event/${event('invited')}`)],
    ['/event of a redacted one', () => answer(bob, 'GET', `v3/rooms/${room}/event/${event('gone')}`)],
    ['/events/{eventId}', () => answer(bob, 'GET', `v3/events/${event('before')}`)],
    ['/relations', () => answer(bob, 'GET', `v1/rooms/${room}/relations/${event('before')}`)],
    ['/threads', () => answer(bob, 'GET', `v1/rooms/${room}/threads`)],
    ['/search', () => answer(bob, 'POST', 'v3/search', search)],
    ['/events', () => answer(bob, 'GET', `v3/events?from=${since}&timeout=0`)],
    ['/events of a room', () => answer(bob, 'GET', `v3/events?room_id=${room}&from=t1&timeout=0`)],
    ['/initialSync', () => answer(bob, 'GET', 'v3/initialSync?limit=50')],
    ['/initialSync of a room', () => answer(bob, 'GET', `v3/rooms/${room}/initialSync?limit=50`)],
    ['/notifications', () => answer(bob, 'GET', 'v3/notifications')],
  ])('in %s', async (_, ask) => {
    const events = eventsIn(await ask())
    expect(events.length).toBeGreaterThan(0)
    const told = events.map((one) => [one['type'], one['event_id'], unsigned(one)['membership']])
    const right = events.map((one) => [one['type'], one['event_id'], bobWas.get(textOf(one, 'event_id'))])
    expect(told).toEqual(right)
  })

  it('also of the redaction inside a redacted event', async () => {
    const redacted = (await answer(bob, 'GET', `v3/rooms/${room}/event/${event('gone')}`)) as JsonObject
    const because = objectProperty(unsigned(redacted), 'redacted_because')
    expect(because).toMatchObject({
      event_id: ids['redaction'],
      type: 'm.room.redaction',
      sender: alice.userId,
    })
    expect([unsigned(redacted)['membership'], unsigned(because)['membership']]).toEqual(['leave', 'join'])
    expect(unsigned(redacted)['age']).toEqual(expect.any(Number))
  })

  it('and not the same for somebody else', async () => {
    const page = await answer(alice, 'GET', `v3/rooms/${room}/messages?dir=b&limit=50`)
    const [create, ...others] = eventsIn(page).toReversed()
    expect(unsigned(create)['membership']).toBe('leave')
    expect(new Set(others.map((one) => unsigned(one)['membership']))).toEqual(new Set(['join']))
  })

  const search: JsonObject = {
    search_categories: {
      room_events: {
        search_term: 'needle',
        include_state: true,
        event_context: { before_limit: 3, after_limit: 3 },
      },
    },
  }
  const filter = (parts: JsonObject) => encodeURIComponent(JSON.stringify({ room: parts }))
})

describe('MSC4115: lazily loaded members that a server has in memory are those of other endpoints', () => {
  const visibility = (history_visibility: string) => ({
    type: 'm.room.history_visibility',
    content: { history_visibility },
  })
  const lazy = encodeURIComponent(JSON.stringify({ room: { state: { lazy_load_members: true } } }))
  const request: JsonObject = {
    lists: {
      all: { range: [0, 9], timeline_limit: 10, required_state: { lazy_members: true, include: [] } },
    },
  }
  const deployed: JsonObject = {
    conn_id: 'deployed',
    lists: { all: { ranges: [[0, 9]], timeline_limit: 10, required_state: [['m.room.member', '$LAZY']] } },
  }
  const deployedPath = 'unstable/org.matrix.simplified_msc3575/sync'
  // What is said now is told apart from what was said then by the time alone.
  const ageless = (event: JsonObject | undefined) => ({
    ...event,
    unsigned: { ...unsigned(event), age: 'some' },
  })

  it.each(['shared', 'joined', 'invited', 'world_readable'])('in a room with %s history', async (setting) => {
    const sender = await newClient(server, `sender-${setting}`)
    const roomId = await sender.createRoom({
      preset: 'public_chat',
      initial_state: [visibility(setting)],
    })
    const rename = (displayname: string) =>
      sender.done('PUT', `/profile/${encodeURIComponent(sender.userId)}/displayname`, { displayname })
    await rename('Changed once')
    const viewers: RoomClient[] = []
    for (const membership of ['invite', 'join', 'rejoin', 'never']) {
      const viewer = await newClient(server, `${membership}-${setting}`)
      viewers.push(viewer)
      if (membership === 'invite') await sender.act('invite', roomId, viewer.userId)
      if (membership === 'join' || membership === 'rejoin') await viewer.join(roomId)
      if (membership === 'rejoin') await viewer.leave(roomId)
    }
    await rename('Changed twice')
    for (const viewer of viewers) await viewer.join(roomId)
    const member = async (viewer: RoomClient) =>
      (await viewer.inRoom('GET', roomId, `state/m.room.member/${sender.userId}?format=event`)).body
    const was: JsonValue[] = []
    for (const viewer of [sender, ...viewers]) {
      const since = textOf(await viewer.done('GET', '/sync'), 'next_batch')
      const at = async (path: string, body: JsonObject) =>
        textOf((await answer(viewer, 'POST', path, body)) as JsonObject, 'pos')
      const [pos, old] = [await at('v4/sync', request), await at(deployedPath, deployed)]
      await sender.send(roomId, { msgtype: 'm.text', body: 'lazily' })
      const expected = await member(viewer)
      was.push(unsigned(expected)['membership'] ?? null)
      for (const synced of [
        await answer(viewer, 'GET', `v3/sync?since=${since}&filter=${lazy}`),
        await answer(viewer, 'GET', `v3/sync?since=${since}&filter=${lazy}&use_state_after=true`),
        await answer(viewer, 'POST', 'v4/sync', { ...request, pos }),
        await answer(viewer, 'POST', `${deployedPath}?pos=${old}`, deployed),
      ]) {
        const told = eventsIn(synced).filter(({ event_id: id }) => id === expected['event_id'])
        expect(told.map(ageless)).toEqual([{ ...ageless(expected), room_id: undefined }])
      }
    }
    expect(was).toEqual(['join', 'invite', 'join', 'leave', 'leave'])
  })
})

it('MSC4115: what happened on another branch of the room does not count', async () => {
  const carol = await newClient(server, 'carol')
  const roomId = await alice.createRoom({ preset: 'public_chat', room_version: '10' })
  const room = { roomId, room: await server.room(roomId), rules: rulesOf('10') } as Parameters<
    typeof template
  >[0]
  const eve = remoteUser('eve')
  const member = { type: 'm.room.member', sender: eve, state_key: eve, content: { membership: 'join' } }
  const joined = sign(room, await template(room, member))
  expect(await receive(room, joined.pdu)).toMatchObject([{ outcome: 'accepted' }])
  // Said before carol joined, and heard of afterwards.
  const said = sign(
    room,
    await template(room, { type: 'm.room.message', sender: eve, content: { msgtype: 'm.text', body: 'hi' } }),
  )
  await carol.join(roomId)
  expect(await receive(room, said.pdu)).toMatchObject([{ outcome: 'accepted' }])
  const { body } = await carol.event(roomId, said.eventId)
  expect(unsigned(body)['membership']).toBe('leave')
  expect(unsigned((await alice.event(roomId, said.eventId)).body)['membership']).toBe('join')
})

describe('what an event has replaced', () => {
  const visibility = (history_visibility: string) => ({
    type: 'm.room.history_visibility',
    state_key: '',
    content: { history_visibility },
  })
  const setTopic = async (roomId: string, topic: string) =>
    textOf((await alice.setState(roomId, 'm.room.topic', { topic })).body, 'event_id')

  it('is told by its id to everybody, and by its content to those who may see it', async () => {
    const dave = await newClient(server, 'dave')
    const roomId = await alice.createRoom({ initial_state: [visibility('invited')] })
    const first = await setTopic(roomId, 'before the invite')
    await alice.act('invite', roomId, dave.userId)
    const second = await setTopic(roomId, 'after the invite')
    await dave.join(roomId)
    const third = await setTopic(roomId, 'after the join')
    const hidden = unsigned((await dave.event(roomId, second)).body)
    expect(hidden['replaces_state']).toBe(first)
    expect(hidden).not.toHaveProperty('prev_content')
    expect(unsigned((await dave.event(roomId, third)).body)).toMatchObject({
      replaces_state: second,
      prev_content: { topic: 'after the invite' },
    })
    expect(unsigned((await alice.event(roomId, second)).body)).toMatchObject({
      replaces_state: first,
      prev_content: { topic: 'before the invite' },
    })
  })

  it('is told to members of what was there when they came, and to users of their own membership', async () => {
    const frank = await newClient(server, 'frank')
    const roomId = await alice.createRoom({ initial_state: [visibility('joined')] })
    await setTopic(roomId, 'long ago')
    await alice.act('invite', roomId, frank.userId, { reason: 'come' })
    await frank.join(roomId)
    const topic = await setTopic(roomId, 'now')
    expect(unsigned((await frank.event(roomId, topic)).body)['prev_content']).toEqual({ topic: 'long ago' })
    const own = await frank.inRoom('GET', roomId, `state/m.room.member/${frank.userId}?format=event`)
    expect(unsigned(own.body)['prev_content']).toMatchObject({ membership: 'invite', reason: 'come' })
  })
})

it('the transaction id is told to the device that sent the event alone, also in what it receives by sync', async () => {
  const roomId = await alice.createRoom()
  const login = await server.request('POST', '/_matrix/client/v3/login', {
    body: {
      type: 'm.login.password',
      identifier: { type: 'm.id.user', user: 'alice' },
      password: 'password of alice',
    },
  })
  const phone = roomClient(server, {
    userId: alice.userId,
    token: textOf(login.body, 'access_token'),
    deviceId: textOf(login.body, 'device_id'),
  })
  const since = textOf(await alice.done('GET', '/sync'), 'next_batch')
  const path = `/rooms/${encodeURIComponent(roomId)}/send/m.room.message/my-txn`
  const eventId = textOf(await alice.done('PUT', path, { msgtype: 'm.text', body: 'hi' }), 'event_id')
  for (const [client, expected] of [
    [alice, 'my-txn'],
    [phone, undefined],
  ] as const) {
    const synced = eventsIn(await client.done('GET', `/sync?since=${since}`))
    const found = [...synced, (await client.event(roomId, eventId)).body]
    const own = found.filter((event) => event['event_id'] === eventId)
    expect(own.map((event) => unsigned(event)['transaction_id'])).toEqual([expected, expected])
  }
})
