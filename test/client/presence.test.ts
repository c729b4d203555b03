import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import type { JsonObject } from '../../src/matrix/json.ts'
import { newClient, refusal, roomClient, type RoomClient } from '../support/room-client.ts'
import { startServer, type TestServer } from '../support/server.ts'
import { textOf } from '../support/text-of.ts'

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
})

const status = ({ userId }: RoomClient) => `/presence/${encodeURIComponent(userId)}/status`
const set = (user: RoomClient, body: JsonObject) => user.call('PUT', status(user), body)

interface SyncAnswer {
  readonly nextBatch: string
  /** `user id state` of each presence event. */
  readonly presence: string[]
  readonly body: JsonObject
}

async function sync(user: RoomClient, query = ''): Promise<SyncAnswer> {
  const body = await user.done('GET', `/sync?${query}`)
  const { presence } = body as { presence?: { events: { sender: string; content: { presence: string } }[] } }
  const events = presence?.events ?? []
  return {
    nextBatch: textOf(body, 'next_batch'),
    presence: events.map(({ sender, content }) => `${sender} ${content.presence}`),
    body,
  }
}

describe('the presence of a user', () => {
  it('is what the user says, with a status message', async () => {
    expect((await alice.done('GET', status(alice)))['presence']).toBe('offline')
    await set(alice, { presence: 'unavailable', status_msg: 'at lunch' })
    const shown = await alice.done('GET', status(alice))
    expect(shown).toEqual({
      presence: 'unavailable',
      status_msg: 'at lunch',
      last_active_ago: expect.any(Number),
    })
  })

  it('is online by a sync, unless the sync says otherwise', async () => {
    await sync(alice, 'set_presence=offline')
    expect((await alice.done('GET', status(alice)))['presence']).toBe('offline')
    await sync(alice, 'set_presence=unavailable')
    expect((await alice.done('GET', status(alice)))['presence']).toBe('unavailable')
    await sync(alice)
    expect(await alice.done('GET', status(alice))).toMatchObject({
      presence: 'online',
      currently_active: true,
    })
  })

  it('ends with a logout', async () => {
    await bob.join(roomId)
    await sync(alice)
    const { nextBatch } = await sync(bob, 'set_presence=offline')
    await alice.done('POST', '/logout')
    expect((await sync(bob, `since=${nextBatch}`)).presence).toEqual([`${alice.userId} offline`])
  })

  it('is set by nobody else, and only to what there is', async () => {
    expect(await bob.call('PUT', status(alice), { presence: 'online' })).toEqual(refusal(403, 'M_FORBIDDEN'))
    expect(await set(alice, { presence: 'busy' })).toEqual(refusal(400, 'M_BAD_JSON'))
    expect(await set(alice, {})).toEqual(refusal(400, 'M_MISSING_PARAM'))
    expect(await set(alice, { presence: 'online', status_msg: 1 })).toEqual(refusal(400, 'M_BAD_JSON'))
    expect(await set(alice, { presence: 'online', status_msg: 'x'.repeat(1001) })).toEqual(
      refusal(400, 'M_BAD_JSON'),
    )
    expect(await alice.call('GET', '/sync?set_presence=busy')).toEqual(refusal(400, 'M_INVALID_PARAM'))
  })

  it('is shown to those who share a room and to nobody else', async () => {
    expect(await bob.call('GET', status(alice))).toEqual(refusal(403, 'M_FORBIDDEN'))
    for (const userId of ['@nobody:test.local', '@alice:elsewhere.example']) {
      const path = `/presence/${encodeURIComponent(userId)}/status`
      expect(await bob.call('GET', path)).toEqual(refusal(403, 'M_FORBIDDEN'))
    }
    await bob.join(roomId)
    expect((await bob.call('GET', status(alice))).status).toBe(200)
    await bob.leave(roomId)
    expect(await bob.call('GET', status(alice))).toEqual(refusal(403, 'M_FORBIDDEN'))
  })
})

describe('a sync', () => {
  it('is woken by the presence of those in the same room, with the status message', async () => {
    await bob.join(roomId)
    const { nextBatch } = await sync(bob)
    const waiting = sync(bob, `timeout=20000&since=${nextBatch}`)
    await set(alice, { presence: 'online', status_msg: 'here' })
    const { presence, body } = await waiting
    expect(presence).toEqual([`${alice.userId} online`])
    expect(body['presence']).toEqual({
      events: [
        {
          type: 'm.presence',
          sender: alice.userId,
          content: {
            presence: 'online',
            currently_active: true,
            last_active_ago: expect.any(Number),
            status_msg: 'here',
          },
        },
      ],
    })
  })

  it('tells a newcomer of those who are there, and them of the newcomer', async () => {
    const here = await sync(alice)
    const outside = await sync(bob)
    expect(outside.presence).toEqual([])
    await bob.join(roomId)
    const inside = await sync(bob, `since=${outside.nextBatch}`)
    expect(inside.presence).toEqual([`${alice.userId} online`])
    expect((await sync(bob, `since=${inside.nextBatch}`)).presence).toEqual([])
    const after = await sync(alice, `since=${here.nextBatch}`)
    expect(after.presence).toEqual([`${bob.userId} online`])
    expect((await sync(alice, `since=${after.nextBatch}`)).presence).toEqual([])
    // Nor does an initial sync leave anybody out.
    expect((await sync(alice)).presence).toEqual([`${bob.userId} online`])
  })

  it('tells of no strangers, and no longer of those whose rooms were left', async () => {
    const { nextBatch } = await sync(bob)
    await set(alice, { presence: 'online' })
    expect((await sync(bob, `since=${nextBatch}`)).presence).toEqual([])
    await bob.join(roomId)
    const joined = await sync(bob, `since=${nextBatch}`)
    await bob.leave(roomId)
    await set(alice, { presence: 'unavailable' })
    expect((await sync(bob, `since=${joined.nextBatch}`)).presence).toEqual([])
  })

  it('keeps to the presence part of the filter', async () => {
    await bob.join(roomId)
    await sync(alice)
    const without = (presence: JsonObject) =>
      sync(bob, `filter=${encodeURIComponent(JSON.stringify({ presence }))}`)
    expect((await without({ not_types: ['m.presence'] })).presence).toEqual([])
    expect((await without({ not_senders: [alice.userId] })).presence).toEqual([])
    expect((await without({ senders: [alice.userId] })).presence).toEqual([`${alice.userId} online`])
  })

  it('tells of a new name', async () => {
    await bob.join(roomId)
    const { nextBatch } = await sync(bob)
    await alice.done('PUT', `/profile/${encodeURIComponent(alice.userId)}/displayname`, {
      displayname: 'Alice Cooper',
    })
    const { body } = await sync(bob, `since=${nextBatch}`)
    expect(body['presence']).toEqual({
      events: [
        {
          type: 'm.presence',
          sender: alice.userId,
          content: { presence: 'offline', displayname: 'Alice Cooper' },
        },
      ],
    })
  })
})

describe('the cost', () => {
  // Of its own, so that no alarm comes: that does a minute after the first sync.
  let fresh: TestServer
  let carol: RoomClient
  let dave: RoomClient
  beforeAll(async () => {
    fresh = await startServer()
    carol = await newClient(fresh, 'carol')
    dave = await newClient(fresh, 'dave')
    await dave.join(await carol.createRoom({ preset: 'public_chat' }))
    await sync(carol)
    await sync(dave)
  })
  afterAll(() => fresh.stop())

  it('of setting presence is one request and one row, of saying the same again no row', async () => {
    for (const rows of [1, 0]) {
      const setting = await fresh.measure(() => set(carol, { presence: 'online', status_msg: 'here' }))
      expect(setting).toMatchObject({ doRequests: 1, doRowsWritten: rows, d1RowsWritten: 0 })
    }
  })

  it('of a sync that repeats itself, of a poll that waits in vain and of one that is woken is no row', async () => {
    const { nextBatch } = await sync(dave)
    for (const query of ['', '&timeout=500']) {
      const repeated = await fresh.measure(() => sync(dave, `since=${nextBatch}${query}`))
      expect(repeated).toMatchObject({ doRequests: 1, doRowsWritten: 0, d1RowsWritten: 0 })
    }
    const woken = await fresh.measure(async () => {
      const waiting = sync(dave, `since=${nextBatch}&timeout=20000`)
      await sleep(200)
      await set(carol, { presence: 'online', status_msg: 'news' })
      expect((await waiting).presence).toEqual([`${carol.userId} online`])
    })
    // The row is that of the status message.
    expect(woken).toMatchObject({ doRequests: 2, doRowsWritten: 1, d1RowsWritten: 0 })
  })
})

describe('a server without presence', () => {
  let silent: TestServer
  beforeAll(async () => {
    silent = await startServer({ vars: { PRESENCE: 'off' } })
  })
  afterAll(() => silent.stop())

  it('takes what clients say and shows everybody as offline', async () => {
    const carol = await newClient(silent, 'carol')
    const dave = await newClient(silent, 'dave')
    await dave.join(await carol.createRoom({ preset: 'public_chat' }))
    await sync(carol)
    expect((await set(carol, { presence: 'online' })).status).toBe(200)
    expect(await dave.done('GET', status(carol))).toEqual({ presence: 'offline' })
    expect((await sync(dave)).presence).toEqual([])
  })
})

describe('a restart', () => {
  it('leaves states and status messages as they were, and tokens good', { timeout: 60_000 }, async () => {
    const dataDir = await mkdtemp(join(tmpdir(), 'hearth-presence-'))
    try {
      const first = await startServer({ dataDir })
      const carol = await newClient(first, 'carol')
      const dave = await newClient(first, 'dave')
      const room = await carol.createRoom({ preset: 'public_chat' })
      await dave.join(room)
      await set(carol, { presence: 'unavailable', status_msg: 'at lunch' })
      const { nextBatch } = await sync(dave)
      await first.stop()
      const second = await startServer({ dataDir })
      try {
        const [carolNow, daveNow] = [roomClient(second, carol), roomClient(second, dave)]
        expect(await daveNow.done('GET', status(carol))).toMatchObject({
          presence: 'unavailable',
          status_msg: 'at lunch',
        })
        const quiet = await sync(daveNow, `since=${nextBatch}`)
        expect(quiet.presence).toEqual([])
        await set(carolNow, { presence: 'online' })
        expect((await sync(daveNow, `since=${quiet.nextBatch}`)).presence).toEqual([`${carol.userId} online`])
      } finally {
        await second.stop()
      }
    } finally {
      await rm(dataDir, { recursive: true, force: true })
    }
  })
})
