// Attack: another server that lies. It comes over HTTP with valid signatures on its requests; what is inside them is not true.

import { randomBytes } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { appRoutes } from '../../scripts/coverage.ts'
import { eventIdOf } from '../../src/matrix/event-hash.ts'
import type { JsonObject, JsonValue } from '../../src/matrix/json.ts'
import { roomVersion } from '../../src/matrix/room-version.ts'
import { type AskingServer, askingServer, federation, type SignedEvent } from '../support/asking-server.ts'
import { signedRequest } from '../support/fake-homeserver.ts'
import { newClient, refusal, type RoomClient } from '../support/room-client.ts'
import { startServer, type TestServer, testServerName } from '../support/server.ts'
import { textOf } from '../support/text-of.ts'

let server: TestServer
let alice: RoomClient
let evil: AskingServer
let victim: AskingServer
beforeAll(async () => {
  server = await startServer()
  alice = await newClient(server, 'alice')
  evil = await askingServer(server, 'evil.test')
  victim = await askingServer(server, 'victim.test')
})
afterAll(() => server.stop())

const segment = encodeURIComponent
const version = '10'
const mallory = '@mallory:evil.test'

function rulesOf(id: string) {
  const rules = roomVersion(id)
  if (!rules) throw new Error(`no room version ${id}`)
  return rules
}

/** A public room with a user of either other server in it, and a template for mallory's next event. */
async function openRoom(id = version) {
  const roomId = await alice.createRoom({ preset: 'public_chat', room_version: id })
  await victim.join(roomId, victim.user('carol'))
  const { pdu, eventId, answer } = await evil.join(roomId, mallory)
  const idOf = (type: string) => {
    const found = answer.state.find((event) => event['type'] === type && event['state_key'] === '')
    return found ? eventIdOf(found, rulesOf(id)) : ''
  }
  const auth = [idOf('m.room.create'), idOf('m.room.power_levels'), eventId]
  const draft = (fields: JsonObject): JsonObject => ({
    room_id: roomId,
    sender: mallory,
    type: 'm.room.message',
    content: { msgtype: 'm.text', body: 'a lie' },
    origin_server_ts: Date.now(),
    depth: Number(pdu['depth']) + 1,
    prev_events: [eventId],
    auth_events: auth,
    ...fields,
  })
  return { roomId, draft, joinId: eventId, auth }
}

async function transaction(from: AskingServer, content: { pdus?: JsonValue[]; edus?: JsonValue[] }) {
  const txn = randomBytes(8).toString('hex')
  return await from.ask<{ pdus: Record<string, { error?: string }> }>('PUT', `${federation}/v1/send/${txn}`, {
    origin: from.serverName,
    origin_server_ts: Date.now(),
    pdus: [],
    edus: [],
    ...content,
  })
}

/** What a member sees of the room. */
async function seen(roomId: string): Promise<string> {
  const state = await alice.inRoom('GET', roomId, 'state')
  const messages = await alice.inRoom('GET', roomId, 'messages?dir=b&limit=100')
  const ids = (events: JsonValue | undefined) =>
    (events as JsonObject[]).map((event) => [event['event_id'], event['content']])
  return JSON.stringify([ids(state.body), ids(messages.body['chunk'])])
}

test('no federation route answers who has not signed', async () => {
  const routes = appRoutes().filter(({ path }) => path.startsWith('/_matrix/federation/'))
  expect(routes.length).toBeGreaterThan(25)
  const open = [
    '/_matrix/federation/v1/version',
    '/_matrix/federation/v1/openid/userinfo',
    '/_matrix/federation/v1/3pid/onbind',
  ]
  for (const { method, path } of routes.filter((route) => !open.includes(route.path))) {
    const url = path.replaceAll(/:[a-zA-Z]+/g, 'x')
    const answer = await server.request(method, url, method === 'GET' ? {} : { body: {} })
    expect(answer, `${method} ${path}`).toEqual(refusal(401, 'M_UNAUTHORIZED'))
    const withToken = await server.request(method, url, {
      token: alice.token,
      ...(method === 'GET' ? {} : { body: {} }),
    })
    expect(withToken.status, `${method} ${path} with an access token`).toBe(401)
  }
})

test('a request signed for another server, path, method or body is not let in', async () => {
  const uri = `${federation}/v1/query/profile?user_id=${segment(alice.userId)}`
  const ask = async (signed: { authorization: string }, path = uri) =>
    (await server.fetch(path, { headers: { Authorization: signed.authorization } })).status
  const options = { method: 'GET', uri, content: null }
  expect(await ask(signedRequest(evil.signer, testServerName, options))).toBe(200)
  expect(await ask(signedRequest(evil.signer, 'other.test', options))).toBe(401)
  expect(await ask(signedRequest(evil.signer, testServerName, { ...options, method: 'PUT' }))).toBe(401)
  expect(await ask(signedRequest(evil.signer, testServerName, { ...options, uri: `${uri}x` }))).toBe(401)
  expect(await ask(signedRequest(evil.signer, testServerName, { ...options, content: {} }))).toBe(401)
  const asVictim = { ...evil.signer, serverName: victim.serverName }
  expect(await ask(signedRequest(asVictim, testServerName, options))).toBe(401)
})

describe('an event is not accepted as it is', () => {
  const rules = rulesOf(version)
  const bodyOf = async (roomId: string, eventId: string) =>
    (await alice.event(roomId, eventId)).body['content'] as JsonObject | undefined

  const outcomes: [string, (signed: SignedEvent, draft: JsonObject) => JsonObject][] = [
    ['without signatures', ({ pdu }) => ({ ...pdu, signatures: {} })],
    ['without the field of signatures', ({ pdu: { signatures: _signatures, ...pdu } }) => pdu],
    ['with the signature of another server alone', (_, draft) => victim.sign(rules, draft).pdu],
    [
      'with a signature by another key',
      ({ pdu }) => ({
        ...pdu,
        signatures: { 'evil.test': { 'ed25519:unknown': signatureOf(pdu) } },
      }),
    ],
    [
      'with a signature of something else',
      ({ pdu }, draft) => ({
        ...pdu,
        signatures: evil.sign(rules, { ...draft, depth: 1 }).pdu['signatures'] ?? {},
      }),
    ],
    [
      'with a signature that is cut',
      ({ pdu }) => ({
        ...pdu,
        signatures: { 'evil.test': { [evil.signer.keyId]: signatureOf(pdu).slice(0, -2) } },
      }),
    ],
    ['with another sender than was signed', ({ pdu }) => ({ ...pdu, sender: '@carol:victim.test' })],
    [
      'in the name of a user of another server',
      (_, draft) => evil.sign(rules, { ...draft, sender: '@carol:victim.test' }).pdu,
    ],
    ['in the name of a user of ours', (_, draft) => evil.sign(rules, { ...draft, sender: alice.userId }).pdu],
    [
      'without a hash',
      (_, draft) => {
        const { hashes: _hashes, ...pdu } = evil.sign(rules, draft).pdu
        return pdu
      },
    ],
  ]
  test.each(outcomes)('%s', async (_, change) => {
    const { roomId, draft } = await openRoom()
    const before = await seen(roomId)
    const fields = draft({})
    const pdu = change(evil.sign(rules, fields), fields)
    const answer = await transaction(evil, { pdus: [pdu] })
    expect(answer.status).toBe(200)
    expect(await seen(roomId)).toBe(before)
  })

  test('with other content than was hashed: its content is gone', async () => {
    const { roomId, draft } = await openRoom()
    const { pdu, eventId } = evil.sign(rules, draft({}))
    const forged = { ...pdu, content: { msgtype: 'm.text', body: 'forged' } }
    expect((await transaction(evil, { pdus: [forged] })).status).toBe(200)
    expect(await bodyOf(roomId, eventId)).toEqual({})
    expect(await seen(roomId)).not.toContain('forged')
  })

  test('while the true one is', async () => {
    const { roomId, draft } = await openRoom()
    const { pdu, eventId } = evil.sign(rules, draft({}))
    const answer = await transaction(evil, { pdus: [pdu] })
    expect(answer.body.pdus).toEqual({ [eventId]: {} })
    expect(await bodyOf(roomId, eventId)).toMatchObject({ body: 'a lie' })
  })
})

function signatureOf(pdu: JsonObject): string {
  const signatures = pdu['signatures'] as Record<string, Record<string, string>>
  return Object.values(signatures['evil.test'] ?? {})[0] ?? ''
}

describe('an event that is no event', () => {
  const drafts: [string, string, (draft: JsonObject) => JsonObject][] = [
    ['larger than 65,536 bytes', version, (draft) => ({ ...draft, content: { body: 'x'.repeat(65_536) } })],
    [
      'larger than 65,536 bytes by its unsigned part',
      version,
      (draft) => ({ ...draft, content: { body: 'x'.repeat(66_000) }, unsigned: {} }),
    ],
    ['with a fraction', '6', (draft) => ({ ...draft, content: { body: 'a lie', n: 1.5 } })],
    ['with a number beyond 2^53', '6', (draft) => ({ ...draft, content: { body: 'a lie', n: 2 ** 53 } })],
    ['with a depth beyond 2^63', version, (draft) => ({ ...draft, depth: 1e19 })],
    ['with a type that is too long', version, (draft) => ({ ...draft, type: 'x'.repeat(256) })],
    [
      'with more than 20 parents',
      version,
      (draft) => ({ ...draft, prev_events: Array.from({ length: 21 }, (_, n) => `$${n}`) }),
    ],
    [
      'with more than 10 auth events',
      version,
      (draft) => ({ ...draft, auth_events: Array.from({ length: 11 }, (_, n) => `$${n}`) }),
    ],
    ['with a number as its type', version, (draft) => ({ ...draft, type: 1 })],
    ['with a list as its content', version, (draft) => ({ ...draft, content: [] })],
    ['without a time', version, ({ origin_server_ts: _time, ...draft }) => draft],
  ]
  test.each(drafts)('%s is dropped', async (_, id, change) => {
    const { roomId, draft } = await openRoom(id)
    const before = await seen(roomId)
    const fields = change(draft({}))
    let pdu: JsonObject
    try {
      pdu = evil.sign(rulesOf(id), fields).pdu
    } catch {
      // Our own code does not sign what is not canonical; whoever lies is not held by that.
      pdu = { ...evil.sign(rulesOf(id), draft({})).pdu, ...fields }
    }
    const answer = await transaction(evil, { pdus: [pdu] })
    expect([200, 400]).toContain(answer.status)
    expect(await seen(roomId)).toBe(before)
  })

  test.each<JsonValue>([null, 1, 'x', [], {}, { room_id: 5 }, { room_id: '!x:y', type: 'm.room.message' }])(
    '%j does no harm',
    async (pdu) => {
      const answer = await transaction(evil, { pdus: [pdu] })
      expect([200, 400]).toContain(answer.status)
    },
  )

  test('more than 50 at once, or 100 ephemeral ones, are refused', async () => {
    expect((await transaction(evil, { pdus: Array.from({ length: 51 }, () => ({})) })).status).toBe(413)
    expect((await transaction(evil, { edus: Array.from({ length: 101 }, () => ({})) })).status).toBe(413)
  })
})

describe('somebody without the power on another server', () => {
  const power = { users: { [mallory]: 100 } }
  const events: [string, JsonObject][] = [
    ['gives themselves power', { type: 'm.room.power_levels', state_key: '', content: power }],
    ['names the room', { type: 'm.room.name', state_key: '', content: { name: 'a lie' } }],
    ['shuts the door', { type: 'm.room.join_rules', state_key: '', content: { join_rule: 'invite' } }],
    [
      'bans our user',
      { type: 'm.room.member', state_key: '@alice:test.local', content: { membership: 'ban' } },
    ],
    [
      'removes our user',
      { type: 'm.room.member', state_key: '@alice:test.local', content: { membership: 'leave' } },
    ],
    [
      'joins our user',
      { type: 'm.room.member', state_key: '@new:test.local', content: { membership: 'join' } },
    ],
    [
      'creates the room again',
      {
        type: 'm.room.create',
        state_key: '',
        content: { room_version: version, creator: mallory },
        prev_events: [],
        auth_events: [],
      },
    ],
    ['writes in our user’s state', { type: 'org.example.x', state_key: '@alice:test.local', content: {} }],
  ]
  test.each(events)('%s: refused', async (_, fields) => {
    const { roomId, draft } = await openRoom()
    const before = await seen(roomId)
    const { pdu, eventId } = evil.sign(rulesOf(version), draft(fields))
    const answer = await transaction(evil, { pdus: [pdu] })
    expect(answer.body.pdus[eventId]?.error, JSON.stringify(answer.body)).toEqual(expect.any(String))
    expect(await seen(roomId)).toBe(before)
  })

  test('gives themselves power by auth events of their own choice: refused', async () => {
    const { roomId, draft, auth } = await openRoom()
    const before = await seen(roomId)
    const withoutLevels = auth.filter((_, index) => index !== 1)
    const claim = evil.sign(
      rulesOf(version),
      draft({ type: 'm.room.power_levels', state_key: '', content: power, auth_events: withoutLevels }),
    )
    const use = evil.sign(
      rulesOf(version),
      draft({
        type: 'm.room.name',
        state_key: '',
        content: { name: 'a lie' },
        prev_events: [claim.eventId],
        auth_events: [...withoutLevels, claim.eventId],
      }),
    )
    await transaction(evil, { pdus: [claim.pdu, use.pdu] })
    expect(await seen(roomId)).toBe(before)
  })
})

describe('a banned user of another server', () => {
  test('does not come back by any handshake, nor by an event on an old branch', async () => {
    const { roomId, draft, joinId, auth } = await openRoom()
    const template = await evil.make('join', roomId, mallory)
    await alice.act('ban', roomId, mallory)
    expect((await evil.make('join', roomId, mallory)).status).toBe(403)
    expect((await evil.make('knock', roomId, mallory)).status).toBe(403)
    expect((await evil.make('leave', roomId, mallory)).status).toBe(403)
    const late = evil.fromTemplate(template)
    expect((await evil.send('join', roomId, late)).status).toBe(403)
    // Valid where it claims to be: after the join, before the ban. It must not become current.
    const fork = evil.sign(
      rulesOf(version),
      draft({
        type: 'm.room.member',
        state_key: mallory,
        content: { membership: 'join', displayname: 'back' },
        prev_events: [joinId],
        auth_events: auth,
      }),
    )
    await transaction(evil, { pdus: [fork.pdu] })
    expect(await alice.state(roomId, 'm.room.member', mallory)).toMatchObject({ membership: 'ban' })
    const message = evil.sign(rulesOf(version), draft({ prev_events: [fork.eventId] }))
    await transaction(evil, { pdus: [message.pdu] })
    expect(await seen(roomId)).not.toContain('a lie')
  })
})

describe('an ephemeral event about a user of another server than its origin', () => {
  const edus = (roomId: string, eventId: string): [string, JsonObject][] => [
    [
      'typing',
      { edu_type: 'm.typing', content: { room_id: roomId, user_id: '@carol:victim.test', typing: true } },
    ],
    [
      'typing of ours',
      { edu_type: 'm.typing', content: { room_id: roomId, user_id: alice.userId, typing: true } },
    ],
    [
      'a receipt',
      {
        edu_type: 'm.receipt',
        content: {
          [roomId]: { 'm.read': { '@carol:victim.test': { data: { ts: 1 }, event_ids: [eventId] } } },
        },
      },
    ],
    [
      'a receipt of ours',
      {
        edu_type: 'm.receipt',
        content: { [roomId]: { 'm.read': { [alice.userId]: { data: { ts: 1 }, event_ids: [eventId] } } } },
      },
    ],
    [
      'presence',
      {
        edu_type: 'm.presence',
        content: { push: [{ user_id: '@carol:victim.test', presence: 'online', last_active_ago: 1 }] },
      },
    ],
    [
      'a device list',
      {
        edu_type: 'm.device_list_update',
        content: { user_id: '@carol:victim.test', device_id: 'X', stream_id: 1 },
      },
    ],
    ['cross-signing keys', { edu_type: 'm.signing_key_update', content: { user_id: '@carol:victim.test' } }],
    [
      'a message to a device',
      {
        edu_type: 'm.direct_to_device',
        content: {
          sender: '@carol:victim.test',
          type: 'm.room_key',
          message_id: 'm1',
          messages: { [alice.userId]: { '*': { secret: 'a lie' } } },
        },
      },
    ],
  ]

  test('changes nothing', async () => {
    const { roomId, joinId } = await openRoom()
    const since = textOf(await alice.done('GET', '/sync'), 'next_batch')
    for (const [name, edu] of edus(roomId, joinId)) {
      expect((await transaction(evil, { edus: [edu] })).status, name).toBe(200)
    }
    const after = JSON.stringify(await alice.done('GET', `/sync?since=${since}`))
    expect(after).not.toContain('carol')
    expect(after).not.toContain('a lie')
    expect(after).not.toContain('m.typing')
    expect(after).not.toContain('m.receipt')
  })

  test('while that of its own user does', async () => {
    const { roomId } = await openRoom()
    const since = textOf(await alice.done('GET', '/sync'), 'next_batch')
    const edu = { edu_type: 'm.typing', content: { room_id: roomId, user_id: mallory, typing: true } }
    await transaction(evil, { edus: [edu] })
    expect(JSON.stringify(await alice.done('GET', `/sync?since=${since}&timeout=5000`))).toContain(mallory)
  })
})

describe('our signature is not got on what we did not build', () => {
  /** Whether an answer, or anything in it, bears a signature of ours on an event. */
  const bearsOurs = (answer: unknown) => {
    const text = JSON.stringify(answer)
    return text.includes('"signatures"') && text.includes('"test.local":{"ed25519:')
  }
  const invite = (roomId: string, fields: JsonObject = {}) => ({
    room_id: roomId,
    sender: mallory,
    type: 'm.room.member',
    state_key: alice.userId,
    content: { membership: 'invite' },
    origin_server_ts: Date.now(),
    depth: 5,
    prev_events: ['$p'],
    auth_events: ['$a'],
    ...fields,
  })
  const ask = async (draft: JsonObject, roomId = '!elsewhere:evil.test', eventId?: string) => {
    const signed = evil.sign(rulesOf(version), draft)
    const path = `${federation}/v2/invite/${segment(roomId)}/${segment(eventId ?? signed.eventId)}`
    return await evil.ask('PUT', path, { room_version: version, event: signed.pdu, invite_room_state: [] })
  }

  const refused: [string, JsonObject][] = [
    ['a message', { type: 'm.room.message', content: { body: 'we said so' } }],
    ['power levels', { type: 'm.room.power_levels', state_key: '', content: { users: {} } }],
    ['a join', { content: { membership: 'join' } }],
    ['a ban', { content: { membership: 'ban' } }],
    ['an invite of somebody elsewhere', { state_key: '@carol:victim.test' }],
    ['an invite of nobody', { state_key: '' }],
    ['an invite in our user’s name', { sender: '@alice:test.local' }],
    ['an invite in the name of another server', { sender: '@carol:victim.test' }],
    ['an invite into another room than the path says', { room_id: '!other:evil.test' }],
  ]
  test.each(refused)('by way of an invite: %s', async (_, fields) => {
    const answer = await ask(invite('!elsewhere:evil.test', fields))
    expect(answer.status).toBeGreaterThanOrEqual(400)
    expect(answer.status).toBeLessThan(500)
    expect(bearsOurs(answer.body)).toBe(false)
  })

  test('while an invite of our user is what we sign, and nothing in it changes', async () => {
    const draft = invite('!elsewhere:evil.test')
    const { body, status } = await ask(draft)
    expect(status).toBe(200)
    expect(bearsOurs(body)).toBe(true)
    expect(body['event']).toMatchObject(draft)
  })

  test('by way of templates, which are not signed', async () => {
    const { roomId } = await openRoom()
    for (const membership of ['join', 'leave', 'knock']) {
      expect(bearsOurs((await evil.make(membership, roomId, mallory)).body)).toBe(false)
    }
  })

  test('by way of a handshake for somebody else, or another event', async () => {
    const { roomId, draft } = await openRoom()
    const events = [
      draft({}),
      draft({ type: 'm.room.member', state_key: '@carol:victim.test', content: { membership: 'join' } }),
      draft({
        type: 'm.room.member',
        state_key: alice.userId,
        sender: alice.userId,
        content: { membership: 'join' },
      }),
      draft({ type: 'm.room.power_levels', state_key: '', content: {} }),
    ]
    for (const event of events) {
      for (const membership of ['join', 'leave', 'knock']) {
        const answer = await evil.send(membership, roomId, evil.sign(rulesOf(version), event))
        // Only the event itself counts: the state of a room of ours has events that we did sign.
        if (answer.status === 200)
          expect(bearsOurs(answer.body['event'] ?? {}), JSON.stringify(event)).toBe(false)
      }
    }
    expect(await seen(roomId)).not.toContain('a lie')
  })

  test('by way of a join that claims one of ours vouches for it', async () => {
    const door = await alice.createRoom({ room_version: version })
    const join_rule = { join_rule: 'restricted', allow: [{ type: 'm.room_membership', room_id: door }] }
    const rules = { type: 'm.room.join_rules', state_key: '', content: join_rule }
    const roomId = await alice.createRoom({ room_version: version, initial_state: [rules] })
    await alice.setState(roomId, 'm.room.member', { membership: 'join', displayname: 'Alice' }, alice.userId)
    const { draft } = await openRoom()
    const content = { membership: 'join', join_authorised_via_users_server: alice.userId }
    const claim = draft({ room_id: roomId, type: 'm.room.member', state_key: mallory, content })
    const answer = await evil.send('join', roomId, evil.sign(rulesOf(version), claim))
    expect(answer.status).toBe(403)
    expect(bearsOurs(answer.body)).toBe(false)
  })

  test('by way of the notary, which signs what it was shown by the server of those keys alone', async () => {
    const forged = {
      server_name: 'victim.test',
      verify_keys: { 'ed25519:forged': { key: 'x'.repeat(43) } },
      valid_until_ts: Date.now() + 1e9,
    }
    for (const body of [
      forged,
      { server_keys: { 'victim.test': { 'ed25519:forged': { minimum_valid_until_ts: 0 } } }, ...forged },
    ]) {
      const answer = await server.request('POST', '/_matrix/key/v2/query', { body })
      expect(JSON.stringify(answer.body)).not.toContain('forged')
    }
  })
})

test('what lies are told, none is an error of this server', () => {
  expect(server.logs.filter((line) => line.includes('"request_failed"'))).toEqual([])
})
