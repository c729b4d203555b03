import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { JsonObject } from '../../src/matrix/json.ts'
import { oneTimeKeys, testDevice } from '../support/device-keys.ts'
import { newClient, refusal } from '../support/room-client.ts'
import { startServer, type TestServer } from '../support/server.ts'
import { allRooms, slidingClient } from '../support/sliding-client.ts'

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
type Person = Awaited<ReturnType<typeof person>>

async function pair() {
  const [alice, bob] = [await person(), await person()]
  const roomId = await alice.createRoom({ preset: 'public_chat' })
  await bob.join(roomId)
  return { alice, bob, roomId }
}

const enabled = { enabled: true }
const say = (client: Person, roomId: string, body: string) => client.send(roomId, { msgtype: 'm.text', body })
const wish = (extensions: JsonObject, ranges = [[0, 9]]) => ({ ...allRooms({ ranges }), extensions })

describe('messages to the device', () => {
  const tell = (from: Person, to: Person, body: string) =>
    from.done('PUT', `/sendToDevice/m.test/${body}-${from.userId}`, {
      messages: { [to.userId]: { [to.deviceId]: { body } } },
    })
  const asking = (extension: JsonObject) => ({ extensions: { to_device: { ...enabled, ...extension } } })
  const bodies = (events: readonly JsonObject[] | undefined) =>
    events?.map(({ content }) => (content as JsonObject)['body'])

  it('come by their own token, again until it goes on, as many as asked for', async () => {
    const [alice, bob] = [await person(), await person()]
    for (const body of ['one', 'two', 'three']) await tell(alice, bob, body)
    const first = await bob.sync(asking({ limit: 2 }))
    expect(bodies(first.extensions.to_device?.events)).toEqual(['one', 'two'])
    const again = await bob.sync(asking({ limit: 2 }), { pos: first.pos })
    expect(bodies(again.extensions.to_device?.events)).toEqual(['one', 'two'])
    const since = first.extensions.to_device?.next_batch ?? ''
    const second = await bob.sync(asking({ since }), { pos: again.pos })
    expect(bodies(second.extensions.to_device?.events)).toEqual(['three'])
    const last = second.extensions.to_device?.next_batch ?? ''
    const third = await bob.sync(asking({ since: last }), { pos: second.pos })
    expect(third.extensions.to_device).toEqual({ next_batch: last, events: [] })
    // What was acknowledged is gone.
    const anew = await bob.sync(asking({}))
    expect(anew.extensions.to_device?.events).toEqual([])
  })

  it('wake a client that waits, and no token of ours is refused', async () => {
    const [alice, bob] = [await person(), await person()]
    const { pos, extensions } = await bob.sync(asking({}))
    const since = extensions.to_device?.next_batch ?? ''
    const waiting = bob.sync(asking({ since }), { pos, timeout: 20_000 })
    await sleep(200)
    await tell(alice, bob, 'wake up')
    expect(bodies((await waiting).extensions.to_device?.events)).toEqual(['wake up'])
    expect(await bob.deployed(asking({ since: 'x' }))).toEqual(refusal(400, 'M_INVALID_PARAM'))
  })
})

describe('encryption', () => {
  it('tells in every answer how many keys the device has, also when the time is up', async () => {
    const alice = await person()
    const asking = { extensions: { e2ee: enabled } }
    const first = await alice.sync(asking)
    expect(first.extensions.e2ee).toEqual({
      device_one_time_keys_count: { signed_curve25519: 0 },
      device_unused_fallback_key_types: [],
    })
    const device = testDevice(alice)
    const waiting = alice.sync(asking, { pos: first.pos, timeout: 1000 })
    await sleep(200)
    await alice.done('POST', '/keys/upload', { one_time_keys: oneTimeKeys(device, ['a', 'b']) })
    expect((await waiting).extensions.e2ee?.device_one_time_keys_count).toEqual({ signed_curve25519: 2 })
  })

  it('tells whose devices changed, who came into sight and who went out of it', async () => {
    const { alice, bob, roomId } = await pair()
    const asking = wish({ e2ee: enabled })
    const first = await bob.sync(asking)
    expect(first.extensions.e2ee).not.toHaveProperty('device_lists')
    await alice.done('POST', '/keys/upload', { device_keys: testDevice(alice).deviceKeys })
    const second = await bob.sync(asking, { pos: first.pos, timeout: 5000 })
    expect(second.extensions.e2ee?.device_lists).toEqual({ changed: [alice.userId], left: [] })
    const carol = await person()
    await carol.join(roomId)
    const third = await bob.sync(asking, { pos: second.pos })
    expect(third.extensions.e2ee?.device_lists).toEqual({ changed: [carol.userId], left: [] })
    await alice.leave(roomId)
    const fourth = await bob.sync(asking, { pos: third.pos })
    expect(fourth.extensions.e2ee?.device_lists).toEqual({ changed: [], left: [alice.userId] })
    const fifth = await bob.sync(asking, { pos: fourth.pos })
    expect(fifth.extensions.e2ee).not.toHaveProperty('device_lists')
  })
})

describe('account data', () => {
  const types = (events: readonly JsonObject[] | undefined) => events?.map(({ type }) => type)

  it('comes whole first and then as it changes, of the user and of the rooms that are listed', async () => {
    const { bob, roomId } = await pair()
    const own = `/user/${bob.userId}`
    await bob.done('PUT', `${own}/account_data/org.example`, { a: 1 })
    await bob.done('PUT', `${own}/rooms/${roomId}/tags/m.favourite`, {})
    const asking = wish({ account_data: enabled })
    const first = await bob.sync(asking)
    expect(types(first.extensions.account_data?.global)).toEqual(
      expect.arrayContaining(['m.push_rules', 'org.example']),
    )
    expect(types(first.extensions.account_data?.rooms[roomId])).toEqual(['m.tag'])
    const second = await bob.sync(asking, { pos: first.pos })
    expect(second.extensions.account_data).toBeUndefined()
    const waiting = bob.sync(asking, { pos: second.pos, timeout: 20_000 })
    await sleep(200)
    await bob.done('PUT', `${own}/account_data/org.example`, { a: 2 })
    const third = await waiting
    expect(third.extensions.account_data?.global).toEqual([{ type: 'org.example', content: { a: 2 } }])
    expect(third.extensions.account_data?.rooms).toEqual({})
    expect(third.rooms).toEqual({})
  })

  it('of a room out of range comes when it is in range again', async () => {
    const [alice, bob] = [await person(), await person()]
    const quiet = await alice.createRoom({ preset: 'public_chat' })
    const busy = await alice.createRoom({ preset: 'public_chat' })
    await bob.join(quiet)
    await bob.join(busy)
    const asking = (last: number) => wish({ account_data: enabled }, [[0, last]])
    const all = await bob.sync(asking(1))
    await bob.done('PUT', `/user/${bob.userId}/rooms/${quiet}/tags/m.favourite`, {})
    await say(alice, busy, 'news')
    const narrow = await bob.sync(asking(0), { pos: all.pos })
    expect(narrow.extensions.account_data?.rooms).toEqual({})
    const wide = await bob.sync(asking(1), { pos: narrow.pos })
    expect(types(wide.extensions.account_data?.rooms[quiet])).toEqual(['m.tag'])
    expect((await bob.sync(asking(1), { pos: wide.pos })).extensions.account_data).toBeUndefined()
  })

  it('comes whole again after it was not asked for', async () => {
    const { bob } = await pair()
    const first = await bob.sync(wish({ account_data: enabled }))
    const set = (type: string) => bob.done('PUT', `/user/${bob.userId}/account_data/${type}`, { a: 1 })
    await set('org.example.missed')
    const { pos } = await bob.sync({ ...wish({}), room_subscriptions: {} }, { pos: first.pos })
    const again = await bob.sync(wish({ account_data: enabled }), { pos })
    expect(types(again.extensions.account_data?.global)).toContain('org.example.missed')
  })
})

describe('receipts', () => {
  it('come with their rooms and as they are set, private ones to their user alone', async () => {
    const { alice, bob, roomId } = await pair()
    const eventId = await say(alice, roomId, 'hello')
    const read = (user: Person, type: string) =>
      user.done('POST', `/rooms/${roomId}/receipt/${type}/${encodeURIComponent(eventId)}`, {})
    await read(bob, 'm.read')
    const asking = wish({ receipts: enabled })
    const first = await alice.sync(asking)
    expect(first.extensions.receipts?.rooms[roomId]).toMatchObject({
      type: 'm.receipt',
      content: { [eventId]: { 'm.read': { [bob.userId]: {} } } },
    })
    const waiting = alice.sync(asking, { pos: first.pos, timeout: 20_000 })
    await sleep(200)
    await read(bob, 'm.read.private')
    await read(alice, 'm.read')
    const second = await waiting
    expect(second.extensions.receipts?.rooms[roomId]?.content[eventId]).toMatchObject({
      'm.read': { [alice.userId]: {} },
    })
    expect(JSON.stringify(second)).not.toContain('private')
    expect(second.rooms).toEqual({})
  })

  it('are for the lists and subscriptions that are named', async () => {
    const { alice, bob, roomId } = await pair()
    const eventId = await say(alice, roomId, 'hello')
    await bob.done('POST', `/rooms/${roomId}/receipt/m.read/${encodeURIComponent(eventId)}`, {})
    const none = await alice.sync(wish({ receipts: { ...enabled, lists: [], rooms: ['*'] } }))
    expect(none.extensions.receipts?.rooms).toEqual({})
    const room_subscriptions = { [roomId]: { timeline_limit: 1, required_state: [] } }
    const asking = { ...wish({ receipts: { ...enabled, lists: [], rooms: ['*'] } }), room_subscriptions }
    const subscribed = await alice.sync(asking, { pos: none.pos, timeout: 5000 })
    expect(Object.keys(subscribed.extensions.receipts?.rooms ?? {})).toEqual([roomId])
    expect((await alice.sync(asking, { pos: subscribed.pos })).extensions.receipts).toBeUndefined()
  })
})

describe('typing', () => {
  it('comes when it begins and ends, and to who sees the room for the first time', async () => {
    const { alice, bob, roomId } = await pair()
    const type = (typing: boolean) =>
      alice.done('PUT', `/rooms/${roomId}/typing/${alice.userId}`, { typing, timeout: 30_000 })
    const asking = wish({ typing: enabled })
    const { pos } = await bob.sync(asking)
    const waiting = bob.sync(asking, { pos, timeout: 20_000 })
    await sleep(200)
    await type(true)
    const begun = await waiting
    expect(begun.extensions.typing?.rooms).toEqual({
      [roomId]: { type: 'm.typing', content: { user_ids: [alice.userId] } },
    })
    const anew = await bob.sync({ ...asking, conn_id: 'anew' })
    expect(anew.extensions.typing?.rooms[roomId]?.content.user_ids).toEqual([alice.userId])
    await type(false)
    const ended = await bob.sync(asking, { pos: begun.pos })
    expect(ended.extensions.typing?.rooms[roomId]?.content.user_ids).toEqual([])
    expect((await bob.sync(asking, { pos: ended.pos })).extensions.typing).toBeUndefined()
  })
})

describe('direct chats', () => {
  it('are told when they become so', async () => {
    const { alice, bob, roomId } = await pair()
    const first = await alice.sync(allRooms())
    expect(first.rooms[roomId]?.is_dm).toBe(false)
    const mark = (content: JsonObject) =>
      alice.done('PUT', `/user/${alice.userId}/account_data/m.direct`, content)
    await mark({ [bob.userId]: [roomId] })
    const second = await alice.sync(allRooms(), { pos: first.pos, timeout: 5000 })
    expect(second.rooms[roomId]).toMatchObject({ is_dm: true })
    await mark({})
    const third = await alice.sync(allRooms(), { pos: second.pos })
    expect(third.rooms[roomId]).toMatchObject({ is_dm: false })
    expect((await alice.sync(allRooms(), { pos: third.pos })).rooms).toEqual({})
  })
})
