// Transactions with events that build upon others: what is fetched for them, how much of it, and who goes on with it.

import { mkdtemp, rm } from 'node:fs/promises'
import type { ServerResponse } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { federationTransport } from '../../../scripts/federation-transport.ts'
import { eventIdOf } from '../../../src/matrix/event-hash.ts'
import type { EventId, UserId } from '../../../src/matrix/event.ts'
import type { JsonObject } from '../../../src/matrix/json.ts'
import { type AskingServer, askingServer, type SignedEvent } from '../../support/asking-server.ts'
import { makeAuthority } from '../../support/certificates.ts'
import { type FakeHomeserver, startFakeHomeserver } from '../../support/fake-homeserver.ts'
import { fakeRoom } from '../../support/fake-room.ts'
import { loopbackNames } from '../../support/federated-server.ts'
import { rulesOf } from '../../support/remote-server.ts'
import { newClient, refusal, roomClient, type RoomClient } from '../../support/room-client.ts'
import { startServer, type TestServer } from '../../support/server.ts'
import { textOf } from '../../support/text-of.ts'

const authority = makeAuthority()
const v1 = '/_matrix/federation/v1'
const rules = rulesOf('11')

let dataDir: string
let fake: FakeHomeserver
let server: TestServer
let remote: AskingServer
let alice: RoomClient
let bob: UserId

beforeAll(async () => {
  dataDir = await mkdtemp(join(tmpdir(), 'hearth-receiving-'))
  fake = await startFakeHomeserver(authority, 'fake.test')
  server = await start()
  alice = await newClient(server, 'alice')
  remote = await askingServer(server, fake.serverName)
  bob = remote.user('bob')
})
afterAll(async () => {
  await server.stop()
  await fake.stop()
  await rm(dataDir, { recursive: true, force: true })
})

function start(): Promise<TestServer> {
  const federation = federationTransport({
    extraCa: [authority.ca],
    allowPrivateNetworks: true,
    names: loopbackNames,
  })
  return startServer({ dataDir, federation })
}

const ok = (response: ServerResponse, body: JsonObject) =>
  void response.writeHead(200).end(JSON.stringify(body))
const notFound = (response: ServerResponse) => void response.writeHead(404).end('{}')

beforeEach(() => {
  fake.route(`${v1}/send/*`, (_, response) => ok(response, { pdus: {} }))
  for (const path of ['get_missing_events', 'state_ids', 'state', 'event', 'event_auth', 'backfill']) {
    fake.route(`${v1}/${path}/*`, (_, response) => notFound(response))
  }
})

interface JoinedRoom {
  readonly roomId: string
  readonly joined: EventId
  /** What Bob's messages cite. */
  readonly auth: readonly string[]
}

/** A room of Alice's that Bob has joined. */
async function joinedRoom(): Promise<JoinedRoom> {
  const roomId = await alice.createRoom({ preset: 'public_chat', room_version: '11' })
  const { eventId, answer } = await remote.join(roomId, bob)
  const { fromTemplate } = remote
  const knock = fromTemplate(await remote.make('leave', roomId, bob)).pdu
  const auth = (knock['auth_events'] as string[]).filter((id) => id !== eventId)
  expect(answer.state.length).toBeGreaterThan(0)
  return { roomId, joined: eventId, auth: [...auth, eventId] }
}

let said = 0
function message(room: JoinedRoom, parents: readonly string[], change: JsonObject = {}): SignedEvent {
  said += 1
  return remote.sign(rules, {
    type: 'm.room.message',
    sender: bob,
    room_id: room.roomId,
    content: { body: `message ${said}` },
    origin_server_ts: Date.now(),
    depth: 100 + said,
    auth_events: [...room.auth],
    prev_events: [...parents],
    ...change,
  })
}

let transactions = 0
async function send(...events: readonly SignedEvent[]) {
  transactions += 1
  const pdus = events.map(({ pdu }) => pdu)
  const content = { origin: fake.serverName, origin_server_ts: Date.now(), pdus }
  const { status, body } = await remote.ask<{ pdus: Record<string, JsonObject> }>(
    'PUT',
    `${v1}/send/txn${transactions}`,
    content,
  )
  expect(status).toBe(200)
  return body.pdus
}

async function has({ roomId }: JoinedRoom, { eventId }: SignedEvent): Promise<boolean> {
  const { status } = await alice.call('GET', `/rooms/${encodeURIComponent(roomId)}/event/${eventId}`)
  return status === 200
}

const made = (n: number) => `$${String(n).padStart(43, 'x')}` as EventId
const asked = (what: string) => fake.requests.filter((request) => request.includes(`/${what}/`)).length

describe('a transaction', () => {
  it('is refused without what every one has', async () => {
    const whole = { origin: fake.serverName, origin_server_ts: Date.now(), pdus: [] }
    const attempt = async (content: JsonObject) => {
      transactions += 1
      return await remote.ask('PUT', `${v1}/send/txn${transactions}`, content)
    }
    for (const field of Object.keys(whole)) {
      const rest = Object.fromEntries(Object.entries(whole).filter(([name]) => name !== field))
      expect(await attempt(rest), field).toEqual(refusal(400, 'M_MISSING_PARAM'))
    }
    expect(await attempt({ ...whole, edus: {} })).toEqual(refusal(400, 'M_BAD_JSON'))
    expect(await attempt(whole)).toMatchObject({ status: 200, body: { pdus: {} } })
  })
})

describe('events that build upon others', () => {
  it('are completed with what their server gives', async () => {
    const room = await joinedRoom()
    const [first, second, third] = chain(room)
    fake.answer(`${v1}/get_missing_events/${encodeURIComponent(room.roomId)}`, () => ({
      events: [first.pdu, second.pdu],
    }))
    expect(await send(third)).toEqual({ [third.eventId]: {} })
    await expect.poll(() => has(room, third)).toBe(true)
    expect(await has(room, first)).toBe(true)
    expect(asked('state_ids')).toBe(0)
  })

  it('are taken in whatever order they come', async () => {
    const room = await joinedRoom()
    const [first, second, third] = chain(room)
    expect(Object.keys(await send(third, second, first))).toHaveLength(3)
    for (const event of [first, second, third]) expect(await has(room, event)).toBe(true)
  })

  it('are not believed by a server that does not show what they build upon', async () => {
    const room = await joinedRoom()
    const before = asked('state_ids')
    const orphan = message(room, [made(1)])
    fake.answer(`${v1}/get_missing_events/${encodeURIComponent(room.roomId)}`, () => ({ events: [] }))
    await send(orphan)
    expect(await has(room, orphan)).toBe(false)
    expect(asked('state_ids')).toBe(before)
  })

  it('are bridged by the state before what they build upon where that is too far back', async () => {
    const room = await joinedRoom()
    const hidden = message(room, [made(2)])
    const given = message(room, [hidden.eventId])
    const sent = message(room, [given.eventId])
    const segment = encodeURIComponent(room.roomId)
    fake.answer(`${v1}/get_missing_events/${segment}`, () => ({ events: [given.pdu] }))
    const stateOf: string[] = []
    fake.route(`${v1}/state_ids/${segment}`, ({ url = '' }, response) => {
      stateOf.push(new URL(url, 'https://fake.test').searchParams.get('event_id') ?? '')
      ok(response, { pdu_ids: [...room.auth], auth_chain_ids: [...room.auth] })
    })
    fake.answer(`${v1}/event/${encodeURIComponent(hidden.eventId)}`, () => ({ pdus: [hidden.pdu] }))
    await send(sent)
    await expect.poll(() => has(room, sent)).toBe(true)
    expect(stateOf).toEqual([hidden.eventId])
    // It is known as what others build upon, but has no place yet.
    expect(await has(room, hidden)).toBe(false)
  })
})

function chain(room: JoinedRoom): [SignedEvent, SignedEvent, SignedEvent] {
  const first = message(room, [room.joined])
  const second = message(room, [first.eventId])
  return [first, second, message(room, [second.eventId])]
}

describe('a redaction of an event that has not arrived', () => {
  it('is sent by those who may redact, and takes effect when the event comes', async () => {
    const room = await joinedRoom()
    const late = message(room, [room.joined])
    const redaction = await alice.redact(room.roomId, late.eventId)
    expect(redaction.status).toBe(200)
    expect(await send(late)).toEqual({ [late.eventId]: {} })
    const { body } = await alice.event(room.roomId, late.eventId)
    expect(body).toMatchObject({
      content: {},
      unsigned: { redacted_because: { event_id: textOf(redaction.body, 'event_id') } },
    })
  })

  it('is refused to others: nothing says that it is theirs', async () => {
    const room = await joinedRoom()
    const carol = await newClient(server, 'carol')
    expect((await carol.join(room.roomId)).status).toBe(200)
    expect(await carol.redact(room.roomId, made(3))).toEqual(refusal(404, 'M_NOT_FOUND'))
  })
})

describe('a hostile server', () => {
  it('with fifty events of made-up parents gets few questions, and an answer for each', async () => {
    const room = await joinedRoom()
    const before = fake.requests.length
    fake.answer(`${v1}/get_missing_events/${encodeURIComponent(room.roomId)}`, () => ({ events: [] }))
    const events = Array.from({ length: 50 }, (_, n) => message(room, [made(1000 + n)]))
    const results = await send(...events)
    expect(Object.keys(results).toSorted()).toEqual(events.map(({ eventId }) => eventId).toSorted())
    const questions = fake.requests.slice(before).filter((request) => !request.includes('/send/'))
    expect(questions.length).toBeLessThanOrEqual(5)
  })

  it('that answers with ever more to fetch is asked a bounded number of times', async () => {
    const room = await joinedRoom()
    const segment = encodeURIComponent(room.roomId)
    const before = fake.requests.length
    let n = 10_000
    fake.route(`${v1}/get_missing_events/${segment}`, (_, response) => {
      const events = Array.from({ length: 50 }, () => message(room, [made((n += 1))]).pdu)
      ok(response, { events })
    })
    fake.route(`${v1}/state_ids/${segment}`, (_, response) => {
      const more = () => Array.from({ length: 59 }, () => made((n += 1)))
      ok(response, { pdu_ids: more(), auth_chain_ids: [] })
    })
    const events = Array.from({ length: 50 }, (_, i) => message(room, [made(2000 + i)]))
    const results = await send(...events)
    expect(Object.keys(results)).toHaveLength(50)
    const after = message(room, [room.joined])
    await send(after)
    await expect.poll(() => has(room, after)).toBe(true)
    const questions = fake.requests.slice(before).filter((request) => !request.includes('/send/'))
    // Two runs at most came of two transactions.
    expect(questions.length).toBeLessThanOrEqual(400)
  })
})

describe('a room that cannot go on', () => {
  it('holds up no other room, and goes on when its server answers', async () => {
    const [slow, quick] = [await joinedRoom(), await joinedRoom()]
    const [first, second] = chain(slow)
    let answer: (() => void) | undefined
    fake.route(`${v1}/get_missing_events/${encodeURIComponent(slow.roomId)}`, (_, response) => {
      answer = () => ok(response, { events: [first.pdu] })
    })
    const other = message(quick, [quick.joined])
    expect(await send(second, other)).toEqual({ [second.eventId]: {}, [other.eventId]: {} })
    expect([await has(slow, second), await has(quick, other)]).toEqual([false, true])
    answer?.()
    await expect.poll(() => has(slow, second), { timeout: 10_000 }).toBe(true)
  })
})

describe('events that come while their room is joined', () => {
  it('wait for the join, and are part of the room then', async () => {
    const host = { serverName: fake.serverName, keyId: fake.key.keyId, key: fake.key.key }
    const room = fakeRoom(host, '11')
    const topic = room.signed({
      type: 'm.room.topic',
      sender: room.creator,
      state_key: '',
      content: { topic: 'meanwhile' },
    })
    const eventId = eventIdOf(topic, rules)
    fake.route(`${v1}/make_join/${encodeURIComponent(room.roomId)}/*`, (_, response) =>
      ok(response, room.template(alice.userId as UserId)),
    )
    let results: Record<string, JsonObject> = {}
    fake.route(
      `/_matrix/federation/v2/send_join/${encodeURIComponent(room.roomId)}/*`,
      async (_, response) => {
        results = await send({ pdu: topic, eventId })
        ok(response, { state: room.state(), auth_chain: room.authChain() })
      },
    )
    const path = `/join/${encodeURIComponent(room.roomId)}?server_name=${fake.serverName}`
    const { status } = await alice.call('POST', path, {})
    expect(status).toBe(200)
    expect(results).toEqual({ [eventId]: {} })
    const { body } = await alice.inRoom('GET', room.roomId, 'state/m.room.topic')
    expect(textOf(body, 'topic')).toBe('meanwhile')
  })
})

describe('what was left over by a server that crashed', () => {
  it('is taken up again after a crash, with no other transaction', async () => {
    const room = await joinedRoom()
    const [first, second] = chain(room)
    const path = `${v1}/get_missing_events/${encodeURIComponent(room.roomId)}`
    fake.route(path, () => undefined)
    expect(await send(second)).toEqual({ [second.eventId]: {} })
    await server.kill()
    fake.answer(path, () => ({ events: [first.pdu] }))
    server = await start()
    alice = roomClient(server, alice)
    await expect.poll(() => has(room, second), { timeout: 60_000, interval: 500 }).toBe(true)
  }, 90_000)
})
