// Invites to rooms on other servers, restarts, and clients that lose answers: what a client has must be true in the end.

import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { EventId, RoomId, UserId } from '../../src/matrix/event.ts'
import type { JsonObject, JsonValue } from '../../src/matrix/json.ts'
import { newClient, roomClient } from '../support/room-client.ts'
import { startServer, type TestServer } from '../support/server.ts'
import { allRooms, type SlidingAnswer, slidingClient, texts } from '../support/sliding-client.ts'

let server: TestServer
let n = 0
beforeAll(async () => {
  server = await startServer({ vars: { ROOMS_PER_SYNC: '3' } })
})
afterAll(() => server.stop())

async function person() {
  n += 1
  const client = await newClient(server, `user${n}`)
  return { ...client, ...slidingClient(server, client) }
}

describe('an invite to a room on another server', () => {
  const roomId = '!room:elsewhere.test' as RoomId
  const member = (userId: string, membership: string): JsonObject => ({
    type: 'm.room.member',
    event_id: `$${membership}`,
    sender: userId,
    state_key: userId,
    content: { membership },
  })

  it('is filtered by what it says of the room, and ends where it is turned down', async () => {
    const bob = await person()
    const userId = bob.userId as UserId
    const hub = await server.hub()
    const stripped = [
      { type: 'm.room.create', state_key: '', sender: '@a:elsewhere.test', content: { type: 'm.space' } },
      member(userId, 'invite'),
    ]
    const invite = { roomId, userId, membership: 'invite', eventId: '$invite' as EventId, stripped } as const
    const spaces = allRooms({ filters: { room_types: ['m.space'], is_invite: true } })
    const begun = await bob.sync(spaces)
    await hub.applyRemoteMembership(invite)
    const invited = await bob.sync(spaces, { pos: begun.pos })
    expect(invited.rooms[roomId]).toMatchObject({ initial: true, invite_state: stripped })
    expect((await bob.sync(allRooms({ filters: { room_types: [null] } }))).lists).toEqual({
      all: { count: 0 },
    })
    const both = { ...allRooms(), conn_id: 'both' }
    const { pos } = await bob.sync(both)
    await hub.applyRemoteMembership({ roomId, userId, membership: 'leave', eventId: '$leave' as EventId })
    const left = await bob.sync(both, { pos })
    expect(left.rooms[roomId]).not.toHaveProperty('invite_state')
    expect(left.rooms[roomId]?.timeline).toMatchObject([
      { state_key: userId, content: { membership: 'leave' } },
    ])
    expect(left.rooms[roomId]?.required_state).toMatchObject([{ content: { membership: 'leave' } }])
    // A connection that begins now is told of neither.
    expect((await bob.sync({ ...allRooms(), conn_id: 'anew' })).rooms).toEqual({})
  })
})

describe('after a restart of the server', () => {
  it('a connection goes on where it was', async () => {
    const dataDir = await mkdtemp(join(tmpdir(), 'hearth-test-'))
    let restarting = await startServer({ dataDir })
    try {
      const alice = await newClient(restarting, 'alice')
      const roomId = await alice.createRoom({ name: 'room' })
      const first = await slidingClient(restarting, alice).sync(allRooms())
      await alice.send(roomId, { msgtype: 'm.text', body: 'one' })
      await restarting.kill()
      restarting = await startServer({ dataDir })
      const again = { ...roomClient(restarting, alice), ...slidingClient(restarting, alice) }
      const second = await again.sync(allRooms(), { pos: first.pos })
      expect(texts(second.rooms[roomId])).toEqual(['one'])
      const waiting = again.sync(allRooms(), { pos: second.pos, timeout: 20_000 })
      await new Promise((resolve) => setTimeout(resolve, 200))
      await again.send(roomId, { msgtype: 'm.text', body: 'two' })
      expect(texts((await waiting).rooms[roomId])).toEqual(['two'])
      await restarting.stop()
    } finally {
      await restarting.kill()
      await rm(dataDir, { recursive: true, force: true })
    }
  })
})

/** What a client that follows the rules makes of the answers: the newest messages of each room, without gaps. */
class Timelines {
  readonly rooms = new Map<string, JsonValue[]>()

  apply({ rooms }: SlidingAnswer): void {
    for (const [roomId, room] of Object.entries(rooms)) {
      const anew = room.initial || room.limited || room.unstable_expanded_timeline
      const known = anew ? [] : (this.rooms.get(roomId) ?? [])
      this.rooms.set(roomId, [...known, ...texts(room)])
    }
  }
}

/** Numbers from 0 up to but not including 1, always the same for a seed. */
function random(seed: number): () => number {
  let state = seed
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return state / 2 ** 32
  }
}

describe('a client with changing ranges, limits and subscriptions that loses answers', () => {
  for (const seed of [1, 2, 3, 4]) {
    it(`has every room without gaps and repetitions in the end, with seed ${seed}`, async () => {
      const next = random(seed)
      const upTo = (limit: number) => Math.floor(next() * limit)
      const [alice, bob] = [await person(), await person()]
      const roomIds: string[] = []
      for (let i = 0; i < 5; i += 1) {
        const roomId = await alice.createRoom({ preset: 'public_chat' })
        await bob.join(roomId)
        roomIds.push(roomId)
      }
      const said = new Map<string, string[]>(roomIds.map((roomId) => [roomId, []]))
      const timelines = new Timelines()
      let pos: string | undefined
      for (let step = 0; step < 60; step += 1) {
        const roomId = roomIds[upTo(roomIds.length)] ?? ''
        if (next() < 0.5) {
          const body = `${step}`
          await alice.send(roomId, { msgtype: 'm.text', body })
          said.get(roomId)?.push(body)
          continue
        }
        const wish = {
          lists: {
            top: { ranges: [[0, upTo(3)]], timeline_limit: 1 + upTo(6), required_state: [] },
          },
          ...(next() < 0.3
            ? { room_subscriptions: { [roomId]: { timeline_limit: 1 + upTo(10), required_state: [] } } }
            : {}),
        }
        const answer = await bob.sync(wish, pos === undefined ? {} : { pos })
        // Now and then an answer is lost.
        if (next() < 0.3) continue
        timelines.apply(answer)
        pos = answer.pos
      }
      for (let i = 0; i < 5; i += 1) {
        const wish = { lists: { all: { ranges: [[0, 9]], timeline_limit: 4, required_state: [] } } }
        const answer = await bob.sync(wish, pos === undefined ? {} : { pos })
        timelines.apply(answer)
        pos = answer.pos
      }
      for (const [roomId, bodies] of said) {
        const known = timelines.rooms.get(roomId) ?? []
        expect(known, roomId).toEqual(known.length === 0 ? [] : bodies.slice(-known.length))
        expect(known.length, roomId).toBeGreaterThanOrEqual(Math.min(4, bodies.length))
      }
    })
  }
})
