// What other servers may ask of users, aliases and the directory.

import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { JsonObject } from '../../../src/matrix/json.ts'
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

const get = async (path: string, query: Record<string, string> = {}) =>
  await remote.ask('GET', `${federation}/v1/${path}?${new URLSearchParams(query).toString()}`)

describe('query/profile', () => {
  test('gives the profile of a user, or one field of it', async () => {
    await alice.done('PUT', `/profile/${alice.userId}/displayname`, { displayname: 'Alice A' })
    await alice.done('PUT', `/profile/${alice.userId}/m.tz`, { 'm.tz': 'Europe/Berlin' })
    const whole = await get('query/profile', { user_id: alice.userId })
    expect(whole).toMatchObject({ status: 200, body: { displayname: 'Alice A', 'm.tz': 'Europe/Berlin' } })
    const field = await get('query/profile', { user_id: alice.userId, field: 'displayname' })
    expect(field.body).toEqual({ displayname: 'Alice A' })
    const empty = await get('query/profile', { user_id: alice.userId, field: 'avatar_url' })
    expect([empty.status, empty.body]).toEqual([200, {}])
  })

  test('knows users of this server alone', async () => {
    expect(await get('query/profile', { user_id: '@nobody:test.local' })).toEqual(refusal(404, 'M_NOT_FOUND'))
    for (const userId of ['@bob:remote.test', 'alice', '@user1:test.local:http']) {
      expect(await get('query/profile', { user_id: userId })).toEqual(refusal(400, 'M_INVALID_PARAM'))
    }
    expect(await get('query/profile')).toEqual(refusal(400, 'M_MISSING_PARAM'))
  })

  test('is the only query beside that of aliases', async () => {
    expect(await get('query/anything')).toEqual(refusal(404, 'M_UNRECOGNIZED'))
  })
})

describe('query/directory', () => {
  test('gives the room of an alias and the servers in it, this one first', async () => {
    const roomId = await alice.createRoom({ preset: 'public_chat', room_alias_name: 'Ünïcode' })
    for (const name of ['bob', 'carol', 'dave']) await remote.join(roomId, remote.user(name))
    const answer = await get('query/directory', { room_alias: '#Ünïcode:test.local' })
    expect([answer.status, answer.body]).toEqual([
      200,
      { room_id: roomId, servers: ['test.local', 'remote.test'] },
    ])
  })

  test('knows aliases of this server alone', async () => {
    for (const alias of ['#unknown:test.local', '#a:remote.test']) {
      expect(await get('query/directory', { room_alias: alias })).toEqual(refusal(404, 'M_NOT_FOUND'))
    }
    expect(await get('query/directory', { room_alias: 'x' })).toEqual(refusal(400, 'M_INVALID_PARAM'))
  })
})

describe('publicRooms', () => {
  test('lists and searches the published rooms', async () => {
    const roomId = await alice.createRoom({ visibility: 'public', preset: 'public_chat', name: 'Heron' })
    await alice.createRoom({ visibility: 'public', preset: 'public_chat', name: 'Other' })
    await alice.createRoom({ preset: 'public_chat', name: 'Heron, hidden' })
    const idsOf = (body: JsonObject) => (body['chunk'] as JsonObject[]).map((room) => room['room_id'])
    const list = await get('publicRooms', { limit: '100' })
    expect(idsOf(list.body)).toContain(roomId)
    const found = await remote.ask('POST', `${federation}/v1/publicRooms`, {
      filter: { generic_search_term: 'HERON' },
    })
    expect(idsOf(found.body)).toEqual([roomId])
    const page = await get('publicRooms', { limit: '1' })
    const next = await get('publicRooms', { limit: '1', since: textOf(page.body, 'next_batch') })
    expect(idsOf(next.body)).not.toEqual(idsOf(page.body))
    expect(await get('publicRooms', { limit: 'x' })).toEqual(refusal(400, 'M_INVALID_PARAM'))
  })
})

describe('an OpenID token', () => {
  const userinfo = async (token?: string) =>
    await server.request(
      'GET',
      `${federation}/v1/openid/userinfo${token === undefined ? '' : `?access_token=${encodeURIComponent(token)}`}`,
    )

  test('tells anyone whose it is', async () => {
    const token = await alice.done('POST', `/user/${alice.userId}/openid/request_token`, {})
    expect(token).toMatchObject({ token_type: 'Bearer', matrix_server_name: 'test.local', expires_in: 3600 })
    const { status, body } = await userinfo(textOf(token, 'access_token'))
    expect([status, body]).toEqual([200, { sub: alice.userId }])
  })

  test('is good for nothing else, and access tokens are none', async () => {
    const token = await alice.done('POST', `/user/${alice.userId}/openid/request_token`, {})
    const whoami = await server.request('GET', '/_matrix/client/v3/account/whoami', {
      token: textOf(token, 'access_token'),
    })
    expect(whoami).toEqual(refusal(401, 'M_UNKNOWN_TOKEN'))
    expect(await userinfo(alice.token)).toEqual(refusal(401, 'M_UNKNOWN_TOKEN'))
    expect(await userinfo('')).toEqual(refusal(401, 'M_UNKNOWN_TOKEN'))
    expect(await userinfo()).toEqual(refusal(401, 'M_MISSING_TOKEN'))
  })

  test('is given to nobody for another user', async () => {
    const answer = await alice.call('POST', '/user/@bob:test.local/openid/request_token', {})
    expect(answer).toEqual(refusal(403, 'M_FORBIDDEN'))
  })

  test('ends with its time, and with the account', async () => {
    const db = await server.mf.getD1Database('DB')
    const bob = await newClient(server, 'bob')
    const first = textOf(
      await bob.done('POST', `/user/${bob.userId}/openid/request_token`, {}),
      'access_token',
    )
    const stored = JSON.stringify((await db.prepare('SELECT * FROM openid_tokens').all()).results)
    expect(stored).not.toContain(first)
    await db
      .prepare('UPDATE openid_tokens SET expires_at = ? WHERE user_id = ?')
      .bind(Date.now() - 1, bob.userId)
      .run()
    expect(await userinfo(first)).toEqual(refusal(401, 'M_UNKNOWN_TOKEN'))
    const second = textOf(
      await bob.done('POST', `/user/${bob.userId}/openid/request_token`, {}),
      'access_token',
    )
    await db.prepare('UPDATE users SET deactivated_at = 1 WHERE user_id = ?').bind(bob.userId).run()
    expect(await userinfo(second)).toEqual(refusal(401, 'M_UNKNOWN_TOKEN'))
  })
})

describe('MSC3720: account_status', () => {
  const path = '/unstable/org.matrix.msc3720/account_status'
  const ofServer = async (content: JsonObject) => await remote.ask('POST', federation + path, content)
  const ofClient = async (body: JsonObject) =>
    await server.request('POST', `/_matrix/client${path}`, { token: alice.token, body })

  test('tells who exists and who is gone', async () => {
    const gone = await newClient(server, 'gone')
    const db = await server.mf.getD1Database('DB')
    await db.prepare('UPDATE users SET deactivated_at = 1 WHERE user_id = ?').bind(gone.userId).run()
    const expected = {
      account_statuses: {
        [alice.userId]: { exists: true, deactivated: false },
        [gone.userId]: { exists: true, deactivated: true },
        '@nobody:test.local': { exists: false },
      },
      failures: [],
    }
    const asked = { user_ids: [alice.userId, gone.userId, '@nobody:test.local'] }
    for (const ask of [ofServer, ofClient]) {
      const { status, body } = await ask(asked)
      expect([status, body]).toEqual([200, expected])
      expect(await ask({ user_ids: [] })).toMatchObject({ status: 200, body: {} })
      expect(await ask({})).toEqual(refusal(400, 'M_MISSING_PARAM'))
      expect(await ask({ user_ids: ['alice'] })).toEqual(refusal(400, 'M_INVALID_PARAM'))
    }
  })

  test('speaks for users of this server alone', async () => {
    expect(await ofServer({ user_ids: ['@bob:remote.test'] })).toEqual(refusal(400, 'M_INVALID_PARAM'))
    // Servers that cannot be reached leave their users open.
    const { body } = await ofClient({ user_ids: [alice.userId, '@bob:nowhere.test'] })
    expect(body).toEqual({
      account_statuses: { [alice.userId]: { exists: true, deactivated: false } },
      failures: ['@bob:nowhere.test'],
    })
  })

  test('is told as a capability', async () => {
    const { capabilities } = await alice.done('GET', '/capabilities')
    expect(capabilities).toMatchObject({ 'org.matrix.msc3720.account_status': { enabled: true } })
  })
})
