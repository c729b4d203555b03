// Joins through servers that answer as no server should. Our side is a real Room; the network is made up.

import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { FederationCall } from '../../../src/federation/client/request.ts'
import { jobStore, type JoinRequest } from '../../../src/federation/remote-join/join-job.ts'
import { giveUp, type JoinDeps, newJob, takeTurn } from '../../../src/federation/remote-join/join-room.ts'
import { openSpool, spoolLimits } from '../../../src/federation/remote-join/spool.ts'
import { startTurn } from '../../../src/federation/remote-join/turn.ts'
import { MatrixError } from '../../../src/errors.ts'
import { eventIdOf } from '../../../src/matrix/event-hash.ts'
import { countersignEvent } from '../../../src/matrix/event-signature.ts'
import type { ServerName, UserId } from '../../../src/matrix/event.ts'
import { isJsonObject, type JsonObject } from '../../../src/matrix/json.ts'
import type { ServerKeySet } from '../../../src/room/receive-pdu.ts'
import { fakeKey } from '../../support/fake-homeserver.ts'
import { type FakeRoom, fakeRoom, type FakeServer, userOf } from '../../support/fake-room.ts'
import { memorySql } from '../../support/memory-sql.ts'
import { startServer, type TestServer } from '../../support/server.ts'

const resident: FakeServer = { serverName: 'resident.test' as ServerName, ...fakeKey() }
const other: FakeServer = { serverName: 'other.test' as ServerName, ...fakeKey() }
const ours: FakeServer = { serverName: 'ours.test' as ServerName, ...fakeKey('ed25519:ours') }
const bob = userOf(ours, 'bob')
const keys: ServerKeySet = Object.fromEntries(
  [resident, other, ours].map(({ serverName, keyId, key }) => [
    serverName,
    { [keyId]: { key: key.publicKey, validUntilTs: Number.MAX_SAFE_INTEGER } },
  ]),
)

let server: TestServer
beforeAll(async () => {
  server = await startServer({ vars: { SERVER_NAME: ours.serverName } })
})
afterAll(() => server.stop())

interface Answers {
  readonly make?: () => JsonObject | { readonly status: number; readonly body: JsonObject }
  /** The body of send_join for the join that was handed in. */
  readonly send?: (join: JsonObject) => JsonObject | Response
}

interface Staging {
  readonly eventsPerBatch?: number
  /** Called before a batch is handed to the room. */
  readonly onStage?: () => void
}

/** What a server in the room would answer. */
const honest = (room: FakeRoom, changes: JsonObject = {}): JsonObject => ({
  origin: resident.serverName,
  state: room.state(),
  auth_chain: room.authChain(),
  ...changes,
})

/** Goes on with a join until it is over. */
async function goOn(deps: JoinDeps) {
  for (;;) {
    const eventId = await takeTurn(deps, startTurn())
    if (eventId !== undefined) return eventId
  }
}

/** Joins bob through servers that answer alike unless told otherwise. What they were asked is noted. */
async function join(
  room: FakeRoom,
  { make = () => room.template(bob), send = () => honest(room) }: Answers = {},
  limits: Partial<JoinDeps['limits']> = {},
  { eventsPerBatch = spoolLimits.eventsPerBatch, onStage = () => undefined }: Staging = {},
) {
  const sql = memorySql()
  const tables = () => ({
    store: jobStore(sql),
    spool: openSpool(sql, { ...spoolLimits, eventsPerBatch }),
  })
  const asked: FederationCall[] = []
  const refused: string[] = []
  const stub = await server.room(room.roomId)
  const request: JoinRequest = {
    roomId: room.roomId,
    userId: bob,
    shard: 0,
    content: { displayname: 'Bob' },
    servers: [resident.serverName],
  }
  const deps: JoinDeps = {
    request: async (call) => {
      asked.push(call)
      if (!call.path.includes('/make_join/')) return { status: 404, body: {}, faults: [] }
      const answer = make()
      const body = isJsonObject(answer['body']) ? answer['body'] : (answer as JsonObject)
      return { status: typeof answer['status'] === 'number' ? answer['status'] : 200, body, faults: [] }
    },
    fetch: async (call) => {
      asked.push(call)
      const answer = send(call.content ?? {})
      return answer instanceof Response ? answer : Response.json(answer)
    },
    signer: ours,
    now: Date.now,
    keysOf: async () => keys,
    keys: {
      missing: async () => [],
      askNotaries: async () => [],
      fetchDirectly: async () => undefined,
      kept: async () => keys,
      atOnce: 6,
    },
    ...tables(),
    limits: { stateEvents: 1000, idleMs: 5000, ...limits },
    onRefused: (_, n, reason) => refused.push(`${n} ${reason}`),
    room: {
      beginJoin: async (...args) => await stub.beginJoin(...args),
      stageEvents: async (...args) => {
        onStage()
        return await stub.stageEvents(...args)
      },
      abandonJoin: async () => await stub.abandonJoin(),
      completeJoin: async (completed) => {
        try {
          return await stub.completeJoin(completed)
        } catch {
          // Miniflare's proxy loses what an object throws.
          throw new MatrixError('M_UNKNOWN', 502, 'The room cannot be joined: events are missing or refused')
        }
      },
    },
  }
  deps.store.save(newJob(request))
  const joined = goOn(deps)
  return {
    joined,
    deps,
    /** As another object sees the join that finds it written down. */
    found: (): JoinDeps => ({ ...deps, ...tables() }),
    asked,
    refused,
    sent: () => asked.find(({ path }) => path.includes('/send_join/'))?.content,
  }
}

function streamOf(parts: Iterable<Uint8Array>): ReadableStream<Uint8Array> {
  const iterator = parts[Symbol.iterator]()
  return new ReadableStream({
    pull: (controller) => {
      const { done, value } = iterator.next()
      if (done === true) controller.close()
      else controller.enqueue(value)
    },
  })
}

const failure = (status: number, errcode: string, message = /./) =>
  expect.objectContaining({ status, errcode, message: expect.stringMatching(message) as string })

/** Empty for a room of which nothing is here, which has no answer to that. */
async function currentState(room: FakeRoom): Promise<Record<string, string>> {
  const { state } = await (await server.room(room.roomId)).describe().catch(() => ({ state: {} }))
  return Object.fromEntries(Object.entries(state).map(([slot, { event_id: id }]) => [slot, id]))
}

const versions = ['1', '3', '6', '10', '11', '12'] as const

describe.each(versions)('a room of version %s', (version) => {
  it('is joined with the state that its server gives', async () => {
    const room = fakeRoom(resident, version)
    for (let i = 0; i < 20; i += 1) room.join(userOf(resident, `u${i}`))
    const { joined, refused } = await join(room)
    const id = await joined
    const ids = Object.values(await currentState(room)).toSorted()
    expect(ids).toEqual([...room.stateIds(), id].toSorted())
    expect(refused).toEqual([])
  })

  it('is joined whatever the order of what its server gives, and in however many parts', async () => {
    const room = fakeRoom(resident, version)
    for (let i = 0; i < 20; i += 1) room.join(userOf(resident, `u${i}`))
    const backwards = honest(room, { state: room.state().reverse(), auth_chain: room.authChain().reverse() })
    const bytes = new TextEncoder().encode(JSON.stringify(backwards))
    const parts = Array.from({ length: Math.ceil(bytes.length / 100) }, (_, i) =>
      bytes.subarray(i * 100, i * 100 + 100),
    )
    await (
      await join(room, { send: () => new Response(streamOf(parts)) })
    ).joined
    expect(Object.values(await currentState(room))).toHaveLength(room.stateIds().length + 1)
  })

  it('is joined again after a join that came to nothing', async () => {
    const room = fakeRoom(resident, version)
    const half = await join(room, { send: () => new Response(JSON.stringify(honest(room)).slice(0, -50)) })
    await expect(half.joined).rejects.toEqual(failure(502, 'M_UNKNOWN', /resident.test/))
    expect(Object.values(await currentState(room))).toEqual([])
    await (
      await join(room)
    ).joined
    expect(Object.values(await currentState(room))).toHaveLength(room.stateIds().length + 1)
  })
})

describe('a join that breaks off', () => {
  /** Breaks off at the third batch. */
  async function broken() {
    const room = fakeRoom(resident, '11')
    for (let i = 0; i < 30; i += 1) room.join(userOf(resident, `u${i}`))
    let calls = 0
    const onStage = () => {
      calls += 1
      if (calls === 3) throw new Error('the machine is gone')
    }
    const first = await join(room, {}, {}, { eventsPerBatch: 10, onStage })
    await expect(first.joined).rejects.toThrow('the machine is gone')
    return { room, first, calls: () => calls }
  }

  it('goes on behind what the room has, without asking the other server again', async () => {
    const { room, first, calls } = await broken()
    // Whoever finds it knows what is written down, and nothing else.
    const id = await goOn(first.found())
    const ids = Object.values(await currentState(room)).toSorted()
    expect(ids).toEqual([...room.stateIds(), id].toSorted())
    expect(calls()).toBe(1 + Math.ceil(room.authChain().length / 10) + Math.ceil(room.state().length / 10))
    expect(first.asked).toHaveLength(2)
  })

  it('leaves nothing behind once it is given up, and the user is out of the room again', async () => {
    const { room, first } = await broken()
    const stub = await server.room(room.roomId)
    await expect(stub.describe()).resolves.toMatchObject({ state: {} })
    const job = first.deps.store.load()
    if (!job) throw new Error('there is no job')
    await giveUp(first.deps, job)
    expect(first.asked.at(-1)?.path).toContain('/make_leave/')
    // The room is one that nobody here knows.
    await expect(stub.describe()).rejects.toThrow()
    await (
      await join(room)
    ).joined
    expect(Object.values(await currentState(room))).toHaveLength(room.stateIds().length + 1)
  })
})

describe('nothing is signed but a join of our own', () => {
  const room = fakeRoom(resident, '11')
  const template = (changes: JsonObject, content: JsonObject = {}): JsonObject => {
    const { event, ...rest } = room.template(bob, 'join', content)
    return { ...rest, event: { ...(event as JsonObject), ...changes } }
  }
  it.each<[string, () => JsonObject, RegExp]>([
    ['another room', () => template({ room_id: '!other:resident.test' }), /room_id/],
    ['another user', () => template({ sender: '@carol:ours.test' }), /sender/],
    ['another target', () => template({ state_key: '@carol:ours.test' }), /state_key/],
    ['another type', () => template({ type: 'm.room.power_levels' }), /type/],
    ['another membership', () => room.template(bob, 'leave'), /membership/],
    ['no membership', () => template({ content: {} }), /membership/],
    ['no event', () => ({ room_version: '11' }), /type/],
    ['no parents', () => template({ prev_events: [] }), /prev_events/],
    ['parents that are none', () => template({ prev_events: [1] }), /prev_events/],
    [
      'too many parents',
      () => template({ prev_events: Array(21).fill(`$${'a'.repeat(43)}`) }),
      /prev_events/,
    ],
    ['no auth events', () => template({ auth_events: null }), /auth_events/],
    ['a depth that is none', () => template({ depth: 1.5 }), /canonical|depth/i],
    ['a version that is none', () => ({ ...room.template(bob), room_version: 11 }), /room_version/],
    [
      'our own user vouching for the join',
      () => template({}, { membership: 'join', join_authorised_via_users_server: '@carol:ours.test' }),
      /user of this server/,
    ],
    [
      'nobody vouching for the join',
      () => template({}, { membership: 'join', join_authorised_via_users_server: 'someone' }),
      /join_authorised/,
    ],
  ])('when the template is of %s', async (_, make, reason) => {
    const { joined, sent } = await join(room, { make })
    await expect(joined).rejects.toEqual(failure(502, 'M_UNKNOWN', reason))
    expect(sent()).toBeUndefined()
  })

  it('when the room has a version that is not known', async () => {
    const { joined, sent } = await join(room, { make: () => ({ ...room.template(bob), room_version: '99' }) })
    await expect(joined).rejects.toEqual(failure(400, 'M_UNSUPPORTED_ROOM_VERSION', /99/))
    expect(sent()).toBeUndefined()
  })

  it('whatever else the template has', async () => {
    const mine = fakeRoom(resident, '11')
    const { event, ...rest } = mine.template(bob, 'join', { displayname: 'Mallory', avatar_url: 'mxc://a/b' })
    const make = () => ({
      ...rest,
      event: { ...(event as JsonObject), origin_server_ts: 1, redacts: '$a', extra: 1 },
    })
    const { joined, sent } = await join(mine, { make })
    await joined
    const { hashes: _, signatures: __, ...fields } = sent() ?? {}
    const { depth, auth_events, prev_events } = event as JsonObject
    expect(fields).toEqual({
      type: 'm.room.member',
      room_id: mine.roomId,
      sender: bob,
      state_key: bob,
      content: { displayname: 'Bob', membership: 'join' },
      origin_server_ts: expect.any(Number) as number,
      depth,
      auth_events,
      prev_events,
    })
    expect(fields['origin_server_ts']).toBeGreaterThan(1)
  })
})

describe('of the state that a server gives', () => {
  const memberOf = (userId: UserId, content: JsonObject = { membership: 'join' }) => ({
    type: 'm.room.member',
    sender: userId,
    state_key: userId,
    content,
  })

  it.each<[string, (room: FakeRoom) => JsonObject]>([
    [
      'signed by another server than its sender',
      (room) => room.signed(memberOf(userOf(other, 'eve')), resident),
    ],
    [
      'with a signature of something else',
      (room) => ({ ...room.signed(memberOf(userOf(other, 'eve')), other), depth: 7 }),
    ],
    [
      'without a signature',
      (room) => ({ ...room.signed(memberOf(userOf(other, 'eve')), other), signatures: {} }),
    ],
    [
      'that the rules refuse',
      (room) =>
        room.signed({ ...memberOf(userOf(other, 'eve')), type: 'm.room.topic', state_key: '' }, other),
    ],
    ['of another room', () => fakeRoom(other, '11').signed(memberOf(userOf(other, 'eve')), other)],
    ['that is no event', () => ({ type: 'm.room.member' })],
  ])('an event is left out %s', async (_, forge) => {
    const room = fakeRoom(resident, '11')
    const forged = forge(room)
    const { joined, refused } = await join(room, {
      send: () => honest(room, { state: [forged, ...room.state()] }),
    })
    const id = await joined
    expect(Object.values(await currentState(room)).toSorted()).toEqual([...room.stateIds(), id].toSorted())
    expect(refused).toEqual([expect.stringMatching(/^1 ./)])
  })

  it('a number that is no integer makes an event none', async () => {
    const room = fakeRoom(resident, '11')
    const text = JSON.stringify(honest(room)).replaceAll('"creator:resident.test":100', '"x":1')
    const topic = room.signed({
      type: 'm.room.topic',
      sender: room.creator,
      state_key: '',
      content: { topic: 'a', n: 1 },
    })
    const state = JSON.stringify([...room.state(), topic]).replace('"n":1', '"n":1.0')
    const send = () =>
      new Response(text.replace(/"state":\[.*?\],"auth_chain"/s, `"state":${state},"auth_chain"`))
    await (
      await join(room, { send })
    ).joined
    expect(await currentState(room)).not.toHaveProperty(['m.room.topic|'])
  })

  it.each<[string, (room: FakeRoom) => JsonObject, RegExp]>([
    ['it is empty', (room) => honest(room, { state: [], auth_chain: [] }), /missing/],
    [
      'it lacks what the join rests upon',
      (room) => honest(room, { state: room.state().slice(0, 2), auth_chain: room.authChain().slice(0, 2) }),
      /missing/,
    ],
    [
      'it lacks the create event',
      (room) => honest(room, { state: room.state().slice(1), auth_chain: room.authChain().slice(1) }),
      /missing/,
    ],
    [
      'it lacks the join rules',
      (room) => honest(room, { state: room.state().slice(0, 3) }),
      /cannot be joined/,
    ],
    ['it holds what is no event', (room) => honest(room, { state: [1] }), /no event/],
    ['it is no list', (room) => honest(room, { state: {}, auth_chain: 1 }), /missing/],
  ])('nothing becomes ours where %s', async (_, answer, reason) => {
    const room = fakeRoom(resident, '11')
    const { joined, asked } = await join(room, { send: () => answer(room) })
    await expect(joined).rejects.toEqual(failure(502, 'M_UNKNOWN', reason))
    expect(await currentState(room)).toEqual({})
    // The other server believes that bob has joined, as he may yet.
    expect(asked.at(-1)?.path).toContain('/send_join/')
  })

  it('the state of a join that the rules refuse is not taken', async () => {
    const room = fakeRoom(resident, '11')
    room.set('m.room.join_rules', { join_rule: 'invite' })
    const { joined } = await join(room)
    await expect(joined).rejects.toEqual(failure(502, 'M_UNKNOWN', /cannot be joined/))
    expect(await currentState(room)).toEqual({})
  })
})

describe('an answer without end', () => {
  const encoder = new TextEncoder()
  function* again(text: string): Generator<Uint8Array> {
    const bytes = encoder.encode(text)
    for (;;) yield bytes
  }
  function* stream(head: string, rest: string): Generator<Uint8Array> {
    yield encoder.encode(head)
    yield* again(rest)
  }
  const response = (head: string, rest: string) => new Response(streamOf(stream(head, rest)))

  it.each<[string, string, string, 400 | 502, string]>([
    ['of events', '{"state":[{}', ',{}', 400, 'M_RESOURCE_LIMIT_EXCEEDED'],
    ['of auth events', '{"auth_chain":[{}', ',{}', 400, 'M_RESOURCE_LIMIT_EXCEEDED'],
    ['of one event', '{"state":["', 'x'.repeat(10_000), 502, 'M_UNKNOWN'],
    ['of one key', '{"', 'x'.repeat(10_000), 502, 'M_UNKNOWN'],
    ['of nothing of interest', '{"other":[1', ',1'.repeat(500_000), 400, 'M_RESOURCE_LIMIT_EXCEEDED'],
    ['of white space', '{', ' '.repeat(1_000_000), 502, 'M_UNKNOWN'],
  ])('is not read for ever: %s', async (_, head, rest, status, errcode) => {
    const room = fakeRoom(resident, '11')
    const { joined, asked } = await join(room, { send: () => response(head, rest) }, { stateEvents: 50 })
    await expect(joined).rejects.toEqual(failure(status, errcode))
    // A room that is too large will not get smaller: the join is taken back.
    expect(asked.at(-1)?.path).toContain(status === 400 ? '/make_leave/' : '/send_join/')
    expect(await currentState(room)).toEqual({})
  })

  it('is given up when it stops', async () => {
    const room = fakeRoom(resident, '11')
    const send = () =>
      new Response(
        new ReadableStream({ start: (controller) => controller.enqueue(encoder.encode('{"state":[')) }),
      )
    const { joined } = await join(room, { send }, { idleMs: 20 })
    await expect(joined).rejects.toEqual(failure(504, 'M_CONNECTION_TIMEOUT', /stopped/))
  })
})

describe('a join that a user of another server vouches for', () => {
  const vouched = (room: FakeRoom) =>
    room.template(bob, 'join', { join_authorised_via_users_server: room.creator })
  const restricted = () => {
    const room = fakeRoom(resident, '11')
    room.set('m.room.join_rules', {
      join_rule: 'restricted',
      allow: [{ type: 'm.room_membership', room_id: '!space:resident.test' }],
    })
    return room
  }
  const sign = (room: FakeRoom, event: JsonObject, by = resident) =>
    countersignEvent(event, room.rules, by.serverName, by.keyId, by.key)

  it('is taken with the signature of their server', async () => {
    const room = restricted()
    const send = (event: JsonObject) => honest(room, { event: { ...sign(room, event), unsigned: { a: 1 } } })
    const { joined, sent } = await join(room, { make: () => vouched(room), send })
    const id = await joined
    const pdu = JSON.parse(await (await server.room(room.roomId)).pduText(id)) as JsonObject
    expect(pdu).toEqual(sign(room, sent() ?? {}))
  })

  it.each<[string, (room: FakeRoom, event: JsonObject) => JsonObject | undefined, RegExp]>([
    ['nothing came back', () => undefined, /none/],
    ['it was not signed', (_, event) => event, /lacks the signature/],
    ['another server signed it', (room, event) => sign(room, event, other), /lacks the signature/],
    [
      'it is the join of somebody else',
      (room, event) => sign(room, { ...event, state_key: '@carol:ours.test' }),
      /another event/,
    ],
    [
      'its content was changed',
      (room, event) => sign(room, { ...event, content: { membership: 'ban' } }),
      /another event/,
    ],
    [
      'the signature is wrong',
      (_, event) => ({
        ...event,
        signatures: { [resident.serverName]: { [resident.keyId]: 'A'.repeat(86) } },
      }),
      /cannot be joined/,
    ],
  ])('is none where %s', async (_, answer, reason) => {
    const room = restricted()
    const send = (event: JsonObject) => {
      const back = answer(room, event)
      return honest(room, back === undefined ? {} : { event: back })
    }
    const { joined } = await join(room, { make: () => vouched(room), send })
    await expect(joined).rejects.toEqual(failure(502, 'M_UNKNOWN', reason))
    expect(await currentState(room)).toEqual({})
  })

  it('is our own, whatever came back where nobody has to vouch', async () => {
    const room = fakeRoom(resident, '11')
    const { joined, sent } = await join(room, { send: () => honest(room, { event: { nonsense: true } }) })
    expect(await joined).toBe(eventIdOf(sent() ?? {}, room.rules))
  })
})

describe('an older server', () => {
  it('is sent the join by the first version of the endpoint', async () => {
    const room = fakeRoom(resident, '1')
    const { joined, asked } = await join(room, {
      send: () =>
        asked.at(-1)?.path.includes('/v2/')
          ? new Response('404 page not found', { status: 404 })
          : Response.json([200, honest(room)]),
    })
    await joined
    expect(asked.map(({ path }) => path.split('/')[3])).toEqual(['v1', 'v2', 'v1'])
  })
})

describe('a refusal of a server', () => {
  it.each<[number, string, number, string]>([
    [403, 'M_FORBIDDEN', 403, 'M_FORBIDDEN'],
    [403, 'M_SOMETHING', 403, 'M_FORBIDDEN'],
    [404, 'M_NOT_FOUND', 404, 'M_NOT_FOUND'],
    [400, 'M_INCOMPATIBLE_ROOM_VERSION', 400, 'M_INCOMPATIBLE_ROOM_VERSION'],
    [400, 'M_UNABLE_TO_GRANT_JOIN', 400, 'M_UNABLE_TO_GRANT_JOIN'],
    [400, 'M_INVALID_PARAM', 502, 'M_UNKNOWN'],
    [401, 'M_UNAUTHORIZED', 502, 'M_UNKNOWN'],
    [429, 'M_LIMIT_EXCEEDED', 502, 'M_UNKNOWN'],
    [500, 'M_UNKNOWN', 502, 'M_UNKNOWN'],
  ])('with %i %s is %i %s for our user, with its message', async (status, errcode, told, as) => {
    const room = fakeRoom(resident, '11')
    const body = { errcode, error: 'because', room_version: '11' }
    const made = await join(room, { make: () => ({ status, body }) })
    await expect(made.joined).rejects.toEqual(failure(told, as, /because/))
    const sent = await join(room, { send: () => Response.json(body, { status }) })
    await expect(sent.joined).rejects.toEqual(failure(told, as, /because/))
    // Who did not let anybody in has nobody to let go.
    expect(sent.asked.at(-1)?.path).toContain('/send_join/')
  })
})
