// What a server in the room may read of it, and in what form.

import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { eventIdOf } from '../../../src/matrix/event-hash.ts'
import type { JsonObject } from '../../../src/matrix/json.ts'
import { redact } from '../../../src/matrix/redaction.ts'
import { roomVersion } from '../../../src/matrix/room-version.ts'
import { type AskingServer, askingServer, federation } from '../../support/asking-server.ts'
import { newClient, refusal, type RoomClient } from '../../support/room-client.ts'
import { startServer, type TestServer } from '../../support/server.ts'
import { textOf } from '../../support/text-of.ts'

let server: TestServer
let alice: RoomClient
let remote: AskingServer
beforeAll(async () => {
  server = await startServer()
  alice = await newClient(server, 'alice')
  remote = await askingServer(server, 'remote.test')
})
afterAll(() => server.stop())

const bob = '@bob:remote.test'
const version = '10'

function rulesOf(id = version) {
  const rules = roomVersion(id)
  if (!rules) throw new Error(`no room version ${id}`)
  return rules
}

const idOf = (pdu: JsonObject) => eventIdOf(pdu, rulesOf())
const types = (pdus: readonly JsonObject[]) => pdus.map((pdu) => textOf(pdu, 'type'))

/** A room with three messages, one of which is from before Bob came. */
async function talk(visibility = 'shared') {
  const roomId = await alice.createRoom({
    preset: 'public_chat',
    room_version: version,
    initial_state: [
      { type: 'm.room.history_visibility', state_key: '', content: { history_visibility: visibility } },
    ],
  })
  const before = await alice.send(roomId, { body: 'before' })
  const join = await remote.join(roomId, bob)
  const first = await alice.send(roomId, { body: 'first' })
  const second = await alice.send(roomId, { body: 'second' })
  return { roomId, before, join, first, second }
}

const get = async <T = Record<string, JsonObject[]>>(path: string, query: Record<string, string> = {}) =>
  await remote.ask<T>('GET', `${federation}/v1/${path}?${new URLSearchParams(query).toString()}`)
const segment = encodeURIComponent

const backfill = async (roomId: string, from: readonly string[], limit: number) => {
  const query = from.map((id) => `v=${segment(id)}&`).join('')
  return await remote.ask<{ pdus: JsonObject[] }>(
    'GET',
    `${federation}/v1/backfill/${segment(roomId)}?${query}limit=${limit}`,
  )
}

const missing = async (roomId: string, content: JsonObject) =>
  await remote.ask<{ events: JsonObject[] }>(
    'POST',
    `${federation}/v1/get_missing_events/${segment(roomId)}`,
    content,
  )

describe('backfill', () => {
  test('gives the events asked for and those before them, the newest first', async () => {
    const { roomId, before, join, first, second } = await talk()
    const { body } = await backfill(roomId, [second], 4)
    expect(body).toMatchObject({ origin: 'test.local', origin_server_ts: expect.any(Number) })
    expect(body.pdus.map(idOf)).toEqual([second, first, join.eventId, before])
  })

  test('goes to the create event and no further', async () => {
    const { roomId, second } = await talk()
    const { body } = await backfill(roomId, [second, second, '$unknown'], 100)
    expect(types(body.pdus).at(-1)).toBe('m.room.create')
    expect(new Set(body.pdus.map(idOf)).size).toBe(body.pdus.length)
  })

  test('gives a hundred events at most', async () => {
    const roomId = await alice.createRoom({ preset: 'public_chat', room_version: version })
    await remote.join(roomId, bob)
    let last = ''
    for (let n = 0; n < 105; n++) last = await alice.send(roomId, { body: `${n}` })
    const { body } = await backfill(roomId, [last], 1000)
    expect(body.pdus).toHaveLength(100)
  })

  test.each(['joined', 'invited'])(
    'redacts what came before the join where the visibility is %s',
    async (visibility) => {
      const { roomId, before, first, second } = await talk(visibility)
      const { body } = await backfill(roomId, [second], 100)
      const of = (id: string) => body.pdus.find((pdu) => idOf(pdu) === id)
      expect(of(first)).toMatchObject({ content: { body: 'first' } })
      expect(of(before)).toMatchObject({ content: {} })
      expect(of(before)).toEqual(redact(of(before) ?? {}, rulesOf()))
    },
  )

  test.each(['shared', 'world_readable'])(
    'shows what came before the join where it is %s',
    async (visibility) => {
      const { roomId, before, second } = await talk(visibility)
      const { body } = await backfill(roomId, [second], 100)
      expect(body.pdus.find((pdu) => idOf(pdu) === before)).toMatchObject({ content: { body: 'before' } })
    },
  )

  test('shows from the invite on where the visibility is invited', async () => {
    const roomId = await alice.createRoom({
      preset: 'public_chat',
      room_version: version,
      initial_state: [
        { type: 'm.room.history_visibility', state_key: '', content: { history_visibility: 'invited' } },
      ],
    })
    await remote.join(roomId, '@first:remote.test')
    await alice.act('kick', roomId, '@first:remote.test')
    const unseen = await alice.send(roomId, { body: 'unseen' })
    await (
      await server.room(roomId)
    ).sendEvent({
      draft: {
        type: 'm.room.member',
        sender: alice.userId as never,
        state_key: bob,
        content: { membership: 'invite' },
      },
    })
    const seen = await alice.send(roomId, { body: 'seen' })
    const { eventId } = await remote.join(roomId, bob)
    const { body } = await backfill(roomId, [eventId], 100)
    const of = (id: string) => body.pdus.find((pdu) => idOf(pdu) === id)
    expect(of(seen)).toMatchObject({ content: { body: 'seen' } })
    expect(of(unseen)).toMatchObject({ content: {} })
  })

  test('needs events to begin with and a limit', async () => {
    const { roomId, second } = await talk()
    expect(await backfill(roomId, [], 10)).toEqual(refusal(400, 'M_MISSING_PARAM'))
    expect(await get(`backfill/${segment(roomId)}`, { v: second })).toEqual(refusal(400, 'M_MISSING_PARAM'))
    expect(await get(`backfill/${segment(roomId)}`, { v: second, limit: '-1' })).toEqual(
      refusal(400, 'M_INVALID_PARAM'),
    )
  })
})

describe('get_missing_events', () => {
  test('gives what lies between, the oldest first', async () => {
    const { roomId, before, join, first, second } = await talk()
    const { body } = await missing(roomId, { earliest_events: [before], latest_events: [second] })
    expect(body.events.map(idOf)).toEqual([join.eventId, first])
  })

  test('stops at the limit, nearest to the latest events, and at the minimum depth', async () => {
    const { roomId, first, second } = await talk()
    const request = { earliest_events: [], latest_events: [second] }
    const limited = await missing(roomId, { ...request, limit: 1 })
    expect(limited.body.events.map(idOf)).toEqual([first])
    const whole = await missing(roomId, { ...request, limit: 50 })
    expect(types(whole.body.events)[0]).toBe('m.room.create')
    const depth = Number(whole.body.events.at(-2)?.['depth'])
    const deep = await missing(roomId, { ...request, limit: 50, min_depth: depth })
    expect(deep.body.events.map(({ depth: found }) => found)).toEqual([depth, depth + 1])
  })

  test('redacts what the server may not see', async () => {
    const { roomId, before, second } = await talk('joined')
    const { body } = await missing(roomId, { earliest_events: [], latest_events: [second], limit: 50 })
    expect(body.events.find((pdu) => idOf(pdu) === before)).toMatchObject({ content: {} })
  })

  test('says which field is missing', async () => {
    const { roomId } = await talk()
    expect(await missing(roomId, { latest_events: [] })).toEqual(refusal(400, 'M_MISSING_PARAM'))
    expect(await missing(roomId, { latest_events: [], earliest_events: 'x' })).toEqual(
      refusal(400, 'M_INVALID_PARAM'),
    )
  })
})

describe('the state before an event', () => {
  test('is that before the event, and whole', async () => {
    const { roomId, join } = await talk()
    const path = segment(roomId)
    const { body } = await get(`state/${path}`, { event_id: join.eventId })
    const slots = (body['pdus'] ?? []).map((pdu) => `${textOf(pdu, 'type')}|${textOf(pdu, 'state_key')}`)
    expect(slots).toContain(`m.room.member|${alice.userId}`)
    expect(slots).not.toContain(`m.room.member|${bob}`)
    expect(types(body['auth_chain'] ?? [])).toEqual(
      expect.arrayContaining(['m.room.create', 'm.room.power_levels', 'm.room.member']),
    )
    const { body: ids } = await get<Record<string, string[]>>(`state_ids/${path}`, { event_id: join.eventId })
    expect(ids['pdu_ids']?.toSorted()).toEqual((body['pdus'] ?? []).map(idOf).toSorted())
    expect(ids['auth_chain_ids']?.toSorted()).toEqual((body['auth_chain'] ?? []).map(idOf).toSorted())
  })

  test('does not change when the state does', async () => {
    const { roomId, first } = await talk()
    const path = `state_ids/${segment(roomId)}`
    const earlier = await get(path, { event_id: first })
    await alice.setState(roomId, 'm.room.topic', { topic: 'new' })
    await alice.act('ban', roomId, '@eve:remote.test')
    expect((await get(path, { event_id: first })).body).toEqual(earlier.body)
  })

  test('of an unknown event is not found', async () => {
    const { roomId } = await talk()
    const elsewhere = await talk()
    for (const kind of ['state', 'state_ids']) {
      const path = `${kind}/${segment(roomId)}`
      expect(await get(path, { event_id: '$unknown' })).toEqual(refusal(404, 'M_NOT_FOUND'))
      expect(await get(path, { event_id: elsewhere.first })).toEqual(refusal(404, 'M_NOT_FOUND'))
      expect(await get(path)).toEqual(refusal(400, 'M_MISSING_PARAM'))
    }
  })

  test('of many members comes in parts that fit together', async () => {
    const { roomId } = await talk()
    const room = await server.room(roomId)
    for (let n = 0; n < 230; n++) {
      await room.sendEvent({
        draft: {
          type: 'org.test.state',
          sender: alice.userId as never,
          state_key: `${n}`,
          content: { n },
        },
      })
    }
    const last = await alice.send(roomId, { body: 'last' })
    const { body } = await get(`state/${segment(roomId)}`, { event_id: last })
    expect(types(body['pdus'] ?? []).filter((type) => type === 'org.test.state')).toHaveLength(230)
    const { body: ids } = await get<Record<string, string[]>>(`state_ids/${segment(roomId)}`, {
      event_id: last,
    })
    expect(ids['pdu_ids']?.toSorted()).toEqual((body['pdus'] ?? []).map(idOf).toSorted())
  })
})

describe('the auth chain of an event', () => {
  test('holds everything that it rests upon, and nothing else', async () => {
    const { roomId, join } = await talk()
    const leave = remote.fromTemplate(await remote.make('leave', roomId, bob))
    await remote.send('leave', roomId, leave)
    const again = await remote.join(roomId, bob)
    await alice.setState(roomId, 'm.room.topic', { topic: 'rests upon nothing of this' })
    const path = (eventId: string) => `event_auth/${segment(roomId)}/${segment(eventId)}`
    const { body } = await get(path(again.eventId))
    const chain = body['auth_chain'] ?? []
    const slots = chain.map((pdu) => `${textOf(pdu, 'type')}|${textOf(pdu, 'state_key')}`)
    expect(slots.toSorted()).toEqual(
      [
        'm.room.create|',
        'm.room.join_rules|',
        `m.room.member|${alice.userId}`,
        `m.room.member|${bob}`,
        `m.room.member|${bob}`,
        'm.room.power_levels|',
      ].toSorted(),
    )
    expect(chain.map(idOf)).toEqual(expect.arrayContaining([join.eventId, leave.eventId]))
    expect(await get(path('$unknown'))).toEqual(refusal(404, 'M_NOT_FOUND'))
  })
})

describe('a single event', () => {
  test('is found by its id alone', async () => {
    const { roomId, first } = await talk()
    const { body } = await event(first)
    expect(body).toMatchObject({
      origin: 'test.local',
      pdus: [{ room_id: roomId, content: { body: 'first' } }],
    })
    expect(body['pdus']?.[0]).not.toHaveProperty('unsigned')
  })

  test('is redacted where the server may not see it', async () => {
    const { before, first } = await talk('joined')
    expect((await event(first)).body['pdus']).toMatchObject([{ content: { body: 'first' } }])
    expect((await event(before)).body['pdus']).toMatchObject([{ content: {} }])
  })

  test('is given to no server that is not in its room', async () => {
    const { first } = await talk()
    await event(first)
    const stranger = await askingServer(server, `s${Date.now()}.test`)
    const path = `${federation}/v1/event/${segment(first)}`
    expect(await stranger.ask('GET', path)).toEqual(refusal(403, 'M_FORBIDDEN'))
  })

  test('that does not exist, or is of a room of ours alone, is not found', async () => {
    const roomId = await alice.createRoom({ preset: 'public_chat', room_version: version })
    const own = await alice.send(roomId, { body: 'ours' })
    const unknown = `$${'a'.repeat(43)}`
    expect(await get(`event/${segment(unknown)}`)).toEqual(refusal(404, 'M_NOT_FOUND'))
    expect(await get(`event/${segment(own)}`)).toEqual(refusal(404, 'M_NOT_FOUND'))
  })
})

/** An event by its id. D1 learns of it right after the event was sent. */
async function event(eventId: string) {
  for (let tries = 0; ; tries++) {
    const answer = await get(`event/${segment(eventId)}`)
    if (answer.status !== 404 || tries === 100) return answer
    await sleep(50)
  }
}

describe('the event closest to a time', () => {
  test('is found in both directions', async () => {
    const { roomId, before, second } = await talk()
    const path = `timestamp_to_event/${segment(roomId)}`
    const latest = await get(path, { ts: `${Date.now() + 1000}`, dir: 'b' })
    expect(latest.body).toMatchObject({ event_id: second })
    const first = await get(path, { ts: '0', dir: 'f' })
    expect(textOf(first.body as never, 'event_id')).not.toBe(before)
    expect(await get(path, { ts: '0', dir: 'b' })).toEqual(refusal(404, 'M_NOT_FOUND'))
    expect(await get(path, { ts: 'x', dir: 'b' })).toEqual(refusal(400, 'M_INVALID_PARAM'))
    expect(await get(path, { ts: '0' })).toEqual(refusal(400, 'M_MISSING_PARAM'))
  })

  test('is one that the server may see', async () => {
    const { roomId, before, join } = await talk('joined')
    const { body } = await backfill(roomId, [before], 1)
    const ts = JSON.stringify(body.pdus[0]?.['origin_server_ts'])
    const path = `timestamp_to_event/${segment(roomId)}`
    for (const dir of ['f', 'b']) {
      const { status, body: found } = await get<JsonObject>(path, { ts, dir })
      expect([status, found['event_id']]).not.toEqual([200, before])
    }
    const latest = await get<JsonObject>(path, { ts: JSON.stringify(join.pdu['origin_server_ts']), dir: 'f' })
    expect(latest.status).toBe(200)
  })
})

test('a server may have a long name', async () => {
  const long = await askingServer(server, `${'a-name-as-long-as-names-may-be.'.repeat(4)}test`)
  const roomId = await alice.createRoom({
    preset: 'public_chat',
    room_version: version,
    initial_state: [
      { type: 'm.room.history_visibility', state_key: '', content: { history_visibility: 'joined' } },
    ],
  })
  const { eventId } = await long.join(roomId, long.user('bob'))
  const said = await alice.send(roomId, { body: 'said' })
  const query = `v=${encodeURIComponent(said)}&limit=10`
  const answer = await long.ask<{ pdus: JsonObject[] }>(
    'GET',
    `${federation}/v1/backfill/${encodeURIComponent(roomId)}?${query}`,
  )
  expect(answer.status).toBe(200)
  expect(answer.body.pdus.map(idOf)).toContain(said)
  expect(answer.body.pdus.map(idOf)).toContain(eventId)
})
