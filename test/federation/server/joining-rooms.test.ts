import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { JsonObject } from '../../../src/matrix/json.ts'
import { eventIdOf } from '../../../src/matrix/event-hash.ts'
import { verifyEventSignatures } from '../../../src/matrix/event-signature.ts'
import { decodeBase64 } from '../../../src/matrix/base64.ts'
import { roomVersion } from '../../../src/matrix/room-version.ts'
import { type AskingServer, askingServer, federation } from '../../support/asking-server.ts'
import { newClient, refusal, type RoomClient } from '../../support/room-client.ts'
import { startServer, type TestServer } from '../../support/server.ts'
import { textOf } from '../../support/text-of.ts'

let server: TestServer
let alice: RoomClient
let remote: AskingServer
let other: AskingServer
beforeAll(async () => {
  server = await startServer()
  alice = await newClient(server, 'alice')
  remote = await askingServer(server, 'remote.test')
  other = await askingServer(server, 'other.test')
})
afterAll(() => server.stop())

const publicRoom = (version: string) => alice.createRoom({ preset: 'public_chat', room_version: version })
const bob = '@bob:remote.test'

const slots = (events: readonly JsonObject[]) =>
  events.map((event) => `${textOf(event, 'type')}|${textOf(event, 'state_key')}`)

describe.each(['1', '3', '6', '10', '11', '12'])('a join of a room of version %s', (version) => {
  test('gets a template, the state before it, and its auth chain', async () => {
    const roomId = await publicRoom(version)
    const made = await remote.make('join', roomId, bob)
    expect(made.body).toMatchObject({
      room_version: version,
      event: {
        type: 'm.room.member',
        room_id: roomId,
        sender: bob,
        state_key: bob,
        content: { membership: 'join' },
      },
    })
    const { answer } = await remote.join(roomId, bob)
    expect(slots(answer.state)).toContain(`m.room.member|${alice.userId}`)
    expect(slots(answer.state)).not.toContain(`m.room.member|${bob}`)
    expect(slots(answer.auth_chain)).toContain(`m.room.member|${alice.userId}`)
    expect(answer).toMatchObject({ origin: 'test.local', members_omitted: false })
    expect(answer).not.toHaveProperty('event')
    expect(await alice.state(roomId, 'm.room.member', bob)).toEqual({ membership: 'join' })
  })

  test('is followed by questions for all that was before, by event id', async () => {
    const roomId = await publicRoom(version)
    const sent = await Promise.all([1, 2, 3].map((n) => alice.send(roomId, { body: `alone ${n}` })))
    await remote.join(roomId, bob)
    for (const eventId of sent) {
      const path = `${federation}/v1/event/${encodeURIComponent(eventId)}`
      expect(await remote.ask('GET', path)).toMatchObject({
        status: 200,
        body: { pdus: [{ sender: alice.userId }] },
      })
    }
  })

  test('is told in the first version of the answer as well', async () => {
    const roomId = await publicRoom(version)
    const event = remote.fromTemplate(await remote.make('join', roomId, bob))
    const { body } = await remote.send<[number, JsonObject]>('join', roomId, event, { version: 1 })
    expect(body).toEqual([
      200,
      expect.objectContaining({ state: expect.any(Array), auth_chain: expect.any(Array) }),
    ])
  })

  test('that is repeated is answered again', async () => {
    const roomId = await publicRoom(version)
    const joined = await remote.join(roomId, bob)
    const again = await remote.send('join', roomId, joined)
    expect(again).toMatchObject({ status: 200, body: { state: joined.answer.state } })
  })

  test('by a banned user is refused', async () => {
    const roomId = await publicRoom(version)
    const event = remote.fromTemplate(await remote.make('join', roomId, bob))
    await alice.act('ban', roomId, bob)
    expect(await remote.make('join', roomId, bob)).toEqual(refusal(403, 'M_FORBIDDEN'))
    expect(await remote.send('join', roomId, event)).toEqual(refusal(403, 'M_FORBIDDEN'))
    expect(await alice.state(roomId, 'm.room.member', bob)).toEqual({ membership: 'ban' })
  })
})

describe('make_join is refused', () => {
  test('for a user of another server than the asking one', async () => {
    const roomId = await publicRoom('10')
    expect(await remote.make('join', roomId, '@bob:other.test')).toEqual(refusal(403, 'M_FORBIDDEN'))
    expect(await remote.make('join', roomId, alice.userId)).toEqual(refusal(403, 'M_FORBIDDEN'))
  })

  test('for a room of a version that the asking server does not know', async () => {
    const roomId = await publicRoom('10')
    const answer = await remote.make('join', roomId, bob, ['9', '11'])
    expect(answer).toEqual(refusal(400, 'M_INCOMPATIBLE_ROOM_VERSION'))
    expect(answer.body['room_version']).toBe('10')
    // Who says nothing knows version 1.
    expect(await remote.make('join', roomId, bob, [])).toEqual(refusal(400, 'M_INCOMPATIBLE_ROOM_VERSION'))
  })

  test('for a room that this server is not in', async () => {
    expect(await remote.make('join', '!nowhere:test.local', bob)).toEqual(refusal(404, 'M_NOT_FOUND'))
    const roomId = await publicRoom('10')
    await remote.join(roomId, bob)
    await alice.leave(roomId)
    expect(await remote.make('join', roomId, '@carol:remote.test')).toEqual(refusal(404, 'M_NOT_FOUND'))
  })

  test('for a private room', async () => {
    const roomId = await alice.createRoom({ preset: 'private_chat' })
    expect(await remote.make('join', roomId, bob)).toEqual(refusal(403, 'M_FORBIDDEN'))
  })
})

function without(event: JsonObject, key: string): JsonObject {
  return Object.fromEntries(Object.entries(event).filter(([name]) => name !== key))
}

describe('send_join refuses with M_INVALID_PARAM', () => {
  const cases: [string, (event: JsonObject) => JsonObject][] = [
    ['a message', (event) => ({ ...event, type: 'm.room.message', content: { body: 'hi' } })],
    ['an event that is no state', (event) => without(event, 'state_key')],
    ['a leave', (event) => ({ ...event, content: { membership: 'leave' } })],
    ['an invite', (event) => ({ ...event, content: { membership: 'invite' } })],
    ['a join of somebody else', (event) => ({ ...event, state_key: '@doris:remote.test' })],
    [
      'a sender of another server',
      (event) => ({ ...event, sender: '@bob:other.test', state_key: '@bob:other.test' }),
    ],
    ['a sender of this server', (event) => ({ ...event, sender: alice.userId, state_key: alice.userId })],
    ['an event of another room', (event) => ({ ...event, room_id: '!other:test.local' })],
    ['an event on top of unknown ones', (event) => ({ ...event, prev_events: [`$${'a'.repeat(43)}`] })],
    ['no event', () => ({ a: 1 })],
  ]
  test.each(cases)('%s', async (_, change) => {
    const roomId = await publicRoom('10')
    const { body } = await remote.make('join', roomId, bob)
    const event = remote.sign(rulesOf('10'), change(body['event'] as JsonObject))
    expect(await remote.send('join', roomId, event)).toEqual(refusal(400, 'M_INVALID_PARAM'))
    expect(await alice.state(roomId, 'm.room.member', bob)).toBeUndefined()
  })

  test('an event under another id', async () => {
    const roomId = await publicRoom('10')
    const { pdu } = remote.fromTemplate(await remote.make('join', roomId, bob))
    const eventId = eventIdOf({ ...pdu, depth: 99 }, rulesOf('10'))
    expect(await remote.send('join', roomId, { pdu, eventId })).toEqual(refusal(400, 'M_INVALID_PARAM'))
  })

  test('an event that its server has not signed, or has signed otherwise', async () => {
    const roomId = await publicRoom('10')
    const made = await remote.make('join', roomId, bob)
    const { pdu, eventId } = remote.fromTemplate(made)
    for (const signatures of [{}, { 'remote.test': { [remote.signer.keyId]: 'A'.repeat(86) } }]) {
      expect(await remote.send('join', roomId, { pdu: { ...pdu, signatures }, eventId })).toEqual(
        refusal(400, 'M_INVALID_PARAM'),
      )
    }
    // Signed, but by a server that the sender is not of.
    const foreign = other.fromTemplate(made)
    expect(await remote.send('join', roomId, foreign)).toEqual(refusal(400, 'M_INVALID_PARAM'))
    expect(await other.send('join', roomId, foreign)).toEqual(refusal(400, 'M_INVALID_PARAM'))
    expect(await alice.state(roomId, 'm.room.member', bob)).toBeUndefined()
  })
})

function rulesOf(version: string) {
  const rules = roomVersion(version)
  if (!rules) throw new Error(`no room version ${version}`)
  return rules
}

describe('a join without the members', () => {
  test('gets those who name the room, and nothing twice', async () => {
    const roomId = await publicRoom('10')
    const carol = await newClient(server, 'carol')
    await carol.join(roomId)
    const event = remote.fromTemplate(await remote.make('join', roomId, bob))
    const { body } = await remote.send<{ state: JsonObject[]; auth_chain: JsonObject[] }>(
      'join',
      roomId,
      event,
      {
        query: '?omit_members=true',
      },
    )
    expect(slots(body.state).toSorted()).toEqual(
      [
        'm.room.create|',
        'm.room.history_visibility|',
        'm.room.join_rules|',
        'm.room.power_levels|',
        `m.room.member|${alice.userId}`,
        `m.room.member|${carol.userId}`,
      ].toSorted(),
    )
    expect(body).toMatchObject({ members_omitted: true, servers_in_room: ['test.local'], auth_chain: [] })
  })

  test('gets no members where the room has a name, but what its own join rests upon', async () => {
    const roomId = await alice.createRoom({ preset: 'public_chat', name: 'Named', room_version: '10' })
    await remote.join(roomId, bob)
    await remote.join(roomId, '@zoe:remote.test')
    const again = remote.fromTemplate(await remote.make('join', roomId, bob))
    const { body } = await remote.send<{ state: JsonObject[]; auth_chain: JsonObject[] }>(
      'join',
      roomId,
      again,
      {
        query: '?omit_members=true',
      },
    )
    expect(slots(body.state)).not.toContain(`m.room.member|${alice.userId}`)
    // The former join, and that of the room's creator.
    expect(slots(body.auth_chain).toSorted()).toEqual(
      [`m.room.member|${alice.userId}`, `m.room.member|${bob}`].toSorted(),
    )
    expect(body).toMatchObject({ servers_in_room: ['test.local', 'remote.test'] })
  })
})

describe('a restricted room', () => {
  const restrictedTo = async (roomIds: readonly string[], version = '10') =>
    await alice.createRoom({
      room_version: version,
      initial_state: [
        {
          type: 'm.room.join_rules',
          state_key: '',
          content: {
            join_rule: 'restricted',
            allow: roomIds.map((room_id) => ({ type: 'm.room_membership', room_id })),
          },
        },
      ],
    })

  test.each(['8', '10', '12'])(
    'of version %s lets in the members of another room, countersigned',
    async (version) => {
      const space = await publicRoom(version)
      const roomId = await restrictedTo([space], version)
      expect(await remote.make('join', roomId, bob)).toEqual(refusal(403, 'M_FORBIDDEN'))
      await remote.join(space, bob)
      const made = await remote.make('join', roomId, bob)
      expect(made.body).toMatchObject({
        event: { content: { join_authorised_via_users_server: alice.userId } },
      })
      const { answer } = await remote.join(roomId, bob)
      const event = answer['event'] as JsonObject
      const keys = await server.request<{ verify_keys: Record<string, { key: string }> }>(
        'GET',
        '/_matrix/key/v2/server',
      )
      const [ownKeyId = '', ownKey] = Object.entries(keys.body.verify_keys)[0] ?? []
      const rules = rulesOf(version)
      const verdict = verifyEventSignatures(event, rules, (name, keyId) => {
        if (name === 'remote.test') {
          return { key: remote.signer.key.publicKey, validUntilTs: Number.MAX_SAFE_INTEGER }
        }
        const key = keyId === ownKeyId ? decodeBase64(ownKey?.key ?? '') : undefined
        return key && { key, validUntilTs: Number.MAX_SAFE_INTEGER }
      })
      expect(verdict).toEqual({ ok: true })
      expect(await alice.state(roomId, 'm.room.member', bob)).toMatchObject({ membership: 'join' })
    },
  )

  test('is not entered by claiming that somebody of ours vouches', async () => {
    const space = await publicRoom('10')
    const roomId = await restrictedTo([space])
    await remote.join(space, '@member:remote.test')
    const made = await remote.make('join', roomId, '@member:remote.test')
    const template = made.body['event'] as JsonObject
    const forged = remote.sign(rulesOf('10'), { ...template, sender: bob, state_key: bob })
    expect(await remote.send('join', roomId, forged)).toEqual(refusal(403, 'M_FORBIDDEN'))
    expect(await alice.state(roomId, 'm.room.member', bob)).toBeUndefined()
  })

  test('is not entered by who names nobody', async () => {
    const space = await publicRoom('10')
    const roomId = await restrictedTo([space])
    await remote.join(space, bob)
    const made = await remote.make('join', roomId, bob)
    const event = remote.fromTemplate(made, { content: { membership: 'join' } })
    expect(await remote.send('join', roomId, event)).toEqual(refusal(403, 'M_FORBIDDEN'))
  })

  test('that names rooms which are not here sends the asking server elsewhere', async () => {
    const space = await publicRoom('10')
    const roomId = await restrictedTo(['!elsewhere:other.test', space])
    expect(await remote.make('join', roomId, bob)).toEqual(refusal(400, 'M_UNABLE_TO_AUTHORISE_JOIN'))
    await remote.join(space, bob)
    expect((await remote.make('join', roomId, bob)).status).toBe(200)
  })

  test('in which nobody of ours may invite sends the asking server elsewhere', async () => {
    const space = await publicRoom('10')
    await remote.join(space, bob)
    const roomId = await alice.createRoom({
      room_version: '10',
      power_level_content_override: { invite: 101, users: { [alice.userId]: 100 } },
      initial_state: [
        {
          type: 'm.room.join_rules',
          state_key: '',
          content: { join_rule: 'restricted', allow: [{ type: 'm.room_membership', room_id: space }] },
        },
      ],
    })
    expect(await remote.make('join', roomId, bob)).toEqual(refusal(400, 'M_UNABLE_TO_GRANT_JOIN'))
  })
})
