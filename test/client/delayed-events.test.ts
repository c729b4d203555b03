// Events that are sent later: MSC4140.

import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import type { JsonObject } from '../../src/matrix/json.ts'
import { newClient, refusal, roomClient, type RoomClient } from '../support/room-client.ts'
import { startServer, type TestServer } from '../support/server.ts'
import { textOf } from '../support/text-of.ts'

const api = '/_matrix/client/unstable/org.matrix.msc4140'
const type = 'com.example.test'
const long = 3_600_000

let server: TestServer
let alice: RoomClient
let bob: RoomClient
beforeAll(async () => {
  server = await startServer()
  alice = await newClient(server, 'alice')
  bob = await newClient(server, 'bob')
})
afterAll(() => server.stop())

const withBob = async (): Promise<string> => {
  const roomId = await alice.createRoom({
    preset: 'public_chat',
    power_level_content_override: { events: { [type]: 0 } },
  })
  expect((await bob.join(roomId)).status).toBe(200)
  return roomId
}

const delayed = (delay: number | string) => `org.matrix.msc4140.delay=${delay}`

async function scheduleState(
  client: RoomClient,
  roomId: string,
  key: string,
  delay: number,
  content: JsonObject = {},
) {
  const answer = await client.inRoom('PUT', roomId, `state/${type}/${key}?${delayed(delay)}`, content)
  expect(answer.status, JSON.stringify(answer.body)).toBe(200)
  return textOf(answer.body, 'delay_id')
}

const act = (delayId: string, action: string, on: TestServer = server) =>
  on.request('POST', `${api}/delayed_events/${delayId}/${action}`, { body: {} })

async function list(client: RoomClient, on: TestServer = server): Promise<JsonObject[]> {
  const { status, body } = await on.request<{ delayed_events: JsonObject[] }>(
    'GET',
    `${api}/delayed_events`,
    {
      token: client.token,
    },
  )
  expect(status).toBe(200)
  return body.delayed_events
}

const read = (client: RoomClient, delayId: string) =>
  server.request('GET', `${api}/delayed_events/${delayId}`, { token: client.token })

/** A state event once it is there. */
const appears = (client: RoomClient, roomId: string, key: string) =>
  vi.waitUntil(() => client.state(roomId, type, key), { timeout: 20_000, interval: 50 })

describe('a delayed event', () => {
  it('is listed for its sender alone, and sent when it is due', async () => {
    const roomId = await withBob()
    const delayId = await scheduleState(alice, roomId, 'due', 1500, { by: 'alice' })
    expect(await list(alice)).toEqual([
      {
        delay_id: delayId,
        room_id: roomId,
        type,
        state_key: 'due',
        delay: 1500,
        running_since: expect.any(Number),
        content: { by: 'alice' },
      },
    ])
    expect(await list(bob)).toEqual([])
    expect(await read(bob, delayId)).toEqual(refusal(404, 'M_NOT_FOUND'))
    expect(await appears(alice, roomId, 'due')).toEqual({ by: 'alice' })
    expect(await list(alice)).toEqual([])
    const sent = await read(alice, delayId)
    const eventId = textOf(sent.body, 'event_id')
    const ids = async (client: RoomClient) =>
      (await client.event(roomId, eventId)).body['unsigned'] as JsonObject
    expect((await ids(alice))['org.matrix.msc4140.delay_id']).toBe(delayId)
    expect((await ids(bob))['org.matrix.msc4140.delay_id']).toBeUndefined()
  })

  it('comes down /sync to those who wait, with its delay id for the sender alone', async () => {
    const roomId = await withBob()
    const since = async (client: RoomClient) => textOf(await client.done('GET', '/sync'), 'next_batch')
    const [a, b] = [await since(alice), await since(bob)]
    const noPresence = encodeURIComponent(JSON.stringify({ presence: { types: [] } }))
    const delayId = await scheduleState(alice, roomId, 'waited', long)
    const polls = Promise.all(
      [
        [alice, a],
        [bob, b],
      ].map(([client, token]) =>
        (client as RoomClient).done(
          'GET',
          `/sync?since=${token as string}&timeout=20000&filter=${noPresence}`,
        ),
      ),
    )
    expect((await act(delayId, 'send')).status).toBe(200)
    const [own, other] = (await polls).map((body) => JSON.stringify(body))
    expect(own).toContain('waited')
    expect(own).toContain(delayId)
    expect(other).toContain('waited')
    expect(other).not.toContain(delayId)
  })

  it('is one for a transaction, also after it was sent, and is sent once', async () => {
    const roomId = await withBob()
    const path = `send/${type}/one?${delayed(long)}`
    const first = await alice.inRoom('PUT', roomId, path, { n: 1 })
    const delayId = textOf(first.body, 'delay_id')
    expect((await alice.inRoom('PUT', roomId, path)).body).toEqual(first.body)
    expect(await list(alice)).toHaveLength(1)
    await Promise.all([act(delayId, 'send'), act(delayId, 'send'), act(delayId, 'send')])
    expect((await alice.inRoom('PUT', roomId, path, { n: 2 })).body).toEqual(first.body)
    const { chunk } = (await alice.done('GET', `/rooms/${encodeURIComponent(roomId)}/messages?dir=b`)) as {
      chunk: JsonObject[]
    }
    expect(chunk.filter((event) => event['type'] === type)).toHaveLength(1)
  })

  it('can be cancelled: then it is never sent', async () => {
    const roomId = await withBob()
    const delayId = await scheduleState(alice, roomId, 'cancelled', 1000)
    const later = await scheduleState(alice, roomId, 'later', 1500)
    expect((await act(delayId, 'cancel')).status).toBe(200)
    expect((await act(delayId, 'cancel')).status).toBe(200)
    expect((await list(alice)).map((event) => event['delay_id'])).toEqual([later])
    await appears(alice, roomId, 'later')
    expect(await alice.state(roomId, type, 'cancelled')).toBeUndefined()
    expect(await act(delayId, 'send')).toEqual(refusal(409, 'M_UNKNOWN'))
    expect(await act(delayId, 'restart')).toEqual(refusal(409, 'M_UNKNOWN'))
    expect(await act(later, 'cancel')).toEqual(refusal(409, 'M_UNKNOWN'))
    expect((await act(later, 'send')).status).toBe(200)
  })

  it('starts its delay anew when it is restarted', async () => {
    const roomId = await withBob()
    const delayId = await scheduleState(alice, roomId, 'restarted', 2000)
    const other = await scheduleState(alice, roomId, 'other', 2000)
    const started = (await read(alice, delayId)).body['running_since'] as number
    await vi.waitUntil(() => Date.now() > started + 1000, 20_000)
    expect((await act(delayId, 'restart')).status).toBe(200)
    await appears(alice, roomId, 'restarted')
    const [own, before] = [(await read(alice, delayId)).body, (await read(alice, other)).body]
    expect(own['origin_server_ts']).toBeGreaterThanOrEqual(started + 3000)
    expect(own['origin_server_ts']).toBeGreaterThan(before['origin_server_ts'] as number)
  })

  it('needs the power to send it when it is sent, not before', async () => {
    const roomId = await withBob()
    const due = await bob.inRoom('PUT', roomId, `state/m.room.topic/?${delayed(500)}`, { topic: 'no' })
    const delayId = textOf(due.body, 'delay_id')
    await vi.waitUntil(async () => (await read(bob, delayId)).body['error'] !== undefined, 20_000)
    expect((await read(bob, delayId)).body).toMatchObject({ error: { errcode: 'M_FORBIDDEN' } })
    expect(await alice.state(roomId, 'm.room.topic')).toBeUndefined()
    expect((await act(delayId, 'cancel')).status).toBe(200)

    // Asked for too early, it stays scheduled.
    const early = await bob.inRoom('PUT', roomId, `state/m.room.name/?${delayed(long)}`, { name: 'yes' })
    const earlyId = textOf(early.body, 'delay_id')
    expect(await act(earlyId, 'send')).toEqual(refusal(403, 'M_FORBIDDEN'))
    const levels = await alice.state(roomId, 'm.room.power_levels')
    await alice.setState(roomId, 'm.room.power_levels', { ...levels, state_default: 0 })
    expect((await act(earlyId, 'send')).status).toBe(200)
    expect(await alice.state(roomId, 'm.room.name')).toEqual({ name: 'yes' })
  })

  it('of somebody who has left is not sent', async () => {
    const roomId = await withBob()
    const delayId = await scheduleState(bob, roomId, 'gone', long)
    await bob.leave(roomId)
    expect(await act(delayId, 'send')).toEqual(refusal(403, 'M_FORBIDDEN'))
    expect(await bob.inRoom('PUT', roomId, `send/${type}/t?${delayed(1000)}`, {})).toEqual(
      refusal(403, 'M_FORBIDDEN'),
    )
  })

  it('can be a redaction or a ban', async () => {
    const roomId = await withBob()
    const target = await alice.send(roomId, { body: 'soon gone' })
    const redaction = await alice.inRoom('PUT', roomId, `send/m.room.redaction/r?${delayed(long)}`, {
      redacts: target,
    })
    expect((await act(textOf(redaction.body, 'delay_id'), 'send')).status).toBe(200)
    expect((await alice.event(roomId, target)).body['content']).toEqual({})
    const ban = await alice.inRoom(
      'PUT',
      roomId,
      `state/m.room.member/${encodeURIComponent(bob.userId)}?${delayed(long)}`,
      { membership: 'ban' },
    )
    expect((await act(textOf(ban.body, 'delay_id'), 'send')).status).toBe(200)
    expect(await bob.join(roomId)).toEqual(refusal(403, 'M_FORBIDDEN'))
    const { rooms } = (await bob.done('GET', '/sync')) as { rooms: { leave: JsonObject } }
    expect(Object.keys(rooms.leave)).toContain(roomId)
  })

  it('can be scheduled by the endpoint that is for that alone', async () => {
    const roomId = await withBob()
    const path = `${api}/rooms/${encodeURIComponent(roomId)}/delayed_event/${type}/only`
    const body = { delay_ms: long, state_key: 'own', content: { n: 1 } }
    const answer = await server.request('PUT', path, { token: alice.token, body })
    const delayId = textOf(answer.body, 'delay_id')
    const sent = await server.request('POST', `${api}/delayed_events/${delayId}`, {
      body: { action: 'send' },
    })
    expect(sent.status).toBe(200)
    expect(await alice.state(roomId, type, 'own')).toEqual({ n: 1 })
  })
})

describe('what cannot be delayed', () => {
  it('names what is wrong', async () => {
    const roomId = await withBob()
    const put = (delay: string, content: JsonObject = {}, path = `send/${type}/x`) =>
      alice.inRoom('PUT', roomId, `${path}?${delayed(delay)}`, content)
    expect(await put('0')).toEqual(refusal(400, 'M_INVALID_PARAM'))
    expect(await put('-1')).toEqual(refusal(400, 'M_INVALID_PARAM'))
    expect(await put('soon')).toEqual(refusal(400, 'M_INVALID_PARAM'))
    expect(await put('86400001')).toEqual(refusal(400, 'ORG.MATRIX.MSC4140_MAX_DELAY_EXCEEDED'))
    expect(await put('1000', { n: 0.5 })).toEqual(refusal(400, 'M_BAD_JSON'))
    expect(await put('1000', { text: 'x'.repeat(70_000) })).toEqual(refusal(413, 'M_TOO_LARGE'))
    const member = `state/m.room.member/${encodeURIComponent(bob.userId)}`
    expect(await put('1000', { membership: 'invite' }, member)).toEqual(refusal(400, 'M_INVALID_PARAM'))
    expect(await list(alice)).toEqual([])
  })

  it('is more than 40 events at a time, in all rooms together', async () => {
    const carol = await newClient(server, 'carol')
    const rooms = [await carol.createRoom(), await carol.createRoom()]
    const ids = await Promise.all(
      Array.from({ length: 40 }, (_, n) => scheduleState(carol, rooms[n % 2] ?? '', `${n}`, long)),
    )
    const more = () => carol.inRoom('PUT', rooms[0] ?? '', `state/${type}/more?${delayed(long)}`, {})
    expect(await more()).toEqual(refusal(429, 'M_LIMIT_EXCEEDED'))
    expect((await act(ids[1] ?? '', 'cancel')).status).toBe(200)
    expect((await more()).status).toBe(200)
    expect(await list(carol)).toHaveLength(40)
  })

  it('is not found under made-up ids, actions or without a session', async () => {
    const notFound = refusal(404, 'M_NOT_FOUND')
    expect(await act('abc', 'send')).toEqual(notFound)
    expect(await act(`${'0'.repeat(64)}.${'a'.repeat(43)}`, 'send')).toEqual(notFound)
    const delayId = await scheduleState(alice, await withBob(), 'real', long)
    expect(await act(`${delayId.slice(0, 65)}${'a'.repeat(43)}`, 'send')).toEqual(notFound)
    expect((await act(delayId, 'oops')).status).toBe(404)
    expect((await server.request('POST', `${api}/delayed_events/${delayId}`, { body: {} })).status).toBe(400)
    expect(await server.request('GET', `${api}/delayed_events`)).toEqual(refusal(401, 'M_MISSING_TOKEN'))
    await act(delayId, 'cancel')
  })
})

describe('what a delayed event costs', () => {
  it('is little, and less where it is restarted over and over', async () => {
    // Each room in which a user has others is asked how many there are: this one has none.
    const carol = await newClient(server, 'carol-of-costs')
    const roomId = await carol.createRoom()
    let delayId = await scheduleState(carol, roomId, 'first', long)
    // New rooms tell the directory of themselves by alarms, seconds later.
    const requests = async () => (await server.report()).counts.doRequests
    for (let before = -1; before !== (await requests());) {
      before = await requests()
      await new Promise((waited) => setTimeout(waited, 6500))
    }
    const costs = async (work: () => Promise<unknown>) => {
      const { doRowsWritten, doRequests } = await server.measure(work)
      return { doRowsWritten, doRequests }
    }
    const schedule = await costs(async () => {
      delayId = await scheduleState(carol, roomId, 'second', long)
    })
    const restart = await costs(() => act(delayId, 'restart'))
    expect(schedule).toEqual({ doRowsWritten: 3, doRequests: 2 })
    expect(restart).toEqual({ doRowsWritten: 2, doRequests: 1 })
  })
})

describe('delayed events over a restart', () => {
  it('are sent when they are due, also those that became due meanwhile', async () => {
    const dataDir = await mkdtemp(join(tmpdir(), 'hearth-test-'))
    try {
      const first = await startServer({ dataDir })
      const dave = await newClient(first, 'dave')
      const roomId = await dave.createRoom()
      await scheduleState(dave, roomId, 'early', 1500)
      await scheduleState(dave, roomId, 'late', long)
      await first.kill()
      const second = await startServer({ dataDir })
      const back = roomClient(second, dave)
      await appears(back, roomId, 'early')
      const [late] = await list(back, second)
      expect(late).toMatchObject({ state_key: 'late' })
      expect((await act(textOf(late ?? {}, 'delay_id'), 'send', second)).status).toBe(200)
      expect(await back.state(roomId, type, 'late')).toEqual({})
      await second.stop()
    } finally {
      await rm(dataDir, { recursive: true, force: true })
    }
  })
})
