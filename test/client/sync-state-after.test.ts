// State as of the end of the timeline (MSC4222), under its name and under the one that clients used before.

import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { EventId, RoomId, UserId } from '../../src/matrix/event.ts'
import { type JsonObject, objectProperty } from '../../src/matrix/json.ts'
import { newClient, type RoomClient } from '../support/room-client.ts'
import { startServer, type TestServer } from '../support/server.ts'
import { textOf } from '../support/text-of.ts'

let server: TestServer
beforeAll(async () => {
  server = await startServer()
})
afterAll(() => server.stop())

let users = 0
async function client(): Promise<RoomClient> {
  users += 1
  return await newClient(server, `user${users}`)
}

const sections = [
  ['use_state_after', 'state_after'],
  ['org.matrix.msc4222.use_state_after', 'org.matrix.msc4222.state_after'],
] as const

describe.each(sections)('with %s', (parameter, section) => {
  const others = ['state', 'state_after', 'org.matrix.msc4222.state_after'].filter((name) => name !== section)

  /** A room of an answer, which has its state in the section alone: `type state_key` → content, in `state`. */
  async function sync(
    user: RoomClient,
    roomId: string,
    { since, filter, kind = 'join' }: { since?: string; filter?: JsonObject; kind?: 'join' | 'leave' } = {},
  ) {
    const query = new URLSearchParams({
      [parameter]: 'true',
      ...(since === undefined ? {} : { since }),
      ...(filter ? { filter: JSON.stringify({ room: filter }) } : {}),
    })
    const body = await user.done('GET', `/sync?${query.toString()}`)
    const room = objectProperty(objectProperty(objectProperty(body, 'rooms'), kind), roomId) ?? {}
    for (const name of others) expect(room).not.toHaveProperty([name])
    const { events } = (room[section] ?? {}) as { events?: JsonObject[] }
    const keyed = (list: readonly JsonObject[]) =>
      Object.fromEntries(
        list.map((event) => [`${textOf(event, 'type')} ${textOf(event, 'state_key')}`, event]),
      )
    const timeline = objectProperty(room, 'timeline')?.events as JsonObject[] | undefined
    return {
      next: textOf(body, 'next_batch'),
      room,
      timeline: (timeline ?? []).map(({ type }) => type),
      state: events && keyed(events),
    }
  }

  const membershipOf = (user: RoomClient) => `m.room.member ${user.userId}`
  const content = (fields: JsonObject) =>
    expect.objectContaining({ content: expect.objectContaining(fields) })

  test('a first sync has the state as it is, also what the timeline changes', async () => {
    const alice = await client()
    const roomId = await alice.createRoom({ topic: 'old' })
    await alice.setState(roomId, 'm.room.topic', { topic: 'new' })
    const { state, timeline } = await sync(alice, roomId)
    expect(timeline).toContain('m.room.topic')
    expect(state).toMatchObject({
      'm.room.topic ': content({ topic: 'new' }),
      'm.room.create ': content({}),
      [membershipOf(alice)]: content({ membership: 'join' }),
    })
  })

  test('one that follows has what changed, in the timeline or before it', async () => {
    const alice = await client()
    const roomId = await alice.createRoom({ topic: 'old' })
    const begin = await sync(alice, roomId)
    await alice.setState(roomId, 'm.room.topic', { topic: 'new' })
    const then = await sync(alice, roomId, { since: begin.next })
    expect(then.timeline).toEqual(['m.room.topic'])
    expect(then.state).toEqual({ 'm.room.topic ': content({ topic: 'new' }) })
    await alice.setState(roomId, 'm.room.name', { name: 'lost in the gap' })
    for (const body of ['1', '2']) await alice.send(roomId, { body })
    const gap = await sync(alice, roomId, { since: then.next, filter: { timeline: { limit: 1 } } })
    expect(gap.timeline).toEqual(['m.room.message'])
    expect(gap.state).toEqual({ 'm.room.name ': content({ name: 'lost in the gap' }) })
    await alice.send(roomId, { body: '3' })
    expect((await sync(alice, roomId, { since: gap.next })).state).toEqual({})
  })

  test('members that are loaded as needed are those that the timeline shows, and those it changes', async () => {
    const [alice, bob, carol, dave] = [await client(), await client(), await client(), await client()]
    const roomId = await alice.createRoom({ preset: 'public_chat' })
    for (const user of [bob, carol, dave]) await user.join(roomId)
    const filter = { state: { lazy_load_members: true }, timeline: { limit: 3 } }
    const begin = await sync(alice, roomId, { filter })
    await bob.send(roomId, { body: 'hello' })
    // Nobody but its sender is needed for that, but the client knows of it by the state alone.
    await alice.act('kick', roomId, carol.userId)
    const { state } = await sync(alice, roomId, { since: begin.next, filter })
    expect(state).toEqual({
      [membershipOf(alice)]: content({ membership: 'join' }),
      [membershipOf(bob)]: content({ membership: 'join' }),
      [membershipOf(carol)]: content({ membership: 'leave' }),
    })
  })

  test('a room in which nothing was said has no state', async () => {
    const alice = await client()
    const roomId = await alice.createRoom()
    const begin = await sync(alice, roomId)
    await alice.done('PUT', `/user/${encodeURIComponent(alice.userId)}/rooms/${roomId}/tags/m.favourite`, {})
    const { room, state } = await sync(alice, roomId, { since: begin.next })
    expect(room).toHaveProperty('account_data')
    expect(state).toEqual({})
  })

  test('a room that the user left has it as of then', async () => {
    const [alice, bob] = [await client(), await client()]
    const roomId = await alice.createRoom({ preset: 'public_chat' })
    await bob.join(roomId)
    const begin = await sync(bob, roomId)
    await alice.setState(roomId, 'm.room.topic', { topic: 'seen' })
    await bob.leave(roomId)
    await alice.setState(roomId, 'm.room.topic', { topic: 'unseen' })
    const { state, timeline } = await sync(bob, roomId, { since: begin.next, kind: 'leave' })
    expect(timeline).toEqual(['m.room.topic', 'm.room.member'])
    expect(state).toEqual({
      'm.room.topic ': content({ topic: 'seen' }),
      [membershipOf(bob)]: content({ membership: 'leave' }),
    })
  })

  test('the end of an invite to a room elsewhere is state too', async () => {
    const alice = await client()
    const roomId = `!${section}:elsewhere.test` as RoomId
    const hub = await server.hub(0)
    const userId = alice.userId as UserId
    const change = <T extends 'invite' | 'leave'>(membership: T) => ({
      userId,
      roomId,
      membership,
      eventId: `$${membership} ${section}` as EventId,
    })
    const event = (membership: string) => ({
      type: 'm.room.member',
      state_key: alice.userId,
      sender: '@x:elsewhere.test',
      event_id: `$${membership}`,
      origin_server_ts: 1,
      content: { membership },
    })
    await hub.applyRemoteMembership({ ...change('invite'), stripped: [event('invite')] })
    const begin = await sync(alice, roomId)
    await hub.applyRemoteMembership({ ...change('leave'), event: event('leave') })
    const { state, timeline } = await sync(alice, roomId, { since: begin.next, kind: 'leave' })
    expect(timeline).toEqual(['m.room.member'])
    expect(state).toEqual({ [membershipOf(alice)]: content({ membership: 'leave' }) })
  })
})
