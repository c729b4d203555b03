import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { newClient, refusal } from '../support/room-client.ts'
import { startServer, type TestServer } from '../support/server.ts'
import { allRooms, slidingClient, texts } from '../support/sliding-client.ts'

let server: TestServer
let n = 0
beforeAll(async () => {
  server = await startServer()
})
afterAll(() => server.stop())

async function person() {
  n += 1
  const client = await newClient(server, `user${n}`)
  return { ...client, ...slidingClient(server, client) }
}

async function pair() {
  const [alice, bob] = [await person(), await person()]
  const roomId = await alice.createRoom({ preset: 'public_chat', name: 'Lobby' })
  await bob.join(roomId)
  return { alice, bob, roomId }
}

const say = (client: Awaited<ReturnType<typeof person>>, roomId: string, body: string) =>
  client.send(roomId, { msgtype: 'm.text', body })

describe('the first answer of a connection', () => {
  it('has the rooms of the range with name, members, timeline and the state asked for', async () => {
    const { alice, bob, roomId } = await pair()
    await say(alice, roomId, 'hello')
    const answer = await bob.sync(allRooms({ required_state: [['m.room.create', '']], timeline_limit: 2 }))
    expect(answer.lists).toEqual({ all: { count: 1 } })
    const room = answer.rooms[roomId]
    expect(room).toMatchObject({
      initial: true,
      name: 'Lobby',
      joined_count: 2,
      invited_count: 0,
      limited: true,
      num_live: 0,
      prev_batch: expect.any(String) as string,
      bump_stamp: expect.any(Number) as number,
    })
    expect(room?.timeline).toHaveLength(2)
    expect(texts(room)).toEqual(['hello'])
    expect(room?.required_state?.map(({ type }) => type)).toEqual(['m.room.create'])
  })

  it('names the heroes of a room that has no name', async () => {
    const [alice, bob] = [await person(), await person()]
    await bob.done('PUT', `/profile/${bob.userId}/displayname`, { displayname: 'Bob' })
    const roomId = await alice.createRoom({ invite: [bob.userId] })
    const { rooms } = await alice.sync(allRooms())
    expect(rooms[roomId]).not.toHaveProperty('name')
    expect(rooms[roomId]?.heroes).toEqual([{ user_id: bob.userId, displayname: 'Bob' }])
    expect(rooms[roomId]).toMatchObject({ joined_count: 1, invited_count: 1 })
  })

  it('repeats the transaction id of the request', async () => {
    const alice = await person()
    expect(await alice.sync({ txn_id: 'one' })).toMatchObject({ txn_id: 'one', rooms: {}, lists: {} })
  })
})

describe('answers that follow', () => {
  it('have only what is new, and say which events are live', async () => {
    const { alice, bob, roomId } = await pair()
    const { pos } = await bob.sync(allRooms())
    const quiet = await bob.sync(allRooms(), { pos })
    expect(quiet.rooms).toEqual({})
    expect(quiet.lists).toEqual({ all: { count: 1 } })
    await say(alice, roomId, 'one')
    await say(alice, roomId, 'two')
    const { rooms } = await bob.sync(allRooms(), { pos: quiet.pos })
    expect(texts(rooms[roomId])).toEqual(['one', 'two'])
    expect(rooms[roomId]).toMatchObject({ limited: false, num_live: 2 })
    expect(rooms[roomId]).not.toHaveProperty('initial')
    expect(rooms[roomId]).not.toHaveProperty('name')
    expect(rooms[roomId]).not.toHaveProperty('joined_count')
  })

  it('are limited where more is new than the timeline takes, and the token goes on in /messages', async () => {
    const { alice, bob, roomId } = await pair()
    const { pos } = await bob.sync(allRooms({ timeline_limit: 1 }))
    for (const text of ['one', 'two', 'three']) await say(alice, roomId, text)
    const answer = await bob.sync(allRooms({ timeline_limit: 1 }), { pos })
    const room = answer.rooms[roomId]
    expect(texts(room)).toEqual(['three'])
    expect(room).toMatchObject({ limited: true, num_live: 1 })
    const from = encodeURIComponent(room?.prev_batch ?? '')
    const before = await bob.done('GET', `/rooms/${roomId}/messages?dir=b&limit=2&from=${from}`)
    expect(before['chunk']).toMatchObject([{ content: { body: 'two' } }, { content: { body: 'one' } }])
    const end = await bob.done('GET', `/rooms/${roomId}/messages?dir=b&limit=1&from=${answer.pos}`)
    expect(end['chunk']).toMatchObject([{ content: { body: 'three' } }])
  })

  it('tell changes of the name, and who comes and goes', async () => {
    const { alice, bob, roomId } = await pair()
    const { pos } = await bob.sync(allRooms())
    await alice.setState(roomId, 'm.room.name', { name: 'Hall' })
    const named = await bob.sync(allRooms(), { pos })
    expect(named.rooms[roomId]).toMatchObject({ name: 'Hall' })
    const carol = await person()
    await carol.join(roomId)
    const joined = await bob.sync(allRooms(), { pos: named.pos })
    expect(joined.rooms[roomId]).toMatchObject({ joined_count: 3 })
    await alice.setState(roomId, 'm.room.name', {})
    const unnamed = await bob.sync(allRooms(), { pos: joined.pos })
    expect(unnamed.rooms[roomId]?.name).toBeNull()
    expect(unnamed.rooms[roomId]?.heroes?.map(({ user_id: id }) => id).toSorted()).toEqual(
      [alice.userId, carol.userId].toSorted(),
    )
  })

  it('come while the client waits, at once and once', async () => {
    const { alice, bob, roomId } = await pair()
    const { pos } = await bob.sync(allRooms())
    const waiting = bob.sync(allRooms(), { pos, timeout: 20_000 })
    await sleep(200)
    await say(alice, roomId, 'wake up')
    const answer = await waiting
    expect(texts(answer.rooms[roomId])).toEqual(['wake up'])
    expect((await bob.sync(allRooms(), { pos: answer.pos })).rooms).toEqual({})
  })

  it('come with the counts of the lists when the time is up', async () => {
    const { bob } = await pair()
    const { pos } = await bob.sync(allRooms())
    const answer = await bob.sync(allRooms(), { pos, timeout: 300 })
    expect(answer).toMatchObject({ rooms: {}, lists: { all: { count: 1 } } })
    expect((await bob.sync(allRooms(), { pos: answer.pos })).rooms).toEqual({})
  })

  it('wake a request that is too large to be kept with its socket', async () => {
    const { alice, bob, roomId } = await pair()
    const required = Array.from({ length: 300 }, (_, i) => ['org.example.type', `key ${i}`])
    const large = allRooms({ required_state: required })
    const { pos } = await bob.sync(large)
    const waiting = bob.sync(large, { pos, timeout: 20_000 })
    await sleep(200)
    await say(alice, roomId, 'wake up')
    expect(texts((await waiting).rooms[roomId])).toEqual(['wake up'])
  })

  it('end when the device is logged out, and a device of the same name knows nothing of them', async () => {
    const { bob } = await pair()
    const { pos } = await bob.sync(allRooms())
    const waiting = bob.deployed(allRooms(), { pos, timeout: 20_000 })
    await sleep(200)
    await bob.done('POST', '/logout', {})
    expect(await waiting).toEqual(refusal(401, 'M_UNKNOWN_TOKEN'))
    const login = await server.request<Record<string, string>>('POST', '/_matrix/client/v3/login', {
      body: {
        type: 'm.login.password',
        identifier: { type: 'm.id.user', user: bob.userId },
        password: `password of ${bob.userId.slice(1, bob.userId.indexOf(':'))}`,
        device_id: bob.deviceId,
      },
    })
    const again = slidingClient(server, { token: login.body['access_token'] ?? '' })
    expect(await again.deployed(allRooms(), { pos })).toEqual(refusal(400, 'M_UNKNOWN_POS'))
  })

  it('do not have what ignored users say, nor does it wake the client', async () => {
    const { alice, bob, roomId } = await pair()
    await bob.done('PUT', `/user/${bob.userId}/account_data/m.ignored_user_list`, {
      ignored_users: { [alice.userId]: {} },
    })
    const { pos } = await bob.sync(allRooms())
    const waiting = bob.sync(allRooms(), { pos, timeout: 1200 })
    await sleep(200)
    await say(alice, roomId, 'not for you')
    const answer = await waiting
    expect(answer.rooms).toEqual({})
    await alice.setState(roomId, 'm.room.topic', { topic: 'for all' })
    const { rooms } = await bob.sync(allRooms(), { pos: answer.pos })
    expect(rooms[roomId]?.timeline?.map(({ type }) => type)).toEqual(['m.room.topic'])
  })
})

describe('a position', () => {
  it('is answered again when the answer was lost', async () => {
    const { alice, bob, roomId } = await pair()
    const first = await bob.sync(allRooms())
    await say(alice, roomId, 'one')
    const lost = await bob.sync(allRooms(), { pos: first.pos })
    await say(alice, roomId, 'two')
    const again = await bob.sync(allRooms(), { pos: first.pos })
    expect(texts(lost.rooms[roomId])).toEqual(['one'])
    expect(texts(again.rooms[roomId])).toEqual(['one', 'two'])
    expect((await bob.sync(allRooms(), { pos: again.pos })).rooms).toEqual({})
  })

  it('is answered again when a lost answer had rooms that were new to the client', async () => {
    const { alice, bob } = await pair()
    const { pos } = await bob.sync(allRooms())
    const roomId = await alice.createRoom({ preset: 'public_chat' })
    await bob.join(roomId)
    const lost = await bob.sync(allRooms(), { pos })
    expect(lost.rooms[roomId]).toMatchObject({ initial: true })
    const again = await bob.sync(allRooms(), { pos })
    expect(again.rooms[roomId]).toMatchObject({ initial: true })
    expect((await bob.sync(allRooms(), { pos: again.pos })).rooms).toEqual({})
  })

  it('is unknown to other users, devices and connections, and when it was made up', async () => {
    const { alice, bob } = await pair()
    const unknown = refusal(400, 'M_UNKNOWN_POS')
    const { pos } = await bob.sync({ ...allRooms(), conn_id: 'main' })
    expect(await bob.deployed({ ...allRooms(), conn_id: 'main' }, { pos })).toMatchObject({ status: 200 })
    expect(await bob.deployed({ ...allRooms(), conn_id: 'other' }, { pos })).toEqual(unknown)
    expect(await alice.deployed({ ...allRooms(), conn_id: 'main' }, { pos })).toEqual(unknown)
    expect(await bob.deployed({ ...allRooms(), conn_id: 'main' }, { pos: 'c1_2_3' })).toEqual(unknown)
    expect(await bob.deployed({ ...allRooms(), conn_id: 'main' }, { pos: 'c1_2_3', timeout: 5000 })).toEqual(
      unknown,
    )
    expect(await bob.deployed({ ...allRooms(), conn_id: 'main' }, { pos: 'nonsense' })).toEqual(unknown)
    const login = await server.request<Record<string, string>>('POST', '/_matrix/client/v3/login', {
      body: {
        type: 'm.login.password',
        identifier: { type: 'm.id.user', user: bob.userId },
        password: `password of ${bob.userId.slice(1, bob.userId.indexOf(':'))}`,
      },
    })
    const phone = slidingClient(server, { token: login.body['access_token'] ?? '' })
    expect(await phone.deployed({ ...allRooms(), conn_id: 'main' }, { pos })).toEqual(unknown)
  })

  it('is unknown after the connection began anew, and after the device has begun many others', async () => {
    const { bob } = await pair()
    const { pos } = await bob.sync({ ...allRooms(), conn_id: 'main' })
    const anew = await bob.sync({ ...allRooms(), conn_id: 'main' })
    expect(await bob.deployed({ ...allRooms(), conn_id: 'main' }, { pos })).toEqual(
      refusal(400, 'M_UNKNOWN_POS'),
    )
    for (let i = 0; i < 16; i += 1) await bob.sync({ ...allRooms(), conn_id: `other ${i}` })
    expect(await bob.deployed({ ...allRooms(), conn_id: 'main' }, { pos: anew.pos })).toEqual(
      refusal(400, 'M_UNKNOWN_POS'),
    )
  })

  it('is answered at once, with nothing, when its client sends another request on the connection', async () => {
    const { alice, bob, roomId } = await pair()
    const { pos } = await bob.sync(allRooms())
    const given = bob.sync(allRooms(), { pos, timeout: 30_000 })
    await sleep(200)
    const next = bob.sync(allRooms(), { pos, timeout: 30_000 })
    expect((await given).rooms).toEqual({})
    await say(alice, roomId, 'for the second')
    const answer = await next
    expect(texts(answer.rooms[roomId])).toEqual(['for the second'])
    expect((await bob.sync(allRooms(), { pos: answer.pos })).rooms).toEqual({})
  })
})

describe('who leaves a room', () => {
  it('is told of the removal and of nothing after it, through lists and subscriptions', async () => {
    const { alice, bob, roomId } = await pair()
    const wish = {
      ...allRooms({ required_state: [['*', '*']] }),
      room_subscriptions: { [roomId]: { timeline_limit: 10, required_state: [['*', '*']] } },
    }
    const { pos } = await bob.sync(wish)
    await say(alice, roomId, 'before')
    await alice.act('kick', roomId, bob.userId)
    await say(alice, roomId, 'after')
    await alice.setState(roomId, 'm.room.topic', { topic: 'secret' })
    const removed = await bob.sync(wish, { pos })
    expect(removed.rooms[roomId]?.timeline?.map(({ type, content }) => content['body'] ?? type)).toEqual([
      'before',
      'm.room.member',
    ])
    expect(JSON.stringify(removed)).not.toContain('secret')
    await say(alice, roomId, 'later')
    const waiting = bob.sync(wish, { pos: removed.pos, timeout: 700 })
    await sleep(100)
    await say(alice, roomId, 'even later')
    expect((await waiting).rooms).toEqual({})
    // Nor does a connection that begins now see more than the time until then.
    const anew = await bob.sync({ ...wish, conn_id: 'anew' })
    expect(texts(anew.rooms[roomId])).toEqual(['before'])
    expect(JSON.stringify(anew)).not.toContain('secret')
    expect(JSON.stringify(anew)).not.toContain('later')
  })

  it('finds the room listed where others removed them, not where they left by themselves', async () => {
    const { alice, bob, roomId } = await pair()
    const other = await alice.createRoom({ preset: 'public_chat' })
    await bob.join(other)
    await bob.leave(other)
    await alice.act('ban', roomId, bob.userId)
    const { rooms, lists } = await bob.sync(allRooms())
    expect(Object.keys(rooms)).toEqual([roomId])
    expect(lists).toEqual({ all: { count: 1 } })
  })

  it('starts over when they come back', async () => {
    const { alice, bob, roomId } = await pair()
    const { pos } = await bob.sync(allRooms())
    await bob.leave(roomId)
    const left = await bob.sync(allRooms(), { pos })
    expect(left.rooms[roomId]?.timeline?.map(({ content }) => content['membership'])).toEqual(['leave'])
    await say(alice, roomId, 'while away')
    await bob.join(roomId)
    const back = await bob.sync(allRooms(), { pos: left.pos })
    expect(back.rooms[roomId]).toMatchObject({ initial: true, name: 'Lobby' })
  })
})

describe('invites', () => {
  it('come with stripped state, and as a room of its own after joining', async () => {
    const [alice, bob] = [await person(), await person()]
    const { pos } = await bob.sync(allRooms())
    const roomId = await alice.createRoom({ name: 'Hidden', invite: [bob.userId], topic: 'not shown here' })
    const invited = await bob.sync(allRooms(), { pos })
    const room = invited.rooms[roomId]
    expect(room?.invite_state?.map(({ type }) => type)).toContain('m.room.create')
    expect(room).not.toHaveProperty('timeline')
    expect(room).not.toHaveProperty('required_state')
    expect((await bob.sync(allRooms(), { pos: invited.pos })).rooms).toEqual({})
    await bob.join(roomId)
    const joined = await bob.sync(allRooms(), { pos: invited.pos })
    expect(joined.rooms[roomId]).toMatchObject({ initial: true, name: 'Hidden' })
    expect(joined.rooms[roomId]).not.toHaveProperty('invite_state')
  })

  it('that are turned down say no more than that', async () => {
    const [alice, bob] = [await person(), await person()]
    const roomId = await alice.createRoom({ invite: [bob.userId] })
    const all = allRooms({ required_state: [['*', '*']] })
    const { pos } = await bob.sync(all)
    await say(alice, roomId, 'private')
    await bob.leave(roomId)
    const { rooms } = await bob.sync(all, { pos })
    expect(rooms[roomId]?.timeline?.map(({ content }) => content)).toEqual([
      expect.objectContaining({ membership: 'leave' }),
    ])
    expect(rooms[roomId]?.required_state?.every(({ state_key: key }) => key === bob.userId)).toBe(true)
    expect(JSON.stringify(rooms)).not.toContain('private')
  })

  it('of ignored users are not shown, nor those that the user does not want', async () => {
    const [alice, bob] = [await person(), await person()]
    await bob.done('PUT', `/user/${bob.userId}/account_data/m.ignored_user_list`, {
      ignored_users: { [alice.userId]: {} },
    })
    const roomId = await alice.createRoom({ invite: [bob.userId] })
    const room_subscriptions = { [roomId]: { timeline_limit: 1, required_state: [] } }
    const hidden = await bob.sync({ ...allRooms(), room_subscriptions })
    expect(hidden).toMatchObject({ rooms: {}, lists: { all: { count: 0 } } })
    await bob.done('PUT', `/user/${bob.userId}/account_data/m.ignored_user_list`, { ignored_users: {} })
    const shown = await bob.sync({ ...allRooms(), room_subscriptions }, { pos: hidden.pos })
    expect(Object.keys(shown.rooms)).toEqual([roomId])
  })
})
