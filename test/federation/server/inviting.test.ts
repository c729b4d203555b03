import { randomBytes } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { decodeBase64 } from '../../../src/matrix/base64.ts'
import { roomIdOfCreateEvent } from '../../../src/matrix/event-hash.ts'
import type { EventId, RoomId, UserId } from '../../../src/matrix/event.ts'
import { type JsonObject, objectProperty, property } from '../../../src/matrix/json.ts'
import { redact } from '../../../src/matrix/redaction.ts'
import { verifyJson } from '../../../src/matrix/signing.ts'
import { roomVersion } from '../../../src/matrix/room-version.ts'
import { type AskingServer, askingServer, federation, type SignedEvent } from '../../support/asking-server.ts'
import { newClient, refusal, type RoomClient } from '../../support/room-client.ts'
import { startServer, type TestServer } from '../../support/server.ts'
import { textOf } from '../../support/text-of.ts'

let server: TestServer
let remote: AskingServer
let other: AskingServer
let ownKeys: Record<string, { key: string }>
beforeAll(async () => {
  server = await startServer()
  remote = await askingServer(server, 'remote.test')
  other = await askingServer(server, 'other.test')
  ownKeys = (
    await server.request<{ verify_keys: Record<string, { key: string }> }>('GET', '/_matrix/key/v2/server')
  ).body.verify_keys
})
afterAll(() => server.stop())

const rita = '@rita:remote.test'
let clients = 0
const newUser = async () => await newClient(server, `user${(clients += 1)}`)

function rulesOf(id: string) {
  const rules = roomVersion(id)
  if (!rules) throw new Error(`no room version ${id}`)
  return rules
}

/** A room on the other server, as far as an invite shows it. */
function remoteRoom(version: string) {
  const rules = rulesOf(version)
  const state = (fields: JsonObject): SignedEvent =>
    remote.sign(rules, {
      sender: rita,
      state_key: '',
      origin_server_ts: Date.now(),
      depth: 1,
      auth_events: [],
      prev_events: [],
      ...fields,
    })
  const createFields = {
    type: 'm.room.create',
    content: { room_version: version, nonce: randomBytes(6).toString('hex') },
  }
  if (rules.roomIdIsCreateHash) {
    const create = state(createFields)
    return { version, rules, state, roomId: roomIdOfCreateEvent(create.eventId), create }
  }
  const roomId = `!${randomBytes(9).toString('hex')}:remote.test`
  return { version, rules, state, roomId, create: state({ ...createFields, room_id: roomId }) }
}

type RemoteRoom = ReturnType<typeof remoteRoom>

function inviteOf({ state, roomId }: RemoteRoom, userId: string, changes: JsonObject = {}): SignedEvent {
  return state({
    type: 'm.room.member',
    room_id: roomId,
    state_key: userId,
    content: { membership: 'invite' },
    depth: 5,
    ...changes,
  })
}

const nameOf = ({ state, roomId }: RemoteRoom) =>
  state({ type: 'm.room.name', room_id: roomId, content: { name: 'Elsewhere' } })

const pathOf = (version: 1 | 2, roomId: string, eventId: string) =>
  `${federation}/v${version}/invite/${encodeURIComponent(roomId)}/${encodeURIComponent(eventId)}`

async function send(room: RemoteRoom, invite: SignedEvent, fields: JsonObject = {}, from = remote) {
  return await from.ask<{ event: JsonObject }>('PUT', pathOf(2, room.roomId, invite.eventId), {
    room_version: room.version,
    event: invite.pdu,
    invite_room_state: [room.create.pdu, nameOf(room).pdu],
    ...fields,
  })
}

async function sync(user: RoomClient, query = '') {
  const { body } = await user.call('GET', `/sync?timeout=0${query}`)
  const rooms = body['rooms'] as Record<string, Record<string, JsonObject>> | undefined
  return { rooms: rooms ?? {}, next: textOf(body, 'next_batch') }
}

function inviteState(
  rooms: Record<string, Record<string, JsonObject>>,
  { roomId }: RemoteRoom,
): JsonObject[] {
  const state = objectProperty(rooms['invite']?.[roomId], 'invite_state')
  return property(state, 'events') as JsonObject[]
}

const invitedTo = async (user: RoomClient) => Object.keys((await sync(user)).rooms['invite'] ?? {})

describe.each(['1', '6', '10', '12'])('an invite to a room of version %s that is elsewhere', (version) => {
  test('is countersigned and shown to the user', async () => {
    const user = await newUser()
    const { next } = await sync(user)
    const room = remoteRoom(version)
    const invite = inviteOf(room, user.userId)
    const answer = await send(room, invite)
    expect(answer.status).toBe(200)
    const { event } = answer.body
    const { signatures, ...fields } = event
    const { signatures: theirs, ...sent } = invite.pdu
    expect(fields).toEqual(sent)
    expect(signatures).toMatchObject(theirs as JsonObject)
    const [keyId = '', key] = Object.entries(ownKeys)[0] ?? []
    expect((signatures as JsonObject)['test.local']).toEqual({ [keyId]: expect.any(String) })
    const publicKey = decodeBase64(key?.key ?? '') ?? new Uint8Array()
    expect(verifyJson(redact(event, room.rules), 'test.local', keyId, publicKey)).toBe(true)

    const { rooms } = await sync(user, `&since=${next}`)
    const shown = inviteState(rooms, room)
    expect(shown.map(({ type }) => type)).toEqual(['m.room.create', 'm.room.name', 'm.room.member'])
    for (const stripped of shown) {
      expect(Object.keys(stripped).toSorted()).toEqual(['content', 'sender', 'state_key', 'type'])
    }
  })

  test('that comes twice is shown once', async () => {
    const user = await newUser()
    const room = remoteRoom(version)
    const invite = inviteOf(room, user.userId)
    const [first, second] = [await send(room, invite), await send(room, invite)]
    expect(second.body).toEqual(first.body)
    const { next } = await sync(user)
    await send(room, invite)
    expect((await sync(user, `&since=${next}`)).rooms).toEqual({})
  })

  test('wakes a waiting sync', async () => {
    const user = await newUser()
    const { next } = await sync(user)
    const waiting = user.call('GET', `/sync?timeout=20000&since=${next}`)
    const room = remoteRoom(version)
    await send(room, inviteOf(room, user.userId))
    const { body } = await waiting
    expect(Object.keys((body['rooms'] as { invite: JsonObject }).invite)).toEqual([room.roomId])
  })
})

test('an invite in the first form is answered in that form', async () => {
  const user = await newUser()
  const room = remoteRoom('1')
  const invite = inviteOf(room, user.userId)
  const stripped = { type: 'm.room.name', state_key: '', sender: rita, content: { name: 'Old' } }
  const { status, body } = await remote.ask<[number, { event: JsonObject }]>(
    'PUT',
    pathOf(1, room.roomId, invite.eventId),
    { ...invite.pdu, unsigned: { invite_room_state: [stripped] } },
  )
  expect([status, body[0]]).toEqual([200, 200])
  expect(body[1].event['signatures']).toHaveProperty('test.local')
  expect(await invitedTo(user)).toEqual([room.roomId])
})

describe('an invite is refused', () => {
  const refused = async (expected: unknown, user: RoomClient, answer: unknown) => {
    expect(answer).toEqual(expected)
    expect(await invitedTo(user)).toEqual([])
  }
  const invalid = refusal(400, 'M_INVALID_PARAM')

  const changes: [string, (user: RoomClient) => JsonObject][] = [
    ['of a user of another server', () => ({ state_key: '@bob:other.test' })],
    ['that is a join', () => ({ content: { membership: 'join' } })],
    ['that is a message', () => ({ type: 'm.room.message' })],
    ['by a user of another server', () => ({ sender: '@rita:other.test' })],
    ['by a user of this server', (user) => ({ sender: user.userId })],
    ['of another room', () => ({ room_id: '!other:remote.test' })],
  ]
  test.each(changes)('%s', async (_, change) => {
    const user = await newUser()
    const room = remoteRoom('10')
    await refused(invalid, user, await send(room, inviteOf(room, user.userId, change(user))))
  })

  test('under another id than that of the path', async () => {
    const user = await newUser()
    const room = remoteRoom('10')
    const { pdu } = inviteOf(room, user.userId)
    const { eventId } = inviteOf(room, user.userId, { depth: 6 })
    await refused(invalid, user, await send(room, { pdu, eventId }))
  })

  test('without the signature of its server, with a wrong one, or with another content than was signed', async () => {
    const user = await newUser()
    const room = remoteRoom('10')
    const { pdu, eventId } = inviteOf(room, user.userId)
    const wrong = { 'remote.test': { [remote.signer.keyId]: 'A'.repeat(86) } }
    for (const bad of [
      { ...pdu, signatures: {} },
      { ...pdu, signatures: wrong },
      { ...pdu, content: { membership: 'invite', displayname: 'forged' } },
    ]) {
      await refused(invalid, user, await send(room, { pdu: bad, eventId }))
    }
  })

  test('handed in by another server than its own', async () => {
    const user = await newUser()
    const room = remoteRoom('10')
    await refused(invalid, user, await send(room, inviteOf(room, user.userId), {}, other))
  })

  test('of a user who does not exist', async () => {
    const room = remoteRoom('10')
    const answer = await send(room, inviteOf(room, '@nobody:test.local'))
    expect(answer).toEqual(refusal(403, 'M_FORBIDDEN'))
  })

  test('of a user who takes none', async () => {
    const user = await newUser()
    const path = `/user/${encodeURIComponent(user.userId)}/account_data/m.invite_permission_config`
    await user.done('PUT', path, { default_action: 'block' })
    const room = remoteRoom('10')
    const answer = await send(room, inviteOf(room, user.userId))
    await refused(refusal(403, 'M_INVITE_BLOCKED'), user, answer)
  })

  test('to a room of an unknown version', async () => {
    const user = await newUser()
    const room = remoteRoom('10')
    const answer = await send(room, inviteOf(room, user.userId), { room_version: 'org.unknown' })
    await refused(refusal(400, 'M_INCOMPATIBLE_ROOM_VERSION'), user, answer)
    expect(answer.body).toMatchObject({ room_version: 'org.unknown' })
  })

  test('without a version or an event', async () => {
    const user = await newUser()
    const room = remoteRoom('10')
    const { pdu, eventId } = inviteOf(room, user.userId)
    for (const content of [{ event: pdu }, { room_version: '10' }]) {
      const answer = await remote.ask('PUT', pathOf(2, room.roomId, eventId), content)
      await refused(refusal(400, 'M_MISSING_PARAM'), user, answer)
    }
  })

  test('MSC4311: to a room of version 12 whose state does not hold the create event, or holds what is not of the room', async () => {
    const user = await newUser()
    const room = remoteRoom('12')
    const foreign = remoteRoom('12')
    const name = nameOf(room).pdu
    const states = [
      [],
      [name],
      [foreign.create.pdu],
      [room.create.pdu, nameOf(foreign).pdu],
      [room.create.pdu, { type: 'm.room.name', state_key: '', sender: rita, content: { name: 'stripped' } }],
      [room.create.pdu, { ...name, content: { name: 'forged' } }],
      [room.create.pdu, { ...name, signatures: {} }],
      [
        room.create.pdu,
        { ...name, signatures: { 'remote.test': { [remote.signer.keyId]: 'A'.repeat(86) } } },
      ],
      [{ ...room.create.pdu, content: { room_version: '12', nonce: 'forged' } }],
    ]
    for (const state of states) {
      const answer = await send(room, inviteOf(room, user.userId), { invite_room_state: state })
      await refused(invalid, user, answer)
    }
  })
})

test('an invite to an older room shows stripped state as it came, pruned', async () => {
  const user = await newUser()
  const room = remoteRoom('10')
  const name = { type: 'm.room.name', state_key: '', sender: rita, content: { name: 'x' } }
  await send(room, inviteOf(room, user.userId), {
    invite_room_state: [
      { ...name, unsigned: { evil: true }, event_id: '$x' },
      'nonsense',
      { type: 'm.room.topic' },
    ],
  })
  const { rooms } = await sync(user)
  const shown = inviteState(rooms, room)
  expect(shown[0]).toEqual(name)
  expect(shown.map(({ type }) => type)).toEqual(['m.room.name', 'm.room.member'])
})

test('an invite by an ignored user is not shown', async () => {
  const user = await newUser()
  await user.done('PUT', `/user/${encodeURIComponent(user.userId)}/account_data/m.ignored_user_list`, {
    ignored_users: { [rita]: {} },
  })
  const room = remoteRoom('10')
  expect((await send(room, inviteOf(room, user.userId))).status).toBe(200)
  expect(await invitedTo(user)).toEqual([])
})

test('an invite from before the user wanted none is not shown', async () => {
  const user = await newUser()
  const room = remoteRoom('10')
  await send(room, inviteOf(room, user.userId))
  const path = `/user/${encodeURIComponent(user.userId)}/account_data/m.invite_permission_config`
  await user.done('PUT', path, { default_action: 'block' })
  expect(await invitedTo(user)).toEqual([])
  await user.done('PUT', path, {})
  expect(await invitedTo(user)).toEqual([room.roomId])
})

describe('an invite that ended', () => {
  const end = async (user: RoomClient, room: RemoteRoom, eventId: string) =>
    await (
      await server.hub()
    ).applyRemoteMembership({
      roomId: room.roomId as RoomId,
      userId: user.userId as UserId,
      membership: 'leave',
      eventId: eventId as EventId,
    })

  test('is told as left, once, and an answer with left rooms can be given', async () => {
    const user = await newUser()
    const room = remoteRoom('10')
    await send(room, inviteOf(room, user.userId))
    const { next } = await sync(user)
    expect(await end(user, room, '$leave')).toBe(true)
    expect(await end(user, room, '$leave')).toBe(false)
    const told = await sync(user, `&since=${next}`)
    expect(told.rooms['leave']?.[room.roomId]).toMatchObject({
      timeline: {
        events: [
          {
            type: 'm.room.member',
            sender: user.userId,
            state_key: user.userId,
            content: { membership: 'leave' },
          },
        ],
      },
      state: { events: [] },
    })
    expect((await sync(user, `&since=${told.next}`)).rooms).toEqual({})
    const filter = encodeURIComponent(JSON.stringify({ room: { include_leave: true } }))
    expect(Object.keys((await sync(user, `&filter=${filter}`)).rooms['leave'] ?? {})).toEqual([room.roomId])
  })

  const tell = async (from: AskingServer, pdus: JsonObject[]) => {
    const path = `${federation}/v1/send/${randomBytes(6).toString('hex')}`
    const body = { origin: from.serverName, origin_server_ts: Date.now(), pdus }
    expect((await from.ask('PUT', path, body)).status).toBe(200)
  }
  const leaveOf = (room: RemoteRoom, userId: string, changes: JsonObject = {}) =>
    inviteOf(room, userId, {
      content: { membership: 'leave', reason: 'changed my mind' },
      depth: 6,
      ...changes,
    })

  test.each(['6', '12'])('because the inviter took it back, in a room of version %s', async (version) => {
    const user = await newUser()
    const room = remoteRoom(version)
    await send(room, inviteOf(room, user.userId))
    const { next } = await sync(user)
    const leave = leaveOf(room, user.userId)
    await tell(remote, [leave.pdu])
    const { rooms } = await sync(user, `&since=${next}`)
    expect(rooms['leave']?.[room.roomId]).toMatchObject({
      timeline: {
        events: [{ event_id: leave.eventId, sender: rita, content: { reason: 'changed my mind' } }],
      },
    })
    expect(await invitedTo(user)).toEqual([])
  })

  test('was a knock that one of those who shaped the room turned down', async () => {
    const user = await newUser()
    const room = remoteRoom('10')
    const hub = await server.hub()
    const knock = {
      type: 'm.room.member',
      state_key: user.userId,
      sender: user.userId,
      content: { membership: 'knock' },
    }
    const create = { type: 'm.room.create', state_key: '', sender: rita, content: { room_version: '10' } }
    const userId = user.userId as UserId
    const roomId = room.roomId as RoomId
    const eventId = '$knock' as EventId
    await hub.applyRemoteMembership({
      roomId,
      userId,
      membership: 'knock',
      eventId,
      stripped: [create, knock],
    })
    const knocking = async () => Object.keys((await sync(user)).rooms['knock'] ?? {})
    await tell(remote, [leaveOf(room, user.userId, { sender: '@eve:remote.test' }).pdu])
    expect(await knocking()).toEqual([roomId])
    await tell(remote, [leaveOf(room, user.userId).pdu])
    expect(await knocking()).toEqual([])
  })

  test('is ended by nobody else, nor by what is not signed', async () => {
    const user = await newUser()
    const room = remoteRoom('10')
    const admin = {
      type: 'm.room.topic',
      state_key: '',
      sender: '@admin:remote.test',
      content: { topic: 'x' },
    }
    await send(room, inviteOf(room, user.userId), { invite_room_state: [room.create.pdu, admin] })
    const { pdu } = leaveOf(room, user.userId)
    const others = [
      leaveOf(room, user.userId, { sender: '@eve:remote.test' }).pdu,
      leaveOf(room, user.userId, { sender: admin.sender }).pdu,
      leaveOf(room, user.userId, { sender: user.userId }).pdu,
      leaveOf(room, user.userId, { content: { membership: 'join' } }).pdu,
      { ...pdu, signatures: {} },
      { ...pdu, content: { membership: 'leave', reason: 'forged' } },
    ]
    await tell(remote, others)
    // The right event, but from another server than its own.
    await tell(other, [pdu])
    expect(await invitedTo(user)).toEqual([room.roomId])
  })

  test('does not come back when it is repeated, but another one does', async () => {
    const user = await newUser()
    const room = remoteRoom('10')
    const invite = inviteOf(room, user.userId)
    await send(room, invite)
    await end(user, room, '$leave')
    await send(room, invite)
    expect(await invitedTo(user)).toEqual([])
    await send(room, inviteOf(room, user.userId, { depth: 9 }))
    expect(await invitedTo(user)).toEqual([room.roomId])
  })

  test('ends nothing for those who are in the room', async () => {
    const user = await newUser()
    const roomId = await user.createRoom()
    const room = { ...remoteRoom('10'), roomId }
    expect(await end(user, room, '$leave')).toBe(false)
    expect(Object.keys((await sync(user)).rooms['join'] ?? {})).toEqual([roomId])
  })
})

describe('an invite to a room that this server is in', () => {
  /** A room of ours with Rita in it, in which everybody may invite. */
  const shared = async () => {
    const alice = await newUser()
    const roomId = await alice.createRoom({
      preset: 'public_chat',
      room_version: '10',
      power_level_content_override: { invite: 0 },
    })
    await remote.join(roomId, rita)
    return { alice, roomId }
  }
  const inviteInto = async (roomId: string, userId: string) => {
    const template = await (
      await server.room(roomId)
    ).eventTemplate({
      type: 'm.room.member',
      sender: rita as UserId,
      state_key: userId,
      content: { membership: 'invite' },
    })
    const event = remote.sign(rulesOf('10'), JSON.parse(template) as JsonObject)
    const answer = await remote.ask<{ event: JsonObject }>('PUT', pathOf(2, roomId, event.eventId), {
      room_version: '10',
      event: event.pdu,
      invite_room_state: [],
    })
    return { event, answer }
  }

  test('becomes an event of the room', async () => {
    const user = await newUser()
    const { alice, roomId } = await shared()
    const { answer } = await inviteInto(roomId, user.userId)
    expect(answer.status).toBe(200)
    expect(answer.body.event['signatures']).toHaveProperty('test.local')
    expect(await alice.state(roomId, 'm.room.member', user.userId)).toEqual({ membership: 'invite' })
    expect(await invitedTo(user)).toEqual([roomId])
    await user.join(roomId)
    expect(Object.keys((await sync(user)).rooms['join'] ?? {})).toEqual([roomId])
  })

  test('is refused where the rules of the room refuse it', async () => {
    const user = await newUser()
    const { alice, roomId } = await shared()
    const template = await (
      await server.room(roomId)
    ).eventTemplate({
      type: 'm.room.member',
      sender: rita as UserId,
      state_key: user.userId,
      content: { membership: 'invite' },
    })
    await alice.act('ban', roomId, user.userId)
    const event = remote.sign(rulesOf('10'), JSON.parse(template) as JsonObject)
    const answer = await remote.ask('PUT', pathOf(2, roomId, event.eventId), {
      room_version: '10',
      event: event.pdu,
    })
    expect(answer).toEqual(refusal(403, 'M_FORBIDDEN'))
    expect(await invitedTo(user)).toEqual([])
  })

  test('is refused from a server that the ACL shuts out', async () => {
    const user = await newUser()
    const { alice, roomId } = await shared()
    const template = await (
      await server.room(roomId)
    ).eventTemplate({
      type: 'm.room.member',
      sender: rita as UserId,
      state_key: user.userId,
      content: { membership: 'invite' },
    })
    await alice.setState(roomId, 'm.room.server_acl', { allow: ['*'], deny: ['remote.test'] })
    const event = remote.sign(rulesOf('10'), JSON.parse(template) as JsonObject)
    const content = { room_version: '10', event: event.pdu }
    expect(await remote.ask('PUT', pathOf(2, roomId, event.eventId), content)).toEqual(
      refusal(403, 'M_FORBIDDEN'),
    )
    expect(await alice.state(roomId, 'm.room.member', user.userId)).toBeUndefined()
  })
})

test('an invite after the user was in the room and left is shown, and news told again change nothing', async () => {
  const alice = await newUser()
  const roomId = await alice.createRoom({ preset: 'public_chat', room_version: '10' })
  await remote.join(roomId, rita)
  await alice.leave(roomId)
  // Nobody of ours is there any more: the room goes on elsewhere.
  const room = { ...remoteRoom('10'), roomId }
  expect((await send(room, inviteOf(room, alice.userId))).status).toBe(200)
  const { next } = await sync(alice)
  const repeated = {
    from: 1,
    to: 2,
    eventId: '$again' as EventId,
    sender: alice.userId as UserId,
    event: { type: 'm.room.member', state_key: alice.userId, content: { membership: 'join' } },
    resolved: false,
    memberships: [{ userId: alice.userId as UserId, prev: null, next: 'join' }],
    push: { memberCount: 1, senderPowerLevel: 100, notificationLevels: {} },
  }
  await (await server.hub()).applyRoomNews({ roomId: roomId as RoomId, events: [repeated] })
  expect((await sync(alice, `&since=${next}`)).rooms).toEqual({})
  expect(await invitedTo(alice)).toEqual([roomId])
})
