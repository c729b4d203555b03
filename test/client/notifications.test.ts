// GET /notifications: what users were notified of, whether they have a pusher or not.

import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest'
import type { JsonObject } from '../../src/matrix/json.ts'
import { newClient, refusal, type RoomClient } from '../support/room-client.ts'
import { startServer, type TestServer } from '../support/server.ts'

let server: TestServer
beforeAll(async () => {
  server = await startServer()
})
afterAll(() => server.stop())

let n = 0
let alice: RoomClient
let bob: RoomClient
let roomId: string
beforeEach(async () => {
  n += 1
  alice = await newClient(server, `alice${n}`)
  bob = await newClient(server, `bob${n}`)
  roomId = await alice.createRoom({ preset: 'public_chat' })
  await bob.join(roomId)
})

const say = (body: string, more: JsonObject = {}) => alice.send(roomId, { msgtype: 'm.text', body, ...more })
const read = (eventId: string, more: JsonObject = {}) =>
  bob.inRoom('POST', roomId, `receipt/m.read/${encodeURIComponent(eventId)}`, more)

interface Page {
  readonly notifications: {
    event: JsonObject
    read: boolean
    actions: unknown
    room_id: string
    ts: number
  }[]
  readonly next_token?: string
}

async function list(client: RoomClient, query = ''): Promise<Page> {
  return (await client.done('GET', `/notifications${query}`)) as unknown as Page
}

async function idsFor(client: RoomClient, query = ''): Promise<unknown[]> {
  return (await list(client, query)).notifications.map(({ event }) => event['event_id'])
}

it('lists events with what the rules want done, the newest first', async () => {
  const first = await say('one')
  const second = await say('two')
  const { notifications, ...rest } = await list(bob)
  expect(rest).toEqual({})
  expect(notifications).toMatchObject([{ event: { event_id: second } }, { event: { event_id: first } }])
  expect(notifications[0]).toEqual({
    actions: ['notify', { set_tweak: 'sound', value: 'default' }],
    event: expect.objectContaining({ sender: alice.userId, content: { msgtype: 'm.text', body: 'two' } }),
    read: false,
    room_id: roomId,
    ts: expect.any(Number),
  })
  expect(notifications[0]?.event).not.toHaveProperty('room_id')
  expect(await idsFor(alice)).toEqual([])
})

it('lists what was said from the join to the leave, and no more', async () => {
  const carol = await newClient(server, `carol${n}`)
  await say('before')
  await carol.join(roomId)
  const heard = await say('while')
  expect(await idsFor(carol)).toEqual([heard])
  await carol.leave(roomId)
  await say('after')
  expect(await idsFor(carol)).toEqual([])
})

it('tells what was read, in the room and in threads', async () => {
  const root = await say('one')
  const relation = { 'm.relates_to': { rel_type: 'm.thread', event_id: root } }
  const inThread = await say('two', relation)
  const last = await say('three')
  await read(last, { thread_id: 'main' })
  const isRead = async () =>
    Object.fromEntries(
      (await list(bob)).notifications.map(({ event, read: was }) => [event['event_id'], was]),
    )
  expect(await isRead()).toEqual({ [root]: true, [inThread]: false, [last]: true })
  await read(inThread)
  expect(await isRead()).toEqual({ [root]: true, [inThread]: true, [last]: true })
})

it('lists highlights alone for those who ask', async () => {
  await say('one')
  const loud = await say('two', { 'm.mentions': { user_ids: [bob.userId] } })
  await say('three')
  expect(await idsFor(bob, '?only=highlight')).toEqual([loud])
})

it('comes in pages', async () => {
  const sent: string[] = []
  for (let i = 0; i < 5; i++) sent.unshift(await say(`${i}`))
  const first = await list(bob, '?limit=2')
  const second = await list(bob, `?limit=2&from=${first.next_token}`)
  const third = await list(bob, `?limit=2&from=${second.next_token}`)
  const pages = [first, second, third].map((page) => page.notifications.map(({ event }) => event['event_id']))
  expect(pages).toEqual([sent.slice(0, 2), sent.slice(2, 4), sent.slice(4)])
  expect(third.next_token).toBeUndefined()
})

it('keeps saying so when the rules were changed since', async () => {
  const eventId = await say('one')
  await bob.done('PUT', `/pushrules/global/room/${encodeURIComponent(roomId)}`, { actions: [] })
  await say('two')
  expect(await list(bob)).toMatchObject({
    notifications: [{ actions: ['notify'], event: { event_id: eventId } }],
  })
})

it('lists an invite once its user can see it', async () => {
  const other = await alice.createRoom({ preset: 'private_chat', invite: [bob.userId] })
  await bob.join(other)
  const { notifications } = await list(bob)
  expect(notifications).toMatchObject([
    { room_id: other, event: { type: 'm.room.member', state_key: bob.userId }, read: true },
  ])
})

it('shows what is left of redacted events', async () => {
  const eventId = await say('oops')
  await alice.redact(roomId, eventId)
  expect(await list(bob)).toMatchObject({ notifications: [{ event: { event_id: eventId, content: {} } }] })
})

it('refuses tokens of others, and those who are not signed in', async () => {
  for (const token of ['x', 's1_0', 'n', 'n-1']) {
    expect(await bob.call('GET', `/notifications?from=${token}`)).toEqual(refusal(400, 'M_INVALID_PARAM'))
  }
  expect(await bob.call('GET', '/notifications?limit=x')).toEqual(refusal(400, 'M_INVALID_PARAM'))
  expect((await server.request('GET', '/_matrix/client/v3/notifications')).status).toBe(401)
})
