// What guests reach of the whole server, and how they come and go. Specification: client-server API, "Guest Access".

import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { appRoutes, type Route } from '../../scripts/coverage.ts'
import type { JsonObject } from '../../src/matrix/json.ts'
import { join, receive, remoteUser, rulesOf, sign, template } from '../support/remote-server.ts'
import { newClient, refusal, roomClient, type RoomClient } from '../support/room-client.ts'
import { startServer, type TestServer } from '../support/server.ts'
import { textOf } from '../support/text-of.ts'

let server: TestServer
let alice: RoomClient
let guest: RoomClient
beforeAll(async () => {
  server = await startServer()
  alice = await newClient(server, 'alice')
  guest = await newGuest()
})
afterAll(() => server.stop())

async function newGuest(): Promise<RoomClient> {
  const { body } = await server.request('POST', '/_matrix/client/v3/register?kind=guest', { body: {} })
  return roomClient(server, {
    userId: textOf(body, 'user_id'),
    token: textOf(body, 'access_token'),
    deviceId: textOf(body, 'device_id'),
  })
}

// As the module lists them.
const listed = [
  'GET /_matrix/client/v3/rooms/:roomId/state',
  'GET /_matrix/client/v3/rooms/:roomId/context/:eventId',
  'GET /_matrix/client/v3/rooms/:roomId/event/:eventId',
  'GET /_matrix/client/v3/rooms/:roomId/state/:eventType/:stateKey',
  'GET /_matrix/client/v3/rooms/:roomId/messages',
  'GET /_matrix/client/v3/rooms/:roomId/members',
  'GET /_matrix/client/v3/rooms/:roomId/initialSync',
  'GET /_matrix/client/v3/sync',
  'GET /_matrix/client/v3/events',
  // MSC4189, since v1.12.
  'GET /_matrix/client/v1/media/download/:serverName/:mediaId',
  'GET /_matrix/client/v1/media/download/:serverName/:mediaId/:fileName',
  'GET /_matrix/client/v1/media/thumbnail/:serverName/:mediaId',
  'POST /_matrix/client/v3/rooms/:roomId/join',
  'POST /_matrix/client/v3/rooms/:roomId/leave',
  'PUT /_matrix/client/v3/rooms/:roomId/send/:eventType/:txnId',
  'PUT /_matrix/client/v3/rooms/:roomId/state/:eventType/:stateKey',
  'PUT /_matrix/client/v3/sendToDevice/:eventType/:txnId',
  // Of the display name alone.
  'PUT /_matrix/client/v3/profile/:userId/:keyName',
  'DELETE /_matrix/client/v3/profile/:userId/:keyName',
  'GET /_matrix/client/v3/devices',
  'GET /_matrix/client/v3/devices/:deviceId',
  'PUT /_matrix/client/v3/devices/:deviceId',
  'GET /_matrix/client/v3/account/whoami',
  'POST /_matrix/client/v3/keys/upload',
  'POST /_matrix/client/v3/keys/query',
  'POST /_matrix/client/v3/keys/claim',
]

// Older and newer forms of endpoints of the list.
const otherForms = [
  // What the SDK that most clients are made of joins by, with the id of the room.
  'POST /_matrix/client/v3/join/:roomIdOrAlias',
  'GET /_matrix/client/v3/rooms/:roomId/state/:eventType',
  'GET /_matrix/client/v3/rooms/:roomId/state/:eventType/',
  'PUT /_matrix/client/v3/rooms/:roomId/state/:eventType',
  'PUT /_matrix/client/v3/rooms/:roomId/state/:eventType/',
  'POST /_matrix/client/v3/keys/upload/:deviceId',
  'PUT /_matrix/client/unstable/uk.tcpip.msc4133/profile/:userId/:keyName',
  'DELETE /_matrix/client/unstable/uk.tcpip.msc4133/profile/:userId/:keyName',
  'GET /_matrix/client/unstable/org.matrix.msc3916/media/download/:serverName/:mediaId',
  'GET /_matrix/client/unstable/org.matrix.msc3916/media/download/:serverName/:mediaId/:fileName',
  'GET /_matrix/client/unstable/org.matrix.msc3916/media/thumbnail/:serverName/:mediaId',
  // Sliding sync, which takes the place of /sync.
  'POST /_matrix/client/v4/sync',
  'POST /_matrix/client/unstable/org.matrix.simplified_msc3575/sync',
  // What a delayed send can be followed and taken back by.
  'PUT /_matrix/client/unstable/org.matrix.msc4140/rooms/:roomId/delayed_event/:eventType/:txnId',
  'GET /_matrix/client/unstable/org.matrix.msc4140/delayed_events',
  'GET /_matrix/client/unstable/org.matrix.msc4140/delayed_events/:delayId',
]

// Open to those without an access token, who authenticate otherwise; not to guests.
const notWithTheirs = [
  'POST /_matrix/client/v3/account/deactivate',
  'POST /_matrix/client/v3/account/password',
]
const notForClients =
  /^\w+ \/(_matrix\/(federation|key)|_matrix\/static|\.well-known|_synapse|_matrix\/media\/v3\/(download|thumbnail))/

const name = ({ method, path }: Route) => `${method} ${path}`

describe('guests reach', () => {
  const values: Record<string, string> = {
    roomAlias: '#nowhere:test.local',
    eventId: '$nothing',
    keyName: 'displayname',
    eventType: 'm.room.topic',
    serverName: 'test.local',
  }
  beforeAll(async () => {
    const state = (type: string, content: JsonObject) => ({ type, state_key: '', content })
    values['roomId'] = await alice.createRoom({
      preset: 'public_chat',
      initial_state: [
        state('m.room.guest_access', { guest_access: 'can_join' }),
        state('m.room.history_visibility', { history_visibility: 'world_readable' }),
      ],
    })
    values['roomIdOrAlias'] = values['roomId']
  })
  const answerTo = async ({ method, path }: Route, token: string | undefined) => {
    const filled = path.replaceAll(/:(\w+)(\{[^}]*\})?/g, (_, parameter: string) =>
      encodeURIComponent(parameter === 'userId' ? guest.userId : (values[parameter] ?? 'x')),
    )
    const query = path.endsWith('/events')
      ? `?room_id=${encodeURIComponent(values['roomId'] ?? '')}&timeout=0`
      : ''
    const answer = await server.fetch(`${filled}${query}`, {
      method,
      headers: {
        ...(token === undefined ? {} : { Authorization: `Bearer ${token}` }),
        'Content-Type': 'application/json',
      },
      ...(method === 'GET' ? {} : { body: '{}' }),
    })
    return { status: answer.status, body: await answer.text() }
  }
  const routes = appRoutes().filter((route) => !notForClients.test(name(route)))
  const isOpen = (route: Route) => listed.includes(name(route)) || otherForms.includes(name(route))

  it('endpoints that are there', () => {
    const served = new Set(routes.map(name))
    expect([...listed, ...otherForms].filter((route) => !served.has(route))).toEqual([])
  })

  it.each(routes.filter(isOpen).map((route) => [name(route), route] as const))('%s', async (_, route) => {
    const { status, body } = await answerTo(route, guest.token)
    expect(body).not.toContain('M_GUEST_ACCESS_FORBIDDEN')
    expect([401, 405, 500]).not.toContain(status)
  })

  it.each(routes.filter((route) => !isOpen(route)).map((route) => [name(route), route] as const))(
    'neither more nor less than anybody of %s',
    async (_, route) => {
      const anybody = await answerTo(route, undefined)
      const { status, body } = await answerTo(route, guest.token)
      if (anybody.body.includes('M_MISSING_TOKEN') || notWithTheirs.includes(name(route))) {
        expect([status, (JSON.parse(body) as { errcode?: string }).errcode]).toEqual([
          403,
          'M_GUEST_ACCESS_FORBIDDEN',
        ])
      } else expect(body).not.toContain('M_GUEST_ACCESS_FORBIDDEN')
    },
  )
})

it('MSC4189: guests fetch media and thumbnails, and neither upload nor look at settings and previews', async () => {
  const uploaded = await server.fetch('/_matrix/media/v3/upload?filename=a.txt', {
    method: 'POST',
    headers: { Authorization: `Bearer ${alice.token}`, 'Content-Type': 'text/plain' },
    body: 'hello',
  })
  const uri = textOf(JSON.parse(await uploaded.text()) as JsonObject, 'content_uri').slice('mxc://'.length)
  const headers = { Authorization: `Bearer ${guest.token}` }
  const media = '/_matrix/client/v1/media'
  for (const path of [`${media}/download/${uri}`, `${media}/download/${uri}/b.txt`]) {
    expect(await (await server.fetch(path, { headers })).text()).toBe('hello')
  }
  const thumbnail = await server.fetch(`${media}/thumbnail/${uri}?width=32&height=32`, { headers })
  expect(await thumbnail.text()).not.toContain('M_GUEST_ACCESS_FORBIDDEN')
  const refused = refusal(403, 'M_GUEST_ACCESS_FORBIDDEN')
  const { token } = guest
  expect(await server.request('GET', `${media}/config`, { token })).toEqual(refused)
  expect(await server.request('POST', '/_matrix/media/v3/upload', { token })).toEqual(refused)
  expect(await server.request('POST', '/_matrix/media/v1/create', { token })).toEqual(refused)
})

it('guests join by an alias too', async () => {
  const roomId = await alice.createRoom({
    preset: 'public_chat',
    initial_state: [{ type: 'm.room.guest_access', content: { guest_access: 'can_join' } }],
  })
  await alice.setAlias('#guests:test.local', roomId)
  const visitor = await newGuest()
  expect(await visitor.join('#guests:test.local')).toMatchObject({ status: 200, body: { room_id: roomId } })
  expect(await visitor.join('#nowhere:test.local')).toEqual(refusal(404, 'M_NOT_FOUND'))
})

describe('a room that is closed to guests', () => {
  const guestAccess = (guest_access: string) => ({ type: 'm.room.guest_access', content: { guest_access } })
  const openRoom = () =>
    alice.createRoom({
      preset: 'public_chat',
      room_version: '10',
      initial_state: [guestAccess('can_join')],
      power_level_content_override: { users: { [alice.userId]: 100, [remoteUser('admin')]: 100 } },
    })
  const enter = async (roomId: string, client: RoomClient) =>
    await client.call('POST', `/rooms/${encodeURIComponent(roomId)}/join`, {})
  const membership = async (roomId: string, { userId }: RoomClient) =>
    (await alice.state(roomId, 'm.room.member', userId))?.['membership']

  it('lets no more in, and those who are in it leave before whoever closed it has the answer', async () => {
    const roomId = await openRoom()
    const other = await newGuest()
    expect((await enter(roomId, guest)).status).toBe(200)
    await alice.setState(roomId, 'm.room.guest_access', { guest_access: 'forbidden' })
    expect(await membership(roomId, guest)).toBe('leave')
    expect(await membership(roomId, alice)).toBe('join')
    expect(await enter(roomId, other)).toEqual(refusal(403, 'M_GUEST_ACCESS_FORBIDDEN'))
    expect(await enter(roomId, guest)).toEqual(refusal(403, 'M_GUEST_ACCESS_FORBIDDEN'))
  })

  it('by an admin of another server: they leave too', async () => {
    const roomId = await openRoom()
    expect((await enter(roomId, guest)).status).toBe(200)
    const admin = remoteUser('admin')
    const room = { roomId, room: await server.room(roomId), rules: rulesOf('10') } as Parameters<
      typeof join
    >[0]
    await join(room, admin)
    const closing = { ...guestAccess('forbidden'), sender: admin, state_key: '' }
    const { pdu } = sign(room, await template(room, closing))
    expect(await receive(room, pdu)).toMatchObject([{ outcome: 'accepted' }])
    await expect.poll(() => membership(roomId, guest)).toBe('leave')
    expect(await membership(roomId, alice)).toBe('join')
    // The guest is told as of any other leave.
    const { rooms } = (await guest.done('GET', '/sync?filter={"room":{"include_leave":true}}')) as {
      rooms?: { leave?: Record<string, unknown> }
    }
    expect(Object.keys(rooms?.leave ?? {})).toContain(roomId)
  })

  it('by redacting what let them in: they leave too', async () => {
    const roomId = await openRoom()
    expect((await enter(roomId, guest)).status).toBe(200)
    const opening = await alice.inRoom('GET', roomId, 'state/m.room.guest_access/?format=event')
    expect((await alice.redact(roomId, textOf(opening.body, 'event_id'))).status).toBe(200)
    await expect.poll(() => membership(roomId, guest)).toBe('leave')
  })

  it('keeps who was a guest and has become a user', async () => {
    const roomId = await openRoom()
    const someone = await newGuest()
    expect((await enter(roomId, someone)).status).toBe(200)
    const upgrade = {
      username: someone.userId.slice(1).split(':')[0] ?? '',
      password: 'a password',
      guest_access_token: someone.token,
      auth: { type: 'm.login.dummy' },
    }
    expect((await server.request('POST', '/_matrix/client/v3/register', { body: upgrade })).status).toBe(200)
    await alice.setState(roomId, 'm.room.guest_access', { guest_access: 'forbidden' })
    expect(await membership(roomId, someone)).toBe('join')
  })
})
