// Attack: doing in a room what one has no power to do, and seeing what one has no business to see.

import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type JsonObject, type JsonValue, objectProperty } from '../../src/matrix/json.ts'
import { askingServer, federation } from '../support/asking-server.ts'
import { newClient, refusal, type RoomClient } from '../support/room-client.ts'
import { startServer, type TestServer } from '../support/server.ts'
import { textOf } from '../support/text-of.ts'

let server: TestServer
let alice: RoomClient
let mallory: RoomClient
beforeAll(async () => {
  server = await startServer()
  alice = await newClient(server, 'alice')
  mallory = await newClient(server, 'mallory')
})
afterAll(() => server.stop())

const versions = ['6', '11', '12']

async function publicRoom(version = '12', options: JsonObject = {}): Promise<string> {
  return await alice.createRoom({ preset: 'public_chat', room_version: version, ...options })
}

/** Which events the state is, in one text. */
async function stateOf(roomId: string): Promise<string> {
  const { body } = await alice.inRoom('GET', roomId, 'state')
  return (body as unknown as { event_id: string }[]).map(({ event_id: eventId }) => eventId).join(' ')
}

describe.each(versions)('in a room of version %s, somebody without the power', (version) => {
  let roomId: string
  beforeAll(async () => {
    roomId = await publicRoom(version)
    await mallory.join(roomId)
  })

  const levels = (users: JsonObject) => ({ users, users_default: 0 })
  const refused: [string, () => [type: string, content: JsonObject, stateKey?: string]][] = [
    ['a name', () => ['m.room.name', { name: 'mine' }]],
    ['power for themselves', () => ['m.room.power_levels', levels({ [mallory.userId]: 100 })]],
    ['no power for anybody', () => ['m.room.power_levels', levels({})]],
    ['join rules', () => ['m.room.join_rules', { join_rule: 'invite' }]],
    ['the history visibility', () => ['m.room.history_visibility', { history_visibility: 'world_readable' }]],
    ['a tombstone', () => ['m.room.tombstone', { replacement_room: '!other:test.local', body: '' }]],
    ['the ACL', () => ['m.room.server_acl', { allow: [] }]],
    ['encryption', () => ['m.room.encryption', { algorithm: 'm.megolm.v1.aes-sha2' }]],
    ['a second create event', () => ['m.room.create', { room_version: version }]],
    ['a create event with another key', () => ['m.room.create', {}, 'x']],
    ['a ban', () => ['m.room.member', { membership: 'ban' }, alice.userId]],
    ['a removal', () => ['m.room.member', { membership: 'leave' }, alice.userId]],
    [
      'somebody else’s profile',
      () => ['m.room.member', { membership: 'join', displayname: 'x' }, alice.userId],
    ],
    ['state in another user’s name', () => ['org.example.state', {}, alice.userId]],
    ['state of an unknown type', () => ['org.example.state', { a: 1 }]],
  ]
  test.each(refused)('does not set %s', async (_, event) => {
    const before = await stateOf(roomId)
    const [type, content, stateKey] = event()
    const answer = await mallory.setState(roomId, type, content, stateKey)
    expect([400, 403]).toContain(answer.status)
    expect(answer.body['errcode']).toMatch(/^M_(FORBIDDEN|BAD_JSON|INVALID_PARAM|UNKNOWN)$/)
    expect(await stateOf(roomId)).toBe(before)
  })

  test('does not set it by sending it as a message', async () => {
    const before = await stateOf(roomId)
    for (const type of ['m.room.power_levels', 'm.room.create', 'm.room.member', 'm.room.join_rules']) {
      await mallory.inRoom('PUT', roomId, `send/${type}/as-message-${type}`, {
        users: { [mallory.userId]: 100 },
      })
    }
    expect(await stateOf(roomId)).toBe(before)
  })

  test('does not kick, ban, unban, or redact others’ messages', async () => {
    for (const action of ['kick', 'ban', 'unban']) {
      expect((await mallory.act(action, roomId, alice.userId)).status, action).toBe(403)
    }
    const eventId = await alice.send(roomId, { msgtype: 'm.text', body: 'stays' })
    expect(await mallory.redact(roomId, eventId)).toEqual(refusal(403, 'M_FORBIDDEN'))
    expect((await alice.event(roomId, eventId)).body).toMatchObject({ content: { body: 'stays' } })
  })

  test('does not upgrade it, nor publish it', async () => {
    expect((await mallory.inRoom('POST', roomId, 'upgrade', { new_version: '11' })).status).toBe(403)
    const path = `/directory/list/room/${encodeURIComponent(roomId)}`
    expect((await mallory.call('PUT', path, { visibility: 'public' })).status).toBe(403)
  })
})

test('nobody is made equal to the creators of a version 12 room, by themselves or by power levels', async () => {
  const roomId = await publicRoom('12')
  await mallory.join(roomId)
  expect(
    (await alice.setState(roomId, 'm.room.power_levels', { users: { [mallory.userId]: 100 } })).status,
  ).toBe(200)
  expect((await mallory.act('ban', roomId, alice.userId)).status).toBe(403)
  expect(
    (await mallory.setState(roomId, 'm.room.power_levels', { users: { [alice.userId]: 0 } })).status,
  ).toBe(400)
  const above = { users: { [mallory.userId]: Number.MAX_SAFE_INTEGER } }
  expect((await mallory.setState(roomId, 'm.room.power_levels', above)).status).toBe(403)
})

describe.each(versions)('a user banned from a room of version %s', (version) => {
  const refused = (roomId: string): Record<string, () => Promise<{ status: number }>> => ({
    'a join': () => mallory.join(roomId),
    'a join by its own path': () => mallory.inRoom('POST', roomId, 'join', {}),
    'a membership event': () =>
      mallory.setState(roomId, 'm.room.member', { membership: 'join' }, mallory.userId),
    'leaving first': async () => {
      await mallory.leave(roomId)
      return await mallory.join(roomId)
    },
    'forgetting first': async () => {
      await mallory.inRoom('POST', roomId, 'forget', {})
      return await mallory.join(roomId)
    },
    'a knock': () => mallory.knock(roomId),
    'an invite of their own': () => mallory.act('invite', roomId, mallory.userId),
    'an invite by somebody with power': () => alice.act('invite', roomId, mallory.userId),
    'an unban of their own': () => mallory.act('unban', roomId, mallory.userId),
  })

  test('does not come back', async () => {
    const roomId = await publicRoom(version)
    await mallory.join(roomId)
    await alice.act('ban', roomId, mallory.userId)
    for (const [way, attempt] of Object.entries(refused(roomId))) {
      expect((await attempt()).status, way).toBeGreaterThanOrEqual(400)
      expect(await alice.state(roomId, 'm.room.member', mallory.userId), way).toMatchObject({
        membership: 'ban',
      })
    }
    await alice.act('unban', roomId, mallory.userId)
    expect((await mallory.join(roomId)).status).toBe(200)
  })
})

test('a banned user does not enter by the rooms that a restricted room names', async () => {
  const door = await publicRoom('11')
  await mallory.join(door)
  const roomId = await alice.createRoom({
    room_version: '11',
    initial_state: [
      {
        type: 'm.room.join_rules',
        state_key: '',
        content: { join_rule: 'restricted', allow: [{ type: 'm.room_membership', room_id: door }] },
      },
    ],
  })
  await alice.act('ban', roomId, mallory.userId)
  expect(await mallory.join(roomId)).toEqual(refusal(403, 'M_FORBIDDEN'))
})

describe('the same transaction id', () => {
  test('sent twice makes one event', async () => {
    const roomId = await publicRoom()
    const send = () =>
      alice.inRoom('PUT', roomId, 'send/m.room.message/once', { msgtype: 'm.text', body: 'once' })
    const first = await send()
    expect((await send()).body).toEqual(first.body)
    expect(await bodiesIn(roomId)).toEqual(['once'])
  })

  test('sent twenty times at once makes one event', async () => {
    const roomId = await publicRoom()
    const send = () =>
      alice.inRoom('PUT', roomId, 'send/m.room.message/burst', { msgtype: 'm.text', body: 'burst' })
    const answers = await Promise.all(Array.from({ length: 20 }, send))
    expect(new Set(answers.map(({ body }) => body['event_id'])).size).toBe(1)
    expect(await bodiesIn(roomId)).toEqual(['burst'])
  })
})

async function bodiesIn(roomId: string): Promise<JsonValue[]> {
  const { body } = await alice.inRoom('GET', roomId, 'messages?dir=f&limit=500')
  return (body['chunk'] as JsonObject[]).flatMap(({ type, content }) =>
    type === 'm.room.message' ? [(content as JsonObject)['body'] ?? null] : [],
  )
}

test('identical createRoom calls at one time give as many version 12 rooms', async () => {
  const create = () => alice.call('POST', '/createRoom', { room_version: '12', name: 'twin' })
  const answers = await Promise.all(Array.from({ length: 20 }, create))
  expect(answers.every(({ status }) => status === 200)).toBe(true)
  expect(new Set(answers.map(({ body }) => body['room_id'])).size).toBe(20)
})

test('a hundred sends at one time lose nothing and fork nothing', async () => {
  const roomId = await publicRoom()
  await mallory.join(roomId)
  const send = (n: number) => (n % 2 ? alice : mallory).send(roomId, { msgtype: 'm.text', body: `${n}` })
  const ids = await Promise.all(Array.from({ length: 100 }, (_, n) => send(n)))
  expect(new Set(ids).size).toBe(100)
  const bodies = await bodiesIn(roomId)
  expect(new Set(bodies).size).toBe(100)
  expect(bodies).toHaveLength(100)
  // A line, not a graph: every event has one parent, and each another one.
  const remote = await askingServer(server, 'remote.test')
  await remote.join(roomId, remote.user('bob'))
  const last = await alice.send(roomId, { body: 'last' })
  const path = `${federation}/v1/backfill/${encodeURIComponent(roomId)}?v=${encodeURIComponent(last)}&limit=100`
  const { body } = await remote.ask<{ pdus: { prev_events: string[] }[] }>('GET', path)
  const parents = body.pdus.map(({ prev_events: prev }) => prev)
  expect(parents.every((prev) => prev.length === 1)).toBe(true)
  expect(new Set(parents.flat()).size).toBe(100)
})

const slidingSyncs = ['/../v4/sync', '/../unstable/org.matrix.simplified_msc3575/sync']

/** Everything that a sliding sync may ask of a room, by a list and by name. */
function slidingBody(roomId: string): JsonObject {
  const wanted = { required_state: [['*', '*']], timeline_limit: 50 }
  return {
    lists: { all: { ranges: [[0, 99]], ...wanted } },
    room_subscriptions: { [roomId]: wanted },
    extensions: Object.fromEntries(
      ['to_device', 'e2ee', 'account_data', 'receipts', 'typing'].map((name) => [name, { enabled: true }]),
    ),
  }
}

describe('events from after the end of a membership', () => {
  const endings: [string, (roomId: string) => Promise<unknown>][] = [
    ['leaving', (roomId) => mallory.leave(roomId)],
    ['being kicked', (roomId) => alice.act('kick', roomId, mallory.userId)],
    ['being banned', (roomId) => alice.act('ban', roomId, mallory.userId)],
  ]

  test.each(endings)('are not seen after %s', async (_, end) => {
    // Shared history is seen by members of any time, but of their own time only once they are out.
    const roomId = await alice.createRoom({ preset: 'public_chat' })
    await mallory.join(roomId)
    const first = await mallory.done('GET', '/sync')
    const since = textOf(first, 'next_batch')
    const before = await alice.send(roomId, { msgtype: 'm.text', body: 'for all' })
    await end(roomId)
    const secret = await alice.send(roomId, { msgtype: 'm.text', body: 'secret' })
    await alice.setState(roomId, 'm.room.topic', { topic: 'secret' })

    const seen: string[] = []
    const look = async (path: string) => seen.push(JSON.stringify((await mallory.call('GET', path)).body))
    await look(`/sync?since=${since}`)
    await look('/sync')
    await look(`/sync?filter=${encodeURIComponent('{"room":{"include_leave":true}}')}`)
    await look(`/sync?full_state=true&since=${since}`)
    const room = `/rooms/${encodeURIComponent(roomId)}`
    await look(`${room}/messages?dir=b&limit=100`)
    await look(`${room}/messages?dir=f&limit=100`)
    await look(`${room}/messages?dir=f&from=${since}&limit=100`)
    await look(`${room}/event/${encodeURIComponent(secret)}`)
    await look(`${room}/context/${encodeURIComponent(secret)}`)
    await look(`${room}/context/${encodeURIComponent(before)}?limit=50`)
    await look(`${room}/state`)
    await look(`${room}/state/m.room.topic`)
    await look(`${room}/initialSync`)
    await look(`${room}/members`)
    await look(`/events?room_id=${encodeURIComponent(roomId)}&timeout=0`)
    await look('/initialSync')
    await look(`/../v1${room}/timestamp_to_event?ts=0&dir=f`)
    await look(`/../v1${room}/relations/${encodeURIComponent(before)}`)
    await look(`/../v1${room}/threads`)
    for (const form of slidingSyncs) {
      seen.push(JSON.stringify((await mallory.call('POST', form, slidingBody(roomId))).body))
    }
    const found = await mallory.call('POST', '/search', {
      search_categories: { room_events: { search_term: 'secret' } },
    })
    // What was asked for comes back in an answer; what was found does not.
    seen.push(JSON.stringify(found.body).replaceAll('"highlights":["secret"]', ''))
    expect(seen.filter((text) => text.includes('secret') || text.includes(secret))).toEqual([])
    // And the look was not at nothing.
    expect(seen.filter((text) => text.includes('for all')).length).toBeGreaterThan(2)
  })

  const everySync = async (since: string): Promise<string[]> => {
    const withLeft = `filter=${encodeURIComponent('{"room":{"include_leave":true}}')}`
    const queries = [
      '',
      withLeft,
      `since=${since}`,
      `since=${since}&full_state=true`,
      `${withLeft}&use_state_after=true`,
      `since=${since}&use_state_after=true`,
    ]
    const answers = await Promise.all(queries.map((query) => mallory.done('GET', `/sync?${query}`)))
    return answers.map((answer) => JSON.stringify(objectProperty(answer, 'rooms') ?? {}))
  }

  const neverJoined: [string, string, (roomId: string) => Promise<unknown>][] = [
    ['turning down an invite', 'invite', (roomId) => mallory.leave(roomId)],
    ['an invite that was taken back', 'invite', (roomId) => alice.act('kick', roomId, mallory.userId)],
    ['a ban that ended an invite', 'invite', (roomId) => alice.act('ban', roomId, mallory.userId)],
    ['a knock that was refused', 'knock', (roomId) => alice.act('kick', roomId, mallory.userId)],
  ]
  test.each(neverJoined)('do not come with the state after %s', async (_, offer, end) => {
    const roomId = await alice.createRoom({
      initial_state: [
        { type: 'm.room.join_rules', content: { join_rule: 'knock' } },
        { type: 'org.example.state', content: { value: 'secret' } },
      ],
    })
    const since = textOf(await mallory.done('GET', '/sync'), 'next_batch')
    await (offer === 'knock' ? mallory.knock(roomId) : alice.act('invite', roomId, mallory.userId))
    await end(roomId)
    const seen = await everySync(since)
    expect(seen.filter((text) => text.includes('secret'))).toEqual([])
    // That it is over is told all the same.
    const { leave } = JSON.parse(seen[1] ?? '') as {
      leave: Record<string, { timeline: { events: unknown[] } }>
    }
    expect(leave[roomId]?.timeline.events).toMatchObject([{ type: 'm.room.member' }])
  })

  test('do not come with the state when a ban follows later', async () => {
    const roomId = await publicRoom()
    await mallory.join(roomId)
    const since = textOf(await mallory.done('GET', '/sync'), 'next_batch')
    await alice.setState(roomId, 'm.room.topic', { topic: 'for all' })
    await mallory.leave(roomId)
    await alice.setState(roomId, 'm.room.topic', { topic: 'secret' })
    await alice.act('ban', roomId, mallory.userId)
    const seen = await everySync(since)
    expect(seen.filter((text) => text.includes('secret'))).toEqual([])
    expect(seen.every((text) => text.includes('"membership":"ban"'))).toBe(true)
    expect(seen[0]).toContain('for all')
  })

  test('are not counted', async () => {
    const roomId = await publicRoom()
    await mallory.join(roomId)
    const since = textOf(await mallory.done('GET', '/sync'), 'next_batch')
    await mallory.leave(roomId)
    const seen = await everySync(since)
    expect(seen.filter((text) => text.includes(roomId)).length).toBeGreaterThan(2)
    const left = seen.map((text) => (JSON.parse(text) as { leave?: Record<string, object> }).leave?.[roomId])
    expect(left.filter((room) => room !== undefined && 'summary' in room)).toEqual([])
  })

  test.each(endings)('do not come by a poll that was waiting during %s', async (_, end) => {
    const roomId = await alice.createRoom({ preset: 'public_chat' })
    await mallory.join(roomId)
    let since = textOf(await mallory.done('GET', '/sync'), 'next_batch')
    const seen: string[] = []
    const poll = (async () => {
      for (let n = 0; n < 3; n++) {
        const { body } = await mallory.call('GET', `/sync?timeout=1000&since=${since}`)
        seen.push(JSON.stringify(body))
        since = textOf(body, 'next_batch')
      }
    })()
    await end(roomId)
    await Promise.all(Array.from({ length: 20 }, (_, n) => alice.send(roomId, { body: `secret ${n}` })))
    await poll
    expect(seen.join('')).toContain(roomId)
    expect(seen.join('')).not.toContain('secret')
  })

  test.each(endings.flatMap(([name, end]) => slidingSyncs.map((form) => [name, form, end] as const)))(
    'do not come after %s by %s that was waiting, nor by the next',
    async (_, form, end) => {
      const roomId = await alice.createRoom({ preset: 'public_chat' })
      await mallory.join(roomId)
      const sync = async (query: string) =>
        await mallory.done('POST', `${form}?${query}`, slidingBody(roomId))
      const first = await sync('')
      expect(JSON.stringify(first)).toContain(roomId)
      const waiting = sync(`timeout=3000&pos=${textOf(first, 'pos')}`)
      await end(roomId)
      await alice.send(roomId, { body: 'secret' })
      await alice.setState(roomId, 'm.room.topic', { topic: 'secret' })
      const answers = [await waiting]
      for (let n = 0; n < 3; n++) {
        answers.push(await sync(`timeout=300&pos=${textOf(answers.at(-1) ?? {}, 'pos')}`))
      }
      expect(JSON.stringify(answers)).not.toContain('secret')
    },
  )

  test('are not read by those who never were in, nor is anything else', async () => {
    const roomId = await alice.createRoom({ name: 'secret' })
    const eventId = await alice.send(roomId, { msgtype: 'm.text', body: 'secret' })
    const reads = [
      'messages?dir=b',
      'state',
      'state/m.room.name',
      'members',
      'joined_members',
      'initialSync',
      'aliases',
      `event/${encodeURIComponent(eventId)}`,
      `context/${encodeURIComponent(eventId)}`,
    ]
    for (const read of reads) {
      const answer = await mallory.inRoom('GET', roomId, read)
      expect([403, 404], read).toContain(answer.status)
      expect(JSON.stringify(answer.body), read).not.toContain('secret')
    }
  })
})
