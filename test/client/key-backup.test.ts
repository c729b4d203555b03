// Server-side key backups: versions, keys, which of two keys stays, and the counts.

import { get, type IncomingMessage } from 'node:http'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import type { UserId } from '../../src/matrix/event.ts'
import type { JsonObject, JsonValue } from '../../src/matrix/json.ts'
import { newClient, refusal, type RoomClient } from '../support/room-client.ts'
import { startServer, type TestServer } from '../support/server.ts'
import { textOf } from '../support/text-of.ts'

let server: TestServer
let alice: RoomClient
let people = 0
beforeAll(async () => {
  server = await startServer()
})
beforeEach(async () => {
  people += 1
  alice = await newClient(server, `alice${people}`)
})
afterAll(() => server.stop())

const algorithm = 'm.megolm_backup.v1.curve25519-aes-sha2'
const room = '!room:test.local'
const other = '!other:test.local'

async function newVersion(auth_data: JsonObject = { public_key: 'abc' }): Promise<string> {
  return textOf(await alice.done('POST', '/room_keys/version', { algorithm, auth_data }), 'version')
}

const key = (first_message_index: number, forwarded_count = 0, is_verified = false): JsonObject => ({
  first_message_index,
  forwarded_count,
  is_verified,
  session_data: { ciphertext: `key from ${first_message_index}`, nested: { a: [1, 'ü"'] } },
})

/** Of /room_keys/keys: everything, a room, or a session in it. */
function path(version: string, ...place: string[]): string {
  const rest = place.map((part) => `/${encodeURIComponent(part)}`).join('')
  return `/room_keys/keys${rest}?version=${version}`
}

describe('versions', () => {
  test('are found by number, and the last is current', async () => {
    expect(await alice.call('GET', '/room_keys/version')).toEqual(refusal(404, 'M_NOT_FOUND'))
    const first = await newVersion()
    const second = await newVersion({ public_key: 'def' })
    expect(second).not.toBe(first)
    const expected = {
      version: second,
      algorithm,
      auth_data: { public_key: 'def' },
      etag: expect.any(String),
      count: 0,
    }
    expect(await alice.done('GET', '/room_keys/version')).toEqual(expected)
    expect(await alice.done('GET', `/room_keys/version/${second}`)).toEqual(expected)
    expect(await alice.done('GET', `/room_keys/version/${first}`)).toMatchObject({
      auth_data: { public_key: 'abc' },
    })
  })

  test('that do not exist are not found', async () => {
    for (const version of ['1', '0', '-1', '1.5', 'x', '99999999999999999999']) {
      expect(await alice.call('GET', `/room_keys/version/${version}`), version).toEqual(
        refusal(404, 'M_NOT_FOUND'),
      )
      expect(await alice.call('DELETE', `/room_keys/version/${version}`), version).toEqual(
        refusal(404, 'M_NOT_FOUND'),
      )
      expect(await alice.call('GET', path(version)), version).toEqual(refusal(404, 'M_NOT_FOUND'))
      expect(await alice.call('DELETE', path(version)), version).toEqual(refusal(404, 'M_NOT_FOUND'))
      expect(await alice.call('PUT', path(version), { rooms: {} }), version).toEqual(
        refusal(404, 'M_NOT_FOUND'),
      )
    }
  })

  test('change in their auth data alone', async () => {
    const version = await newVersion()
    const change = (body: JsonObject) => alice.call('PUT', `/room_keys/version/${version}`, body)
    expect(await change({ algorithm: 'other', auth_data: {} })).toEqual(refusal(400, 'M_INVALID_PARAM'))
    expect(await change({ algorithm, auth_data: {}, version: 'x' })).toEqual(refusal(400, 'M_INVALID_PARAM'))
    expect(await change({ algorithm })).toEqual(refusal(400, 'M_MISSING_PARAM'))
    expect((await change({ algorithm, auth_data: { signed: true }, version })).status).toBe(200)
    expect(await alice.done('GET', '/room_keys/version')).toMatchObject({ auth_data: { signed: true } })
  })

  test('go with their keys when deleted, also twice, and their numbers do not come back', async () => {
    const first = await newVersion()
    const second = await newVersion()
    await alice.done('PUT', path(second, room, 'a'), key(0))
    for (let n = 0; n < 2; n++) await alice.done('DELETE', `/room_keys/version/${second}`)
    expect(await alice.call('GET', `/room_keys/version/${second}`)).toEqual(refusal(404, 'M_NOT_FOUND'))
    expect(await alice.call('GET', path(second, room, 'a'))).toEqual(refusal(404, 'M_NOT_FOUND'))
    expect(await alice.done('GET', '/room_keys/version')).toMatchObject({ version: first })
    expect([first, second]).not.toContain(await newVersion())
  })

  test('need an algorithm and auth data', async () => {
    const create = (body: JsonObject) => alice.call('POST', '/room_keys/version', body)
    expect(await create({ algorithm })).toEqual(refusal(400, 'M_MISSING_PARAM'))
    expect(await create({ auth_data: {} })).toEqual(refusal(400, 'M_MISSING_PARAM'))
    expect(await create({ algorithm, auth_data: [] })).toEqual(refusal(400, 'M_BAD_JSON'))
  })
})

describe('keys', () => {
  test('come back as they were put, one, of a room, or all', async () => {
    const version = await newVersion()
    await alice.done('PUT', path(version, room, 'one/with slash'), key(1))
    await alice.done('PUT', path(version, room), { sessions: { two: key(2) } })
    const rooms = { [other]: { sessions: { three: key(3) } }, '!empty:test.local': { sessions: {} } }
    const { etag, count } = await alice.done('PUT', path(version), { rooms })
    expect(count).toBe(3)
    expect(await alice.done('GET', '/room_keys/version')).toMatchObject({ etag, count })
    const inRoom = { sessions: { 'one/with slash': key(1), two: key(2) } }
    expect(await alice.done('GET', path(version, room, 'one/with slash'))).toEqual(key(1))
    expect(await alice.done('GET', path(version, room))).toEqual(inRoom)
    expect(await alice.done('GET', path(version))).toEqual({
      rooms: { [room]: inRoom, [other]: { sessions: { three: key(3) } } },
    })
  })

  test('that are not there are none', async () => {
    const version = await newVersion()
    expect(await alice.done('GET', path(version))).toEqual({ rooms: {} })
    expect(await alice.done('GET', path(version, room))).toEqual({ sessions: {} })
    expect(await alice.call('GET', path(version, room, 'x'))).toEqual(refusal(404, 'M_NOT_FOUND'))
  })

  test('are written to the current version alone', async () => {
    const first = await newVersion()
    const second = await newVersion()
    const answer = await alice.call('PUT', path(first, room, 'a'), key(0))
    expect(answer).toEqual(refusal(403, 'M_WRONG_ROOM_KEYS_VERSION'))
    expect(answer.body['current_version']).toBe(second)
  })

  test('are deleted one by one, by room, and all', async () => {
    const version = await newVersion()
    const rooms = {
      [room]: { sessions: { a: key(0), b: key(0) } },
      [other]: { sessions: { c: key(0), d: key(0) } },
    }
    const { etag } = await alice.done('PUT', path(version), { rooms })
    const after = await alice.done('DELETE', path(version, room, 'a'))
    expect(after['count']).toBe(3)
    expect(after['etag']).not.toBe(etag)
    expect(await alice.done('DELETE', path(version, room, 'a'))).toEqual(after)
    expect(await alice.done('DELETE', path(version, other))).toMatchObject({ count: 1 })
    expect(await alice.done('GET', path(version))).toEqual({ rooms: { [room]: { sessions: { b: key(0) } } } })
    expect(await alice.done('DELETE', path(version))).toMatchObject({ count: 0 })
  })

  const better: [string, JsonObject, JsonObject][] = [
    ['one that is verified', key(0, 0, false), key(9, 9, true)],
    ['one that begins earlier', key(5, 0, true), key(4, 9, true)],
    ['one that was forwarded less', key(5, 3), key(5, 2)],
  ]
  test.each(better)('are replaced by %s, and not the other way round', async (_, worse, good) => {
    const version = await newVersion()
    await alice.done('PUT', path(version, room, 'a'), worse)
    const { etag } = await alice.done('PUT', path(version, room, 'a'), good)
    expect(await alice.done('GET', path(version, room, 'a'))).toEqual(good)
    for (const again of [worse, good]) {
      expect(await alice.done('PUT', path(version, room, 'a'), again)).toEqual({ etag, count: 1 })
    }
    expect(await alice.done('GET', path(version, room, 'a'))).toEqual(good)
  })

  const broken: [string, JsonValue][] = [
    ['no index', { forwarded_count: 0, is_verified: false, session_data: {} }],
    ['a negative index', { ...key(0), first_message_index: -1 }],
    ['a fraction', { ...key(0), forwarded_count: 0.5 }],
    ['a text for a truth', { ...key(0), is_verified: 'yes' }],
    ['a text for data', { ...key(0), session_data: 'x' }],
  ]
  test.each(broken)('with %s are refused, with those beside them', async (_, bad) => {
    const version = await newVersion()
    const answer = await alice.call('PUT', path(version, room), { sessions: { good: key(0), bad } })
    expect(answer.status).toBe(400)
    expect(answer.body['errcode']).toMatch(/^M_(BAD_JSON|MISSING_PARAM)$/)
    expect(await alice.done('GET', path(version))).toEqual({ rooms: {} })
  })

  test('need a version', async () => {
    expect(await alice.call('GET', '/room_keys/keys')).toEqual(refusal(400, 'M_MISSING_PARAM'))
  })

  test('are nobody else’s', async () => {
    const version = await newVersion()
    await alice.done('PUT', path(version, room, 'a'), key(0))
    const bob = await newClient(server, `bob${people}`)
    expect(await bob.call('GET', path(version, room, 'a'))).toEqual(refusal(404, 'M_NOT_FOUND'))
    expect(await bob.call('GET', path(version))).toEqual(refusal(404, 'M_NOT_FOUND'))
  })

  test('by the thousand come back whole', async () => {
    const version = await newVersion()
    const rooms = Array.from({ length: 40 }, (_, n) => `!room${n}:test.local`)
    const sessions = Object.fromEntries(Array.from({ length: 64 }, (_, n) => [`session ${n}`, key(n)]))
    for (const roomId of rooms) await alice.done('PUT', path(version, roomId), { sessions })
    const expected = { rooms: Object.fromEntries(rooms.map((roomId) => [roomId, { sessions }])) }
    expect(await alice.done('GET', path(version))).toEqual(expected)
    expect(await alice.done('GET', '/room_keys/version')).toMatchObject({ count: 40 * 64 })
  })

  test('are looked up by room and session, however many there are beside them', async () => {
    const version = await newVersion()
    const sessions = Object.fromEntries(Array.from({ length: 300 }, (_, n) => [`s${n}`, key(n)]))
    const rooms = ['!a:test.local', '!b:test.local', '!c:test.local']
    await alice.done('PUT', path(version), {
      rooms: Object.fromEntries(rooms.map((id) => [id, { sessions }])),
    })
    await alice.done('PUT', path(version, '!b1:test.local', 's'), key(0))
    const rowsRead = async (method: string, ...place: string[]) => {
      const { doRowsRead } = await server.measure(() => alice.call(method, path(version, ...place)))
      return doRowsRead
    }
    expect(await rowsRead('GET', '!a:test.local', 's299')).toBeLessThan(10)
    expect(await rowsRead('GET', '!a:test.local', 'none')).toBeLessThan(10)
    expect(await rowsRead('GET', '!b1:test.local')).toBeLessThan(10)
    // Two pages, and four.
    expect(await rowsRead('GET', '!a:test.local')).toBeLessThan(310)
    expect(await rowsRead('GET')).toBeLessThan(920)
    expect(await rowsRead('DELETE', '!a:test.local', 's299')).toBeLessThan(10)
    expect(await rowsRead('DELETE', '!b1:test.local')).toBeLessThan(10)
    expect(await alice.done('GET', '/room_keys/version')).toMatchObject({ count: 899 })
  })

  test('by the ten thousand are restored piece by piece, as fast as the client takes them', async () => {
    const version = await newVersion()
    const hub = await server.hub(0)
    const userId = alice.userId as UserId
    const total = 50_000
    const placed = (n: number) => ({
      roomId: `!room${n % 250}:test.local`,
      sessionId: `session ${n}`,
      firstMessageIndex: n,
      forwardedCount: 0,
      isVerified: false,
      sessionData: JSON.stringify({ ciphertext: 'x'.repeat(1000) }),
    })
    for (let n = 0; n < total; n += 2500) {
      const keys = Array.from({ length: 2500 }, (_, i) => placed(n + i))
      await hub.putBackedUpKeys(userId, version, keys)
    }
    expect(await alice.done('GET', '/room_keys/version')).toMatchObject({ count: total })
    const { doRowsRead: before } = (await server.report()).counts
    const answer = await new Promise<IncomingMessage>((resolve, reject) => {
      const headers = { Authorization: `Bearer ${alice.token}` }
      get(`${server.url}/_matrix/client/v3${path(version)}`, { headers }, resolve).on('error', reject)
    })
    // For a client that does not read on, nothing is read but what fits into buffers on the way.
    await server.measure(() => Promise.resolve())
    const { doRowsRead: ahead } = (await server.report()).counts
    expect(ahead - before).toBeLessThan(total / 2)
    const text = Buffer.concat(await answer.toArray()).toString('utf8')
    const { rooms } = JSON.parse(text) as { rooms: Record<string, { sessions: Record<string, JsonObject> }> }
    const indices = Object.values(rooms).flatMap(({ sessions }) =>
      Object.values(sessions).map((session) => session['first_message_index'] as number),
    )
    expect(indices.toSorted((a, b) => a - b)).toEqual(Array.from({ length: total }, (_, n) => n))
  }, 60_000)

  test('cost a row each, and one for the version', async () => {
    const version = await newVersion()
    const sessions = Object.fromEntries(Array.from({ length: 50 }, (_, n) => [`s${n}`, key(n)]))
    const counts = await server.measure(() => alice.done('PUT', path(version, room), { sessions }))
    expect(counts).toMatchObject({ doRowsWritten: 51, doRequests: 1 })
  })
})
