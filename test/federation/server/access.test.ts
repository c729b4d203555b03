// Nobody gets anything of a room who has no business there: unsigned requests, servers without a user in the room, servers
// that the room's ACL shuts out.

import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { JsonObject } from '../../../src/matrix/json.ts'
import { type AskingServer, askingServer, federation, type SignedEvent } from '../../support/asking-server.ts'
import { newClient, refusal, type RoomClient } from '../../support/room-client.ts'
import { startServer, type TestServer } from '../../support/server.ts'

let server: TestServer
let alice: RoomClient
let remote: AskingServer
let stranger: AskingServer
let roomId: string
let eventId: string
let joined: SignedEvent
beforeAll(async () => {
  server = await startServer()
  alice = await newClient(server, 'alice')
  remote = await askingServer(server, 'remote.test')
  stranger = await askingServer(server, 'stranger.test')
  roomId = await alice.createRoom({ preset: 'public_chat', room_version: '10' })
  joined = await remote.join(roomId, '@bob:remote.test')
  eventId = await alice.send(roomId, { msgtype: 'm.text', body: 'hello' })
})
afterAll(() => server.stop())

type Call = [name: string, method: string, path: () => string, content?: () => JsonObject]
const room = () => encodeURIComponent(roomId)
const event = () => encodeURIComponent(eventId)

/** What takes a user in the room. */
const reads: Call[] = [
  ['state', 'GET', () => `/v1/state/${room()}?event_id=${event()}`],
  ['state_ids', 'GET', () => `/v1/state_ids/${room()}?event_id=${event()}`],
  ['event_auth', 'GET', () => `/v1/event_auth/${room()}/${event()}`],
  ['backfill', 'GET', () => `/v1/backfill/${room()}?v=${event()}&limit=10`],
  [
    'get_missing_events',
    'POST',
    () => `/v1/get_missing_events/${room()}`,
    () => ({ earliest_events: [], latest_events: [eventId] }),
  ],
  ['timestamp_to_event', 'GET', () => `/v1/timestamp_to_event/${room()}?ts=0&dir=f`],
]

const handshakes: Call[] = [
  ['make_join', 'GET', () => `/v1/make_join/${room()}/%40carol%3Aremote.test?ver=10`],
  ['make_leave', 'GET', () => `/v1/make_leave/${room()}/%40bob%3Aremote.test`],
  ['make_knock', 'GET', () => `/v1/make_knock/${room()}/%40carol%3Aremote.test?ver=10`],
  ['send_join', 'PUT', () => `/v2/send_join/${room()}/${event()}`, () => joined.pdu],
  ['send_join v1', 'PUT', () => `/v1/send_join/${room()}/${event()}`, () => joined.pdu],
  ['send_leave', 'PUT', () => `/v2/send_leave/${room()}/${event()}`, () => joined.pdu],
  ['send_leave v1', 'PUT', () => `/v1/send_leave/${room()}/${event()}`, () => joined.pdu],
  ['send_knock', 'PUT', () => `/v1/send_knock/${room()}/${event()}`, () => joined.pdu],
]

const others: Call[] = [
  ['event', 'GET', () => `/v1/event/${event()}`],
  [
    'invite',
    'PUT',
    () => `/v2/invite/${room()}/${event()}`,
    () => ({ room_version: '10', event: joined.pdu }),
  ],
  ['invite v1', 'PUT', () => `/v1/invite/${room()}/${event()}`, () => joined.pdu],
  ['publicRooms', 'GET', () => '/v1/publicRooms'],
  ['publicRooms search', 'POST', () => '/v1/publicRooms', () => ({})],
  ['query/profile', 'GET', () => '/v1/query/profile?user_id=%40alice%3Atest.local'],
  ['query/directory', 'GET', () => '/v1/query/directory?room_alias=%23a%3Atest.local'],
  ['query', 'GET', () => '/v1/query/anything'],
  ['media/download', 'GET', () => '/v1/media/download/abc'],
  ['media/thumbnail', 'GET', () => '/v1/media/thumbnail/abc?width=1&height=1'],
  ['media/download, unstable', 'GET', () => '/unstable/org.matrix.msc3916.v2/media/download/abc'],
  [
    'media/thumbnail, unstable',
    'GET',
    () => '/unstable/org.matrix.msc3916.v2/media/thumbnail/abc?width=1&height=1',
  ],
  [
    'account_status',
    'POST',
    () => '/unstable/org.matrix.msc3720/account_status',
    () => ({ user_ids: [alice.userId] }),
  ],
]

test.each([...reads, ...handshakes, ...others])(
  '%s is refused without a signature',
  async (_, method, path, content) => {
    const body = content?.()
    const answer = await server.request(method, federation + path(), body ? { body } : {})
    expect(answer).toEqual(refusal(401, 'M_UNAUTHORIZED'))
    // An access token of a user is none.
    const withToken = await server.request(method, federation + path(), {
      token: alice.token,
      ...(body ? { body } : {}),
    })
    expect(withToken).toEqual(refusal(401, 'M_UNAUTHORIZED'))
  },
)

describe('a server without a user in the room', () => {
  test.each(reads)('gets no %s', async (_, method, path, content) => {
    const answer = await stranger.ask(method, federation + path(), content?.() ?? null)
    expect(answer).toEqual(refusal(403, 'M_FORBIDDEN'))
  })

  test('cannot tell a room that is here from one that is not', async () => {
    const path = `${federation}/v1/backfill/!nowhere%3Atest.local?v=${event()}&limit=10`
    expect(await stranger.ask('GET', path)).toEqual(refusal(403, 'M_FORBIDDEN'))
  })

  test('whose last user was kicked gets nothing any more', async () => {
    const brief = await askingServer(server, 'brief.test')
    await brief.join(roomId, '@eve:brief.test')
    const path = `${federation}/v1/backfill/${room()}?v=${event()}&limit=1`
    expect((await brief.ask('GET', path)).status).toBe(200)
    await alice.act('kick', roomId, '@eve:brief.test')
    expect(await brief.ask('GET', path)).toEqual(refusal(403, 'M_FORBIDDEN'))
  })
})

test.each(reads)('a server in the room gets %s', async (_, method, path, content) => {
  const answer = await remote.ask(method, federation + path(), content?.() ?? null)
  expect([answer.status, answer.body]).toEqual([200, expect.any(Object)])
})

describe('a server that the ACL shuts out', () => {
  beforeAll(async () => {
    await alice.setState(roomId, 'm.room.server_acl', { allow: ['*'], deny: ['remote.test'] })
  })

  test.each([...reads, ...handshakes])(
    'gets no %s, although its user is in the room',
    async (_, method, path, content) => {
      const answer = await remote.ask(method, federation + path(), content?.() ?? null)
      expect(answer).toEqual(refusal(403, 'M_FORBIDDEN'))
    },
  )

  test('cannot join while it is shut out, and can afterwards', async () => {
    await alice.setState(roomId, 'm.room.server_acl', { allow: ['test.local'] })
    expect(await stranger.make('join', roomId, '@eve:stranger.test')).toEqual(refusal(403, 'M_FORBIDDEN'))
    await alice.setState(roomId, 'm.room.server_acl', { allow: ['*'] })
    await stranger.join(roomId, '@eve:stranger.test')
  })
})
