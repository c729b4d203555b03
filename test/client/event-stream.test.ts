// The endpoints of before /sync, and looking into rooms without being in them.

import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { JsonObject } from '../../src/matrix/json.ts'
import { newClient, refusal, roomClient, type RoomClient } from '../support/room-client.ts'
import { startServer, type TestServer } from '../support/server.ts'
import { textOf } from '../support/text-of.ts'

let server: TestServer
let alice: RoomClient
let bob: RoomClient
let guest: RoomClient
beforeAll(async () => {
  server = await startServer()
  alice = await newClient(server, 'alice')
  bob = await newClient(server, 'bob')
  const { body } = await server.request('POST', '/_matrix/client/v3/register?kind=guest', { body: {} })
  guest = roomClient(server, {
    userId: textOf(body, 'user_id'),
    token: textOf(body, 'access_token'),
    deviceId: textOf(body, 'device_id'),
  })
})
afterAll(() => server.stop())

interface Chunk {
  readonly start: string
  readonly end: string
  readonly chunk: readonly JsonObject[]
}

async function events(client: RoomClient, query: Readonly<Record<string, string>>): Promise<Chunk> {
  return (await client.done('GET', `/events?${new URLSearchParams(query).toString()}`)) as unknown as Chunk
}

const bodies = ({ chunk }: Pick<Chunk, 'chunk'>) =>
  chunk.flatMap(({ content }) => ((content as JsonObject)['body'] as string | undefined) ?? [])

interface RoomInfo extends JsonObject {
  readonly room_id: string
  readonly membership: string
  readonly visibility: string
  readonly messages: JsonObject & { chunk: JsonObject[]; end: string; start: string }
  readonly state: JsonObject[]
  readonly account_data: JsonObject[]
}

async function look(client: RoomClient, roomId: string, query = ''): Promise<RoomInfo> {
  return (await client.done('GET', `/rooms/${encodeURIComponent(roomId)}/initialSync${query}`)) as RoomInfo
}

const worldReadable = (): Promise<string> =>
  alice.createRoom({
    preset: 'public_chat',
    initial_state: [
      { type: 'm.room.history_visibility', state_key: '', content: { history_visibility: 'world_readable' } },
    ],
  })

describe('looking into a room', () => {
  it('shows its state and its last messages to guests who are not in it, where it is world readable', async () => {
    const roomId = await worldReadable()
    for (const body of ['one', 'two', 'three']) await alice.send(roomId, { body })
    const info = await look(guest, roomId, '?limit=2')
    expect(info).toMatchObject({ room_id: roomId, visibility: 'private', account_data: [] })
    expect(info).not.toHaveProperty('membership')
    expect(bodies(info.messages)).toEqual(['two', 'three'])
    expect(info.state.map(({ type }) => type)).toContain('m.room.create')
    expect(info.state.every((event) => event['room_id'] === roomId)).toBe(true)
    const page = `/rooms/${encodeURIComponent(roomId)}/messages?dir=b&limit=1&from=${info.messages.start}`
    expect(bodies((await guest.done('GET', page)) as unknown as Chunk)).toEqual(['one'])
  })

  it('goes on with what is said from then on, once each', async () => {
    const roomId = await worldReadable()
    const { messages } = await look(guest, roomId)
    const none = await events(guest, { room_id: roomId, from: messages.end, timeout: '0' })
    expect(none).toMatchObject({ start: messages.end, chunk: [] })
    const waiting = events(guest, { room_id: roomId, from: none.end, timeout: '20000' })
    await alice.send(roomId, { body: 'live' })
    const first = await waiting
    expect(bodies(first)).toEqual(['live'])
    expect(first.chunk[0]).toMatchObject({ room_id: roomId, sender: alice.userId })
    await alice.send(roomId, { body: 'next' })
    expect(bodies(await events(guest, { room_id: roomId, from: first.end, timeout: '0' }))).toEqual(['next'])
  })

  it('is over when the room is not world readable any more', async () => {
    const roomId = await worldReadable()
    const { messages } = await look(guest, roomId)
    await alice.setState(roomId, 'm.room.history_visibility', { history_visibility: 'shared' })
    await alice.send(roomId, { body: 'secret' })
    const refused = refusal(403, 'M_FORBIDDEN')
    expect(await guest.inRoom('GET', roomId, 'initialSync')).toEqual(refused)
    const path = `/events?timeout=0&from=${messages.end}&room_id=${encodeURIComponent(roomId)}`
    expect(await guest.call('GET', path)).toEqual(refused)
    expect(await bob.call('GET', '/events?room_id=%21nothing%3Atest.local&timeout=0')).toEqual(refused)
  })

  it('wakes those who are in the room', async () => {
    const roomId = await alice.createRoom({ preset: 'public_chat' })
    await bob.join(roomId)
    const { messages } = await look(bob, roomId)
    const waiting = events(bob, { room_id: roomId, from: messages.end, timeout: '60000' })
    await alice.send(await alice.createRoom(), { body: 'elsewhere' })
    await alice.send(roomId, { body: 'here' })
    expect(bodies(await waiting)).toEqual(['here'])
  })

  it('ends at their leaving for those who were in it, and when they forget it', async () => {
    const roomId = await alice.createRoom({ preset: 'public_chat' })
    await bob.join(roomId)
    await alice.send(roomId, { body: 'before' })
    await bob.leave(roomId)
    await alice.send(roomId, { body: 'after' })
    await alice.setState(roomId, 'm.room.topic', { topic: 'after' })
    const info = await look(bob, roomId)
    expect(info.membership).toBe('leave')
    expect(bodies(info.messages)).toEqual(['before'])
    expect(info.state.map(({ type }) => type)).not.toContain('m.room.topic')
    expect((await bob.inRoom('POST', roomId, 'forget', {})).status).toBe(200)
    expect(await bob.inRoom('GET', roomId, 'initialSync')).toEqual(refusal(403, 'M_FORBIDDEN'))
  })
})

describe('the event stream of all rooms', () => {
  it('begins now, and waits for events with the room that they are in', async () => {
    const carol = await newClient(server, 'carol')
    const roomId = await alice.createRoom({ preset: 'public_chat' })
    await alice.send(roomId, { body: 'history' })
    await carol.join(roomId)
    const { end } = await events(carol, { timeout: '0' })
    const waiting = events(carol, { from: end, timeout: '60000' })
    await alice.send(roomId, { body: 'news' })
    const { start, chunk } = await waiting
    expect(start).toBe(end)
    expect(chunk).toEqual([expect.objectContaining({ room_id: roomId, content: { body: 'news' } })])
  })

  it('tells of invites and of joining, from there on', async () => {
    const dave = await newClient(server, 'dave')
    const roomId = await alice.createRoom({ preset: 'private_chat' })
    await alice.setState(roomId, 'm.room.history_visibility', { history_visibility: 'shared' })
    await alice.send(roomId, { body: 'history' })
    const { end } = await events(dave, { timeout: '0' })
    await alice.act('invite', roomId, dave.userId)
    const invited = await events(dave, { from: end, timeout: '20000' })
    const member = { type: 'm.room.member', room_id: roomId, state_key: dave.userId }
    expect(invited.chunk).toEqual([expect.objectContaining({ ...member, sender: alice.userId })])
    await dave.join(roomId)
    await alice.send(roomId, { body: 'welcome' })
    const { chunk } = await events(dave, { from: invited.end, timeout: '20000' })
    expect(chunk[0]).toMatchObject(member)
    expect(bodies({ chunk })).toEqual(['welcome'])
  })

  it('leaves messages to the device to /sync', async () => {
    const erin = await newClient(server, 'erin')
    const roomId = await erin.createRoom()
    const first = textOf(await erin.done('GET', '/sync'), 'next_batch')
    await alice.done('PUT', '/sendToDevice/com.example.hint/one', {
      messages: { [erin.userId]: { [erin.deviceId]: { n: 1 } } },
    })
    const { end } = await events(erin, { timeout: '0' })
    await erin.send(roomId, { body: 'own' })
    const second = await events(erin, { from: end, timeout: '20000' })
    await events(erin, { from: second.end, timeout: '0' })
    const { to_device: toDevice } = await erin.done('GET', `/sync?since=${first}`)
    expect(JSON.stringify(toDevice)).toContain('com.example.hint')
  })

  it('refuses tokens that are none, and guests', async () => {
    expect(await alice.call('GET', '/events?from=nonsense&timeout=0')).toEqual(
      refusal(400, 'M_INVALID_PARAM'),
    )
    expect(await alice.call('GET', '/events?timeout=soon')).toEqual(refusal(400, 'M_INVALID_PARAM'))
    expect(await guest.call('GET', '/events?timeout=0')).toEqual(refusal(403, 'M_GUEST_ACCESS_FORBIDDEN'))
    expect(await guest.call('GET', '/initialSync')).toEqual(refusal(403, 'M_GUEST_ACCESS_FORBIDDEN'))
  })
})

describe('the initial sync of all rooms', () => {
  it('gives joined rooms, invites and account data, and a token to go on from', async () => {
    const frank = await newClient(server, 'frank')
    const joined = await frank.createRoom({ visibility: 'public', preset: 'public_chat', topic: 'now' })
    await frank.send(joined, { body: 'one' })
    await frank.send(joined, { body: 'two' })
    await frank.done('PUT', `/user/${frank.userId}/account_data/com.example.own`, { n: 1 })
    await frank.done('PUT', `/user/${frank.userId}/rooms/${joined}/account_data/com.example.room`, { n: 2 })
    const invited = await alice.createRoom({ invite: [frank.userId] })
    const left = await frank.createRoom()
    await frank.leave(left)
    const answer = await frank.done('GET', '/initialSync?limit=1')
    const rooms = new Map((answer['rooms'] as RoomInfo[]).map((room) => [room.room_id, room]))
    expect([...rooms.keys()].toSorted()).toEqual([joined, invited].toSorted())
    expect(rooms.get(joined)).toMatchObject({
      membership: 'join',
      visibility: 'public',
      account_data: [{ type: 'com.example.room', content: { n: 2 } }],
    })
    const info = rooms.get(joined)
    expect(bodies(info?.messages ?? { chunk: [] })).toEqual(['two'])
    expect(info?.state.map(({ type }) => type)).toContain('m.room.topic')
    expect(rooms.get(invited)).toMatchObject({ membership: 'invite', invite: { state_key: frank.userId } })
    expect(answer['account_data']).toContainEqual({ type: 'com.example.own', content: { n: 1 } })
    expect(answer['presence']).toBeInstanceOf(Array)
    const end = textOf(answer, 'end')
    await frank.send(joined, { body: 'three' })
    expect(bodies(await events(frank, { from: end, timeout: '20000' }))).toEqual(['three'])
    const archived = (await frank.done('GET', '/initialSync?archived=true'))['rooms'] as RoomInfo[]
    expect(archived.find((room) => room.room_id === left)).toMatchObject({ membership: 'leave' })
  })
})

describe('a single event without its room', () => {
  it('is found in the rooms of the user, and nowhere else', async () => {
    const roomId = await alice.createRoom()
    await bob.createRoom()
    const eventId = await alice.send(roomId, { body: 'one' })
    const path = `/events/${encodeURIComponent(eventId)}`
    expect(await alice.done('GET', path)).toMatchObject({ room_id: roomId, event_id: eventId })
    expect(await bob.call('GET', path)).toEqual(refusal(404, 'M_NOT_FOUND'))
    expect(await alice.call('GET', '/events/%24nothing')).toEqual(refusal(404, 'M_NOT_FOUND'))
  })
})
