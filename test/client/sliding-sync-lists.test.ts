import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { JsonObject, JsonValue } from '../../src/matrix/json.ts'
import { newClient, refusal } from '../support/room-client.ts'
import { startServer, type TestServer } from '../support/server.ts'
import { allRooms, type SlidingAnswer, slidingClient, texts } from '../support/sliding-client.ts'

let server: TestServer
let n = 0
beforeAll(async () => {
  server = await startServer({ vars: { ROOMS_PER_SYNC: '4' } })
})
afterAll(() => server.stop())

async function person() {
  n += 1
  const client = await newClient(server, `user${n}`)
  return { ...client, ...slidingClient(server, client) }
}
type Person = Awaited<ReturnType<typeof person>>

const say = (client: Person, roomId: string, body: string) => client.send(roomId, { msgtype: 'm.text', body })

const names = ({ rooms }: SlidingAnswer): string[] =>
  Object.values(rooms)
    .map(({ name }) => name ?? '')
    .toSorted()

function list(options: Record<string, JsonValue> = {}, name = 'list'): JsonObject {
  return { lists: { [name]: { ranges: [[0, 99]], timeline_limit: 1, required_state: [], ...options } } }
}

describe('a list', () => {
  it('is ordered by activity, and its range goes with it', async () => {
    const alice = await person()
    const [a, b, c] = [
      await alice.createRoom({ name: 'a' }),
      await alice.createRoom({ name: 'b' }),
      await alice.createRoom({ name: 'c' }),
    ]
    await say(alice, a, 'up')
    const top = list({ ranges: [[0, 0]] })
    const first = await alice.sync(top)
    expect(first.lists).toEqual({ list: { count: 3 } })
    expect(Object.keys(first.rooms)).toEqual([a])
    // State events are activity, though nothing was said.
    await alice.setState(b, 'm.room.topic', { topic: 'up' })
    const second = await alice.sync(top, { pos: first.pos })
    expect(Object.keys(second.rooms)).toEqual([b])
    const rest = await alice.sync(list({ ranges: [[0, 99]] }), { pos: second.pos })
    expect(Object.keys(rest.rooms)).toEqual([c])
    expect(rest.rooms[c]).toMatchObject({ initial: true })
    const stamp = (answer: SlidingAnswer, roomId: string) => answer.rooms[roomId]?.bump_stamp ?? 0
    expect(stamp(first, a)).toBeGreaterThan(stamp(second, b))
    expect(stamp(rest, c)).toBeGreaterThan(stamp(second, b))
  })

  it('tells a room that fell out of its range what was missed when it comes back', async () => {
    const [alice, bob] = [await person(), await person()]
    const rooms = [
      await alice.createRoom({ preset: 'public_chat' }),
      await alice.createRoom({ preset: 'public_chat' }),
    ]
    const [a = '', b = ''] = rooms
    for (const roomId of rooms) await bob.join(roomId)
    const all = await bob.sync(list({ timeline_limit: 10 }))
    await say(alice, a, 'missed')
    await say(alice, b, 'seen')
    const narrow = await bob.sync(list({ ranges: [[0, 0]], timeline_limit: 10 }), { pos: all.pos })
    expect(Object.keys(narrow.rooms)).toEqual([b])
    await say(alice, b, 'seen too')
    const still = await bob.sync(list({ ranges: [[0, 0]], timeline_limit: 10 }), { pos: narrow.pos })
    expect(texts(still.rooms[b])).toEqual(['seen too'])
    const wide = await bob.sync(list({ timeline_limit: 10 }), { pos: still.pos })
    expect(Object.keys(wide.rooms)).toEqual([a])
    expect(texts(wide.rooms[a])).toEqual(['missed'])
    // They are known to the client, but did not just happen.
    expect(wide.rooms[a]).toMatchObject({ num_live: 0, limited: false })
    expect(wide.rooms[a]).not.toHaveProperty('initial')
  })

  it('of more rooms than one answer can ask goes on over several, each room once', async () => {
    const alice = await person()
    for (let i = 0; i < 10; i += 1) await alice.createRoom({ name: `${i}` })
    const told: string[] = []
    let answer = await alice.sync(list())
    for (let i = 0; i < 5 && Object.keys(answer.rooms).length > 0; i += 1) {
      expect(answer.lists).toEqual({ list: { count: 10 } })
      expect(Object.keys(answer.rooms).length).toBeLessThanOrEqual(4)
      told.push(...names(answer))
      answer = await alice.sync(list(), { pos: answer.pos, timeout: 100 })
    }
    expect(told.toSorted()).toEqual(Array.from({ length: 10 }, (_, i) => `${i}`))
  })
})

describe('filters', () => {
  it('choose by direct chats, encryption, invites and types, as they are now', async () => {
    const [alice, bob] = [await person(), await person()]
    const direct = await alice.createRoom({ name: 'direct' })
    const secret = await alice.createRoom({ name: 'secret' })
    await alice.createRoom({ name: 'space', creation_content: { type: 'm.space' } })
    await bob.createRoom({
      name: 'offered space',
      creation_content: { type: 'm.space' },
      invite: [alice.userId],
    })
    await alice.done('PUT', `/user/${alice.userId}/account_data/m.direct`, { [bob.userId]: [direct] })
    await alice.setState(secret, 'm.room.encryption', { algorithm: 'm.megolm.v1.aes-sha2' })
    let i = 0
    const count = async (filters: JsonObject) => {
      i += 1
      const answer = await alice.sync({ ...list({ filters, ranges: [[0, 3]] }), conn_id: `c${i}` })
      return { count: answer.lists['list']?.count, names: names(answer) }
    }
    expect(await count({ is_dm: true })).toEqual({ count: 1, names: ['direct'] })
    expect(await count({ is_dm: false, is_invite: false })).toEqual({ count: 2, names: ['secret', 'space'] })
    expect(await count({ is_encrypted: true })).toEqual({ count: 1, names: ['secret'] })
    expect(await count({ is_encrypted: false, is_invite: false })).toEqual({
      count: 2,
      names: ['direct', 'space'],
    })
    expect(await count({ is_invite: true })).toMatchObject({ count: 1 })
    expect(await count({ room_types: ['m.space'] })).toMatchObject({ count: 2 })
    expect(await count({ room_types: [null] })).toEqual({ count: 2, names: ['direct', 'secret'] })
    expect(await count({ not_room_types: ['m.space'] })).toMatchObject({ count: 2 })
    expect(await count({ room_types: ['m.space'], not_room_types: ['m.space'] })).toMatchObject({ count: 0 })
    await alice.done('PUT', `/user/${alice.userId}/account_data/m.direct`, {})
    expect(await count({ is_dm: true })).toMatchObject({ count: 0 })
  })

  it('choose by tags, of which those not wanted win', async () => {
    const alice = await person()
    const both = await alice.createRoom({ name: 'both' })
    const favourite = await alice.createRoom({ name: 'favourite' })
    await alice.createRoom({ name: 'none' })
    const tag = (roomId: string, name: string) =>
      alice.done('PUT', `/user/${alice.userId}/rooms/${roomId}/tags/${name}`, {})
    await tag(favourite, 'm.favourite')
    await tag(both, 'm.favourite')
    await tag(both, 'm.lowpriority')
    const chosen = async (filters: JsonObject) => names(await alice.sync(list({ filters })))
    expect(await chosen({ tags: ['m.favourite'] })).toEqual(['both', 'favourite'])
    expect(await chosen({ tags: ['m.favourite'], not_tags: ['m.lowpriority'] })).toEqual(['favourite'])
    expect(await chosen({ not_tags: ['m.favourite'] })).toEqual(['none'])
  })

  it('choose the children of spaces that the user has joined, not of others', async () => {
    const [alice, bob] = [await person(), await person()]
    const child = await alice.createRoom({ name: 'child' })
    const later = await alice.createRoom({ name: 'later' })
    await alice.createRoom({ name: 'apart' })
    const space = await alice.createRoom({ name: 'space', creation_content: { type: 'm.space' } })
    const foreign = await bob.createRoom({ name: 'foreign', creation_content: { type: 'm.space' } })
    await alice.setState(space, 'm.space.child', { via: ['test.local'] }, child)
    await bob.setState(foreign, 'm.space.child', { via: ['test.local'] }, later)
    const filters = { spaces: [space, foreign] }
    const first = await alice.sync(list({ filters }))
    expect(names(first)).toEqual(['child'])
    await alice.setState(space, 'm.space.child', { via: ['test.local'] }, later)
    const second = await alice.sync(list({ filters }), { pos: first.pos })
    expect(names(second)).toEqual(['later'])
    await alice.setState(space, 'm.space.child', {}, child)
    expect((await alice.sync(list({ filters }), { pos: second.pos })).lists).toEqual({ list: { count: 1 } })
  })

  it('let a room in as soon as it fits', async () => {
    const alice = await person()
    const roomId = await alice.createRoom({ name: 'room' })
    const encrypted = list({ filters: { is_encrypted: true } })
    const first = await alice.sync(encrypted)
    expect(first.rooms).toEqual({})
    const waiting = alice.sync(encrypted, { pos: first.pos, timeout: 20_000 })
    await new Promise((resolve) => setTimeout(resolve, 200))
    await alice.setState(roomId, 'm.room.encryption', { algorithm: 'm.megolm.v1.aes-sha2' })
    expect(names(await waiting)).toEqual(['room'])
  })
})

describe('a room of which more is asked than before', () => {
  it('is told at once with the timeline that its new limit takes, marked as such', async () => {
    const alice = await person()
    const roomId = await alice.createRoom({ name: 'room' })
    for (const text of ['one', 'two', 'three']) await say(alice, roomId, text)
    const first = await alice.sync(list({ timeline_limit: 1 }))
    expect(texts(first.rooms[roomId])).toEqual(['three'])
    const more = await alice.sync(list({ timeline_limit: 3 }), { pos: first.pos, timeout: 20_000 })
    expect(texts(more.rooms[roomId])).toEqual(['one', 'two', 'three'])
    expect(more.rooms[roomId]).toMatchObject({ unstable_expanded_timeline: true, num_live: 0, limited: true })
    expect(more.rooms[roomId]).not.toHaveProperty('initial')
    await say(alice, roomId, 'four')
    const next = await alice.sync(list({ timeline_limit: 3 }), { pos: more.pos })
    expect(texts(next.rooms[roomId])).toEqual(['four'])
    expect(next.rooms[roomId]).not.toHaveProperty('unstable_expanded_timeline')
  })

  it('is told nothing where the client has that much already', async () => {
    const alice = await person()
    const roomId = await alice.createRoom({ name: 'room' })
    for (const text of ['one', 'two', 'three']) await say(alice, roomId, text)
    const first = await alice.sync(list({ timeline_limit: 3 }))
    const less = await alice.sync(list({ timeline_limit: 1 }), { pos: first.pos })
    expect(less.rooms).toEqual({})
    expect((await alice.sync(list({ timeline_limit: 3 }), { pos: less.pos })).rooms).toEqual({})
  })

  it('is told the state that is new to it, also where that did not change', async () => {
    const alice = await person()
    const roomId = await alice.createRoom({ name: 'room', topic: 'topic' })
    const first = await alice.sync(list({ required_state: [['m.room.create', '']] }))
    const both = list({
      required_state: [
        ['m.room.create', ''],
        ['m.room.topic', ''],
      ],
    })
    const second = await alice.sync(both, { pos: first.pos, timeout: 20_000 })
    expect(second.rooms[roomId]?.required_state?.map(({ type }) => type)).toEqual(['m.room.topic'])
    expect(second.rooms[roomId]).not.toHaveProperty('timeline')
    expect((await alice.sync(both, { pos: second.pos })).rooms).toEqual({})
  })

  it('by a subscription beside a list gets the superset of both', async () => {
    const alice = await person()
    const roomId = await alice.createRoom({ name: 'room', topic: 'topic' })
    const other = await alice.createRoom({ name: 'other', topic: 'topic' })
    const first = await alice.sync(list({ required_state: [['m.room.create', '']] }))
    const wish = {
      ...list({ required_state: [['m.room.create', '']] }),
      room_subscriptions: { [roomId]: { timeline_limit: 20, required_state: [['m.room.topic', '']] } },
    }
    const answer = await alice.sync(wish, { pos: first.pos })
    expect(Object.keys(answer.rooms)).toEqual([roomId])
    expect(answer.rooms[roomId]?.required_state?.map(({ type }) => type)).toEqual(['m.room.topic'])
    expect(answer.rooms[roomId]?.timeline?.length).toBeGreaterThan(1)
    await say(alice, other, 'news')
    await alice.setState(roomId, 'm.room.topic', { topic: 'changed' })
    const next = await alice.sync(wish, { pos: answer.pos })
    expect(Object.keys(next.rooms).toSorted()).toEqual([roomId, other].toSorted())
    expect(next.rooms[roomId]?.required_state?.map(({ content }) => content)).toEqual([{ topic: 'changed' }])
  })
})

describe('a subscription', () => {
  it('tells a room that is in no list, and nothing of rooms the user has nothing to do with', async () => {
    const [alice, bob] = [await person(), await person()]
    const mine = await alice.createRoom({ name: 'mine' })
    const theirs = await bob.createRoom({ name: 'theirs', preset: 'public_chat' })
    const config = { timeline_limit: 1, required_state: [] }
    const answer = await alice.sync({
      room_subscriptions: {
        [mine]: config,
        [theirs]: config,
        '!unknown:test.local': config,
        nonsense: config,
      },
    })
    expect(names(answer)).toEqual(['mine'])
    expect(answer.lists).toEqual({})
  })
})

describe('required state', () => {
  it('takes wildcards, the user themselves, and members as the timeline needs them', async () => {
    const [alice, bob, carol] = [await person(), await person(), await person()]
    const roomId = await alice.createRoom({ name: 'room', preset: 'public_chat' })
    await bob.join(roomId)
    await carol.join(roomId)
    await say(bob, roomId, 'hello')
    let i = 0
    const keys = async (required: [string, string][]) => {
      i += 1
      const wish = { ...list({ required_state: required }), conn_id: `c${i}` }
      const state = (await alice.sync(wish)).rooms[roomId]?.required_state ?? []
      return state.map(({ type, state_key: key }) => `${type} ${key}`).toSorted()
    }
    const member = (user: Person) => `m.room.member ${user.userId}`
    expect(await keys([['m.room.member', '$ME']])).toEqual([member(alice)])
    expect(await keys([['m.room.member', '$LAZY']])).toEqual([member(bob)])
    expect(await keys([['m.room.member', '*']])).toEqual([alice, bob, carol].map(member).toSorted())
    const all = await keys([['*', '*']])
    expect(all).toEqual(expect.arrayContaining(['m.room.create ', 'm.room.name ', member(carol)]))
    const lazily = await keys([
      ['*', '*'],
      ['m.room.member', '$LAZY'],
      ['m.room.member', '$ME'],
    ])
    expect(lazily).toEqual(all.filter((key) => key !== member(carol)))
    expect(await keys([['*', '']])).toEqual(all.filter((key) => key.endsWith(' ')))
  })
})

describe('the accepted form', () => {
  it('has its own names for what it asks and answers', async () => {
    const [alice, bob] = [await person(), await person()]
    const roomId = await alice.createRoom({ name: 'room', topic: 'topic' })
    const offered = await bob.createRoom({ invite: [alice.userId] })
    for (const text of ['one', 'two']) await say(alice, roomId, text)
    const wish = (limit: number) => ({
      conn_id: 'main',
      lists: {
        main: {
          range: [0, 9],
          timeline_limit: limit,
          required_state: {
            include: [{}],
            exclude: [{ type: 'm.room.create', state_key: '' }],
            lazy_members: true,
          },
        },
      },
    })
    const first = await alice.syncAccepted(wish(1))
    expect(first.lists).toEqual({ main: { count: 2 } })
    expect(first.rooms[offered]).toMatchObject({ membership: 'invite', lists: ['main'], initial: true })
    expect(first.rooms[offered]?.stripped_state?.length).toBeGreaterThan(0)
    const room = first.rooms[roomId]
    expect(room).toMatchObject({ membership: 'join', lists: ['main'], initial: true })
    expect(room).not.toHaveProperty('notification_count')
    const types = room?.required_state?.map(({ type }) => type)
    expect(types).toContain('m.room.topic')
    expect(types).not.toContain('m.room.create')
    const more = await alice.syncAccepted({ ...wish(2), pos: first.pos, timeout: 20_000 })
    expect(texts(more.rooms[roomId])).toEqual(['one', 'two'])
    expect(more.rooms[roomId]).toMatchObject({ expanded_timeline: true })
    const dm = await alice.syncAccepted({
      lists: { a: { timeline_limit: 1, required_state: {}, filters: { is_invited: true } } },
    })
    expect(Object.keys(dm.rooms)).toEqual([offered])
  })

  it('refuses what it does not take, naming the field', async () => {
    const alice = await person()
    const invalid = refusal(400, 'M_INVALID_PARAM')
    expect(await alice.accepted({ set_presence: 'busy' })).toEqual(invalid)
    const config = { timeline_limit: 1, required_state: {} }
    expect(await alice.accepted({ lists: { 'not opaque': config } })).toEqual(invalid)
    const many = <T extends JsonValue>(key: (i: number) => string, value: T) =>
      Object.fromEntries(Array.from({ length: 101 }, (_, i) => [key(i), value]))
    expect(await alice.accepted({ lists: many((i) => `l${i}`, config) })).toEqual(invalid)
    expect(await alice.accepted({ room_subscriptions: many((i) => `!${i}:x`, config) })).toEqual(invalid)
    expect(await alice.accepted({ lists: { a: { required_state: {} } } })).toEqual(
      refusal(400, 'M_MISSING_PARAM'),
    )
    expect(await alice.accepted({ pos: 'nonsense' })).toEqual(refusal(400, 'M_UNKNOWN_POS'))
    const large = { timeline_limit: 1, required_state: { include: [{ type: 'x'.repeat(100_000) }] } }
    expect(await alice.accepted({ lists: { a: large } })).toEqual(refusal(413, 'M_TOO_LARGE'))
    for (const value of [[1], 'x', { timeline_limit: -1, required_state: [] }, { timeline_limit: 1.5 }]) {
      const answer = await alice.deployed({ lists: { a: value } })
      expect(answer.status).toBe(400)
      expect(answer.body.errcode).toMatch(/^M_(INVALID|MISSING)_PARAM$/)
    }
    expect((await alice.deployed(allRooms(), { timeout: 'long' })).body.errcode).toBe('M_INVALID_PARAM')
  })

  it('is told of to clients', async () => {
    const { body } = await server.request('GET', '/_matrix/client/versions')
    expect(body['unstable_features']).toMatchObject({ 'org.matrix.simplified_msc3575': true })
  })
})
