// Policy servers (MSC4284): a simulated one says which events of a room it recommends.

import type { ServerResponse } from 'node:http'
import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest'
import { federationTransport } from '../../scripts/federation-transport.ts'
import { encodeBase64, encodeUrlSafeBase64 } from '../../src/matrix/base64.ts'
import { eventIdOf } from '../../src/matrix/event-hash.ts'
import { countersignEvent } from '../../src/matrix/event-signature.ts'
import type { UserId } from '../../src/matrix/event.ts'
import { type JsonObject, objectProperty } from '../../src/matrix/json.ts'
import { hasPolicySignature } from '../../src/matrix/policy-server.ts'
import { type AskingServer, askingServer, type SignedEvent } from '../support/asking-server.ts'
import { makeAuthority } from '../support/certificates.ts'
import { fakeKey, type FakeHomeserver, startFakeHomeserver } from '../support/fake-homeserver.ts'
import { loopbackNames } from '../support/federated-server.ts'
import { rulesOf } from '../support/remote-server.ts'
import { newClient, refusal, type RoomClient } from '../support/room-client.ts'
import { startServer, type TestServer } from '../support/server.ts'
import { textOf } from '../support/text-of.ts'

const authority = makeAuthority()
const rules = rulesOf('11')
const policyKey = fakeKey('ed25519:policy_server')

let fake: FakeHomeserver
let server: TestServer
let remote: AskingServer
let alice: RoomClient
let bob: UserId
let sent: JsonObject[]
let asked: JsonObject[]
let answer: (pdu: JsonObject, response: ServerResponse) => void

beforeAll(async () => {
  fake = await startFakeHomeserver(authority, 'policy.test')
  fake.route('/_matrix/federation/v1/send/*', (_, response, text) => {
    sent.push(...(JSON.parse(text) as { pdus: JsonObject[] }).pdus)
    response.writeHead(200).end('{"pdus":{}}')
  })
  fake.route('/_matrix/policy/v1/sign', (request, response, text) => {
    expect(request.method).toBe('POST')
    expect(request.headers.authorization).toContain('origin="test.local"')
    const pdu = JSON.parse(text) as JsonObject
    asked.push(pdu)
    answer(pdu, response)
  })
  const federation = federationTransport({
    extraCa: [authority.ca],
    allowPrivateNetworks: true,
    names: loopbackNames,
  })
  server = await startServer({ federation })
  alice = await newClient(server, 'alice')
  remote = await askingServer(server, fake.serverName)
  bob = remote.user('bob')
})
afterAll(async () => {
  await server.stop()
  await fake.stop()
})

beforeEach(() => {
  sent = []
  asked = []
  answer = recommend
})

function signatureOf(pdu: JsonObject): JsonObject {
  const signed = countersignEvent(pdu, rules, fake.serverName, policyKey.keyId, policyKey.key)
  const all = objectProperty(objectProperty(signed, 'signatures'), fake.serverName)
  return { [policyKey.keyId]: all?.[policyKey.keyId] ?? '' }
}

const recommend = (pdu: JsonObject, response: ServerResponse) =>
  void response.writeHead(200).end(JSON.stringify({ [fake.serverName]: signatureOf(pdu) }))

const refuse =
  (status = 400, body: JsonObject = { errcode: 'M_FORBIDDEN', error: 'This looks like spam' }) =>
  (_: JsonObject, response: ServerResponse) =>
    void response.writeHead(status).end(JSON.stringify(body))

const isRecommended = (pdu: JsonObject | undefined) =>
  pdu !== undefined && hasPolicySignature(pdu, rules, { via: fake.serverName, key: policyKey.key.publicKey })

const policy = (key = encodeBase64(policyKey.key.publicKey)): JsonObject => ({
  via: fake.serverName,
  public_keys: { ed25519: key },
})

/** A room of Alice's with Bob in it. */
async function roomWithBob(): Promise<string> {
  const roomId = await alice.createRoom({ preset: 'public_chat', room_version: '11' })
  await remote.join(roomId, bob)
  return roomId
}

async function roomWithPolicyServer(): Promise<string> {
  const roomId = await roomWithBob()
  expect((await alice.setState(roomId, 'm.room.policy', policy())).status).toBe(200)
  expect(asked).toEqual([])
  return roomId
}

/** An event of Bob's server with its signature as a policy server as well. */
function signed(pdu: JsonObject): JsonObject {
  const own = objectProperty(objectProperty(pdu, 'signatures'), fake.serverName)
  return { ...pdu, signatures: { [fake.serverName]: { ...own, ...signatureOf(pdu) } } }
}

let transactions = 0
const say = (roomId: string, body: string, txn = `p${(transactions += 1)}`) =>
  alice.inRoom('PUT', roomId, `send/m.room.message/${txn}`, { msgtype: 'm.text', body })

const bodies = () => sent.map((pdu) => objectProperty(pdu, 'content')?.['body'])

async function timeline(roomId: string): Promise<unknown[]> {
  const { body } = await alice.inRoom('GET', roomId, 'messages?dir=b&limit=50')
  return (body['chunk'] as JsonObject[]).map((event) => objectProperty(event, 'content')?.['body'])
}

/** Bob's message, built upon what is there. */
async function bobSays(roomId: string, body: string, parent?: string): Promise<SignedEvent> {
  const template = remote.fromTemplate(await remote.make('leave', roomId, bob)).pdu
  const { state_key: _, hashes: _hashes, signatures: _signatures, ...fields } = template
  return remote.sign(rules, {
    ...fields,
    type: 'm.room.message',
    content: { msgtype: 'm.text', body },
    ...(parent === undefined ? {} : { prev_events: [parent] }),
  })
}

async function bobSends(...pdus: JsonObject[]): Promise<void> {
  transactions += 1
  const content = { origin: fake.serverName, origin_server_ts: Date.now(), pdus }
  const { status } = await remote.ask('PUT', `/_matrix/federation/v1/send/in${transactions}`, content)
  expect(status).toBe(200)
}

describe('MSC4284: the policy server of a room is asked', () => {
  it('about nothing where it is not in the room, or is not named as it must be', async () => {
    const alone = await alice.createRoom({ preset: 'public_chat', room_version: '11' })
    await alice.setState(alone, 'm.room.policy', policy())
    expect((await say(alone, 'alone')).status).toBe(200)
    const roomId = await roomWithBob()
    for (const content of [
      {},
      { via: fake.serverName },
      { ...policy(), via: 5 },
      { ...policy(), public_keys: {} },
    ]) {
      await alice.setState(roomId, 'm.room.policy', content)
      expect((await say(roomId, 'hello')).status).toBe(200)
    }
    expect(asked).toEqual([])
  })

  it('about each event that we send, once, and its signature goes with it', async () => {
    const roomId = await roomWithPolicyServer()
    const first = await say(roomId, 'greetings', 'once')
    expect(first.status).toBe(200)
    expect(await say(roomId, 'greetings', 'once')).toMatchObject({ body: first.body })
    expect(asked).toHaveLength(1)
    expect(asked[0]).toMatchObject({ type: 'm.room.message', sender: alice.userId, room_id: roomId })
    expect(asked[0]).not.toHaveProperty('unsigned')
    await vi.waitFor(() => expect(bodies()).toContain('greetings'), 20_000)
    const pdu = sent.find((one) => objectProperty(one, 'content')?.['body'] === 'greetings')
    expect(isRecommended(pdu)).toBe(true)
    expect(pdu?.['signatures']).toHaveProperty('test.local')
    expect(pdu && eventIdOf(pdu, rules)).toBe(first.body['event_id'])
  })

  it('about state, memberships and other events of the same name; not about the one by which it was chosen', async () => {
    const roomId = await roomWithPolicyServer()
    const carol = await newClient(server, 'carol')
    expect((await carol.join(roomId)).status).toBe(200)
    expect((await alice.setState(roomId, 'm.room.name', { name: 'Recommended' })).status).toBe(200)
    expect((await alice.setState(roomId, 'm.room.policy', {}, 'other')).status).toBe(200)
    expect((await alice.act('kick', roomId, carol.userId)).status).toBe(200)
    const eventId = await alice.send(roomId, {}, 'm.room.policy')
    expect((await alice.redact(roomId, eventId)).status).toBe(200)
    expect(asked.map((pdu) => pdu['type'])).toEqual([
      'm.room.member',
      'm.room.name',
      'm.room.policy',
      'm.room.member',
      'm.room.policy',
      'm.room.redaction',
    ])
    answer = refuse()
    expect((await alice.setState(roomId, 'm.room.policy', {})).status).toBe(200)
    expect((await say(roomId, 'free')).status).toBe(200)
    expect(asked).toHaveLength(6)
  })

  it('also with its key in the URL-safe alphabet, and about all that an upgrade does to the old room', async () => {
    const roomId = await roomWithBob()
    const text = encodeUrlSafeBase64(policyKey.key.publicKey)
    await alice.setState(roomId, 'm.room.policy', policy(text))
    const upgraded = await alice.inRoom('POST', roomId, 'upgrade', { new_version: '11' })
    expect(upgraded.status).toBe(200)
    expect(asked.map((pdu) => pdu['type'])).toEqual(['m.room.tombstone', 'm.room.power_levels'])
    expect(await alice.state(roomId, 'm.room.tombstone')).toMatchObject({
      replacement_room: upgraded.body['replacement_room'],
    })
    // What the new room says of itself is said to nobody else yet.
    expect(asked.every((pdu) => pdu['room_id'] === roomId)).toBe(true)
  })

  it('about guests who leave a room that is closed to them', async () => {
    const roomId = await roomWithBob()
    await alice.setState(roomId, 'm.room.guest_access', { guest_access: 'can_join' })
    const { body } = await server.request('POST', '/_matrix/client/v3/register?kind=guest', { body: {} })
    const guest = textOf(body, 'user_id')
    const path = `/_matrix/client/v3/rooms/${encodeURIComponent(roomId)}/join`
    const joined = await server.request('POST', path, { token: textOf(body, 'access_token'), body: {} })
    expect(joined.status).toBe(200)
    await alice.setState(roomId, 'm.room.policy', policy())
    const closed = await alice.setState(roomId, 'm.room.guest_access', { guest_access: 'forbidden' })
    expect(closed.status).toBe(200)
    await vi.waitFor(
      async () =>
        expect(await alice.state(roomId, 'm.room.member', guest)).toMatchObject({ membership: 'leave' }),
      20_000,
    )
    expect(asked.map((pdu) => pdu['type'])).toEqual(['m.room.guest_access', 'm.room.member'])
  })

  it('about events that merge forks', async () => {
    const roomId = await roomWithPolicyServer()
    const parent = (await bobSays(roomId, 'where they part')).pdu['prev_events'] as string[]
    const forks = await Promise.all(
      Array.from({ length: 12 }, (_, n) => bobSays(roomId, `fork ${n}`, parent[0])),
    )
    await bobSends(...forks.map(({ pdu }) => signed(pdu)))
    await vi.waitFor(
      () => expect(asked.map((pdu) => pdu['type'])).toEqual(['org.matrix.dummy_event']),
      40_000,
    )
    const room = await server.room(roomId)
    const merge = asked[0] ? eventIdOf(asked[0], rules) : ''
    await vi.waitFor(async () => {
      const kept = JSON.parse(await room.pduText(merge)) as JsonObject
      expect(isRecommended(kept)).toBe(true)
      expect(kept['prev_events']).toHaveLength(10)
    }, 20_000)
  }, 60_000)

  it('about delayed events, which are sent with its signature or cancelled', async () => {
    const roomId = await roomWithPolicyServer()
    const delay = (body: string) =>
      alice.inRoom('PUT', roomId, `send/m.room.message/d-${body}?org.matrix.msc4140.delay=100`, { body })
    expect((await delay('later')).status).toBe(200)
    await vi.waitFor(async () => expect(await timeline(roomId)).toContain('later'), 20_000)
    expect(asked).toHaveLength(1)
    answer = refuse()
    const { body } = await delay('never')
    const path = `/_matrix/client/unstable/org.matrix.msc4140/delayed_events/${textOf(body, 'delay_id')}`
    await vi.waitFor(async () => {
      const { body: delayed } = await server.request('GET', path, { token: alice.token })
      expect(JSON.stringify(delayed)).toContain('This looks like spam')
    }, 20_000)
    expect(await timeline(roomId)).not.toContain('never')
  })
})

describe('MSC4284: a room that names its policy server when it is made', () => {
  const create = (invite: string[], options: JsonObject = {}) =>
    alice.call('POST', '/createRoom', {
      room_version: '11',
      preset: 'public_chat',
      initial_state: [{ type: 'm.room.policy', content: policy() }],
      name: 'Watched',
      invite,
      ...options,
    })
  const types = () => asked.map((pdu) => [pdu['type'], pdu['state_key']])

  /** Their server signs invites, each once `first` has come to its end. */
  function signInvites(first: (pdu: JsonObject) => Promise<unknown>): void {
    fake.route('/_matrix/federation/v2/invite/*/*', (_, response, text) => {
      const pdu = objectProperty(JSON.parse(text) as JsonObject, 'event') ?? {}
      const { keyId, key } = remote.signer
      const event = countersignEvent(pdu, rules, fake.serverName, keyId, key)
      void first(pdu).finally(() => response.end(JSON.stringify({ event })))
    })
  }

  it('has nobody to ask until that has come, and asks from then on', async () => {
    const dora = await newClient(server, 'dora')
    signInvites(() => Promise.resolve())
    const roomId = textOf((await create([bob, dora.userId])).body, 'room_id')
    expect(await alice.state(roomId, 'm.room.member', bob)).toMatchObject({ membership: 'invite' })
    expect((await say(roomId, 'still alone')).status).toBe(200)
    expect(types()).toEqual([])
    await remote.join(roomId, bob)
    expect((await say(roomId, 'watched')).status).toBe(200)
    expect((await dora.join(roomId)).status).toBe(200)
    expect(types()).toEqual([
      ['m.room.message', undefined],
      ['m.room.member', dora.userId],
    ])
  })

  it('asks about the invites that it comes before, and sends none that is refused', async () => {
    const erin = remote.user('erin')
    const eve = remote.user('eve')
    answer = (pdu, response) => (pdu['state_key'] === eve ? refuse() : recommend)(pdu, response)
    let joined: Promise<unknown> | undefined
    signInvites((pdu) => (joined ??= remote.join(textOf(pdu, 'room_id'), bob)))
    // The room is there by then, with whoever could be invited.
    expect(await create([erin, eve])).toEqual(refusal(400, 'M_FORBIDDEN'))
    const roomId = textOf(asked[0] ?? {}, 'room_id')
    expect(await alice.state(roomId, 'm.room.member', erin)).toMatchObject({ membership: 'invite' })
    expect(await alice.state(roomId, 'm.room.member', eve)).toBeUndefined()
    expect(types()).toEqual(
      expect.arrayContaining([
        ['m.room.member', erin],
        ['m.room.member', eve],
      ]),
    )
  })

  // It is in the room from its first event on, and signs nothing as a policy server.
  it('is not made where that is this server itself, and anything is to follow', async () => {
    const initial = [{ type: 'm.room.policy', content: { ...policy(), via: 'test.local' } }]
    const before = await alice.done('GET', '/joined_rooms')
    const answers = await Promise.all([
      create([], { initial_state: initial }),
      alice.call('POST', '/createRoom', { initial_state: initial, invite: ['@dora:test.local'] }),
    ])
    expect(answers).toEqual([refusal(400, 'M_INVALID_ROOM_STATE'), refusal(400, 'M_INVALID_ROOM_STATE')])
    expect(await alice.done('GET', '/joined_rooms')).toEqual(before)
  })
})

describe('an event that the policy server does not sign is not sent', () => {
  it('where it refuses: the client is told why', async () => {
    const roomId = await roomWithPolicyServer()
    answer = refuse()
    expect(await say(roomId, 'spam')).toMatchObject({
      status: 400,
      body: { errcode: 'M_FORBIDDEN', error: 'This looks like spam' },
    })
    answer = refuse(429, { errcode: 'M_LIMIT_EXCEEDED', error: 'Slowly', retry_after_ms: 1500 })
    expect(await say(roomId, 'spam')).toMatchObject({
      status: 429,
      body: { errcode: 'M_LIMIT_EXCEEDED', retry_after_ms: 1500 },
    })
    // It speaks of our request, not of the session of our user.
    answer = refuse(401, { errcode: 'M_UNKNOWN_TOKEN', error: 'Log out' })
    expect(await say(roomId, 'spam')).toEqual(refusal(403, 'M_FORBIDDEN'))
    answer = recommend
    expect((await say(roomId, 'ham')).status).toBe(200)
    expect(await timeline(roomId)).not.toContain('spam')
  })

  it('where its signature does not hold', async () => {
    const roomId = await roomWithPolicyServer()
    answer = (pdu, response) => recommend({ ...pdu, sender: bob }, response)
    expect(await say(roomId, 'forged')).toEqual(refusal(403, 'M_FORBIDDEN'))
    answer = (_, response) => void response.writeHead(200).end('{}')
    expect(await say(roomId, 'forged')).toEqual(refusal(502, 'M_CONNECTION_FAILED'))
    expect(await timeline(roomId)).not.toContain('forged')
  })
})

describe('an event of another server', () => {
  it('with the signature is taken without asking', async () => {
    const roomId = await roomWithPolicyServer()
    const { pdu } = await bobSays(roomId, 'signed')
    await bobSends(signed(pdu))
    expect(await timeline(roomId)).toContain('signed')
    expect(asked).toEqual([])
    // Its key is not looked for among those that the server publishes.
    expect(fake.requests.filter((line) => line.includes('/_matrix/key/'))).toEqual([])
  })

  it('without a valid one is taken when the policy server signs it now', async () => {
    const roomId = await roomWithPolicyServer()
    const unsigned = await bobSays(roomId, 'asked about')
    await bobSends(unsigned.pdu)
    await vi.waitFor(async () => expect(await timeline(roomId)).toContain('asked about'), 20_000)
    const forged = await bobSays(roomId, 'signed by another key')
    const own = objectProperty(objectProperty(forged.pdu, 'signatures'), fake.serverName)
    const wrong = { ...own, [policyKey.keyId]: encodeBase64(new Uint8Array(64)) }
    await bobSends({ ...forged.pdu, signatures: { [fake.serverName]: wrong } })
    await vi.waitFor(async () => expect(await timeline(roomId)).toContain('signed by another key'), 20_000)
    expect(asked.map((pdu) => eventIdOf(pdu, rules))).toEqual([unsigned.eventId, forged.eventId])
    // What we hand on has the signature beside that of the sender.
    const room = await server.room(roomId)
    const kept = JSON.parse(await room.pduText(unsigned.eventId)) as JsonObject
    expect(isRecommended(kept)).toBe(true)
    const signatures = objectProperty(objectProperty(kept, 'signatures'), fake.serverName)
    expect(Object.keys(signatures ?? {})).toHaveLength(2)
  })

  it('that it refuses is soft-failed: nobody sees it, and what builds upon it is taken', async () => {
    const roomId = await roomWithPolicyServer()
    answer = (pdu, response) =>
      (objectProperty(pdu, 'content')?.['body'] === 'spam' ? refuse() : recommend)(pdu, response)
    const spam = await bobSays(roomId, 'spam')
    const next = await bobSays(roomId, 'after spam', spam.eventId)
    await bobSends(spam.pdu, next.pdu)
    await vi.waitFor(async () => expect(await timeline(roomId)).toContain('after spam'), 20_000)
    expect(await timeline(roomId)).not.toContain('spam')
    expect((await alice.event(roomId, spam.eventId)).status).toBe(404)
    const before = asked.length
    await bobSends(spam.pdu)
    expect(asked).toHaveLength(before)
  })

  it('that is fetched to fill a gap is asked about too', async () => {
    const roomId = await roomWithPolicyServer()
    const below = await bobSays(roomId, 'in the gap')
    const above = await bobSays(roomId, 'above the gap', below.eventId)
    fake.answer('/_matrix/federation/v1/get_missing_events/*', () => ({ events: [below.pdu] }))
    await bobSends(above.pdu)
    await vi.waitFor(async () => expect(await timeline(roomId)).toContain('above the gap'), 20_000)
    expect(await timeline(roomId)).toContain('in the gap')
    expect(asked.map((pdu) => eventIdOf(pdu, rules))).toEqual([below.eventId, above.eventId])
  })

  it('that is a join through us is taken with the signature, or refused', async () => {
    const roomId = await roomWithPolicyServer()
    const { eventId } = await remote.join(roomId, remote.user('dora'))
    expect(asked.map((pdu) => eventIdOf(pdu, rules))).toEqual([eventId])
    answer = refuse()
    const erin = remote.user('erin')
    const join = remote.fromTemplate(await remote.make('join', roomId, erin))
    expect(await remote.send('join', roomId, join)).toEqual(refusal(400, 'M_FORBIDDEN'))
    expect(await alice.state(roomId, 'm.room.member', erin)).toBeUndefined()
  })
})

// The last: what does not answer is left alone for a while.
it('a policy server that does not answer lets nothing through, until the room does without it', async () => {
  const roomId = await roomWithPolicyServer()
  answer = (_, response) => void response.writeHead(503).end('{}')
  expect(await say(roomId, 'unheard')).toEqual(refusal(502, 'M_FORBIDDEN'))
  // Not asked again at once.
  expect(await say(roomId, 'unheard')).toEqual(refusal(502, 'M_CONNECTION_FAILED'))
  expect(asked).toHaveLength(1)
  const { pdu } = await bobSays(roomId, 'from elsewhere')
  await bobSends(pdu)
  expect((await alice.setState(roomId, 'm.room.policy', {})).status).toBe(200)
  expect((await say(roomId, 'heard')).status).toBe(200)
  expect(await timeline(roomId)).toEqual(expect.arrayContaining(['heard']))
  expect(await timeline(roomId)).not.toContain('unheard')
  expect(await timeline(roomId)).not.toContain('from elsewhere')
})
