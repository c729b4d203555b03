// Profiles over HTTP.

import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { JsonValue } from '../../src/matrix/json.ts'
import { textOf } from '../support/text-of.ts'
import { type Account, startServer, type TestServer } from '../support/server.ts'

let server: TestServer
let alice: Account
beforeAll(async () => {
  server = await startServer()
  alice = await server.register('alice')
})
afterAll(() => server.stop())

const path = (key = '', userId = alice.userId) => `/_matrix/client/v3/profile/${userId}${key && `/${key}`}`
const get = (key = '') => server.request('GET', path(key))
const put = (key: string, value: JsonValue, token = alice.token) =>
  server.request('PUT', path(key), { token, body: { [key]: value } })
const remove = (key: string) => server.request('DELETE', path(key), { token: alice.token })

describe('MSC4133: a profile', () => {
  it('is empty at first and not found for users that do not exist', async () => {
    expect(await get()).toMatchObject({ status: 200, body: {} })
    expect(await get('displayname')).toMatchObject({ status: 404, body: { errcode: 'M_NOT_FOUND' } })
    const nobody = await server.request('GET', path('', '@nobody:test.local'))
    expect([nobody.status, nobody.body.errcode]).toEqual([404, 'M_NOT_FOUND'])
    // Other servers are asked for anyone, as far as they can be reached.
    const remote = await server.request('GET', path('', '@alice:elsewhere.example'))
    expect([remote.status, remote.body.errcode]).toEqual([502, 'M_CONNECTION_FAILED'])
    expect((await server.request('GET', path('', 'alice'))).body.errcode).toBe('M_INVALID_PARAM')
  })

  it('shows everyone what its owner sets', async () => {
    expect(await put('displayname', 'Alice 🐈')).toMatchObject({ status: 200, body: {} })
    expect(await put('avatar_url', 'mxc://example.com/SEsfnsuifSDFSSEF')).toMatchObject({ status: 200 })
    expect(await put('m.tz', 'Europe/London')).toMatchObject({ status: 200 })
    expect(await put('org.example.job', { title: ['a', 1.5, null] })).toMatchObject({ status: 200 })
    expect(await put('org.example.none', null)).toMatchObject({ status: 200 })
    expect((await get()).body).toEqual({
      displayname: 'Alice 🐈',
      avatar_url: 'mxc://example.com/SEsfnsuifSDFSSEF',
      'm.tz': 'Europe/London',
      'org.example.job': { title: ['a', 1.5, null] },
      'org.example.none': null,
    })
    expect((await get('org.example.job')).body).toEqual({ 'org.example.job': { title: ['a', 1.5, null] } })
    expect(await remove('org.example.job')).toMatchObject({ status: 200, body: {} })
    expect(await remove('org.example.job')).toMatchObject({ status: 200 })
    expect((await get('org.example.job')).status).toBe(404)
  })

  it('loses a name or avatar that is set to nothing', async () => {
    await put('displayname', 'Alice')
    await put('avatar_url', 'mxc://example.com/a')
    expect((await put('displayname', '')).status).toBe(200)
    expect((await put('avatar_url', '')).status).toBe(200)
    expect((await get()).body).not.toHaveProperty('displayname')
    expect((await get()).body).not.toHaveProperty('avatar_url')
  })

  it('has the unstable path of MSC4133 too', async () => {
    const unstable = `/_matrix/client/unstable/uk.tcpip.msc4133/profile/${alice.userId}`
    const body = { 'org.example.old': 1 }
    expect(
      (await server.request('PUT', `${unstable}/org.example.old`, { token: alice.token, body })).status,
    ).toBe(200)
    expect((await server.request('GET', `${unstable}/org.example.old`)).body).toEqual(body)
    expect((await server.request('GET', unstable)).body).toMatchObject(body)
    const deletion = await server.request('DELETE', `${unstable}/org.example.old`, { token: alice.token })
    expect(deletion.status).toBe(200)
  })

  it.each<[string, string, JsonValue]>([
    ['M_INVALID_PARAM', 'displayname', null],
    ['M_INVALID_PARAM', 'displayname', 'x'.repeat(257)],
    ['M_INVALID_PARAM', 'avatar_url', 12],
    ['M_INVALID_PARAM', 'm.tz', 1],
    ['M_INVALID_PARAM', 'plain', 1],
    ['M_INVALID_PARAM', 'Org.Example', 1],
    ['M_INVALID_PARAM', '__proto__', 1],
    ['M_KEY_TOO_LARGE', `a.${'b'.repeat(254)}`, 1],
    // The limit is in bytes.
    ['M_KEY_TOO_LARGE', `a.${'é'.repeat(127)}`, 1],
    ['M_PROFILE_TOO_LARGE', 'org.example.big', 'é'.repeat(32 * 1024)],
  ])('refuses with %s the field %s', async (errcode, key, value) => {
    const answer = await put(key, value)
    expect([answer.status, answer.body.errcode]).toEqual([400, errcode])
  })

  it('takes keys and values up to the limits', async () => {
    const dave = await server.register('dave')
    const own = (key: string, value: JsonValue) =>
      server.request('PUT', path(key, dave.userId), { token: dave.token, body: { [key]: value } })
    expect((await own(`a.${'b'.repeat(253)}`, 1)).status).toBe(200)
    expect((await own('org.my-company.some_key', 1)).status).toBe(200)
    const rest =
      64 * 1024 -
      1 -
      Buffer.byteLength(JSON.stringify((await server.request('GET', path('', dave.userId))).body))
    const filled = rest - Buffer.byteLength(',"org.example.big":""')
    expect((await own('org.example.big', 'x'.repeat(filled + 1))).body['errcode']).toBe('M_PROFILE_TOO_LARGE')
    expect((await own('org.example.big', 'x'.repeat(filled))).status).toBe(200)
    // Nothing else fits, not even the display name; what is there can be taken away again.
    expect((await own('displayname', 'D')).body['errcode']).toBe('M_PROFILE_TOO_LARGE')
    await server.request('DELETE', path('org.example.big', dave.userId), { token: dave.token })
    expect((await own('displayname', 'D')).status).toBe(200)
  })

  it('takes one field at a time, from a body that is JSON', async () => {
    const two = { 'org.example.one': 1, 'org.example.two': 2 }
    const answer = await server.request('PUT', path('org.example.one'), { token: alice.token, body: two })
    expect([answer.status, answer.body.errcode]).toEqual([400, 'M_MISSING_PARAM'])
    const broken = await server.fetch(path('org.example.one'), {
      method: 'PUT',
      headers: { Authorization: `Bearer ${alice.token}` },
      body: '{"org.example.one":',
    })
    expect([broken.status, await broken.json()]).toMatchObject([400, { errcode: 'M_BAD_JSON' }])
    expect((await get('org.example.one')).status).toBe(404)
  })

  it('is told of by its capability, under both names', async () => {
    const { body } = await server.request('GET', '/_matrix/client/v3/capabilities', { token: alice.token })
    expect(body['capabilities']).toMatchObject({
      'm.profile_fields': { enabled: true },
      'uk.tcpip.msc4133.profile_fields': { enabled: true },
    })
    const versions = await server.request('GET', '/_matrix/client/versions')
    expect(versions.body['unstable_features']).toMatchObject({
      'uk.tcpip.msc4133': true,
      'uk.tcpip.msc4133.stable': true,
    })
  })

  it('keeps custom fields out of rooms, and ends with the account', async () => {
    const erin = await server.register('erin')
    const { token } = erin
    const created = await server.request('POST', '/_matrix/client/v3/createRoom', { token, body: {} })
    const field = { 'org.example.secret': 'x' }
    await server.request('PUT', path('org.example.secret', erin.userId), { token, body: field })
    await server.request('PUT', path('displayname', erin.userId), { token, body: { displayname: 'Erin' } })
    const member = `/_matrix/client/v3/rooms/${textOf(created.body, 'room_id')}/state/m.room.member/${erin.userId}`
    expect((await server.request('GET', member, { token })).body).toEqual({
      membership: 'join',
      displayname: 'Erin',
    })
    const body = {
      auth: {
        type: 'm.login.password',
        identifier: { type: 'm.id.user', user: 'erin' },
        password: 'password of erin',
      },
    }
    expect(
      (await server.request('POST', '/_matrix/client/v3/account/deactivate', { token, body })).status,
    ).toBe(200)
    expect((await server.request('GET', path('', erin.userId))).status).toBe(404)
    const db = await server.mf.getD1Database('DB')
    const rows = await db
      .prepare('SELECT displayname, fields FROM profiles WHERE user_id = ?')
      .bind(erin.userId)
      .all()
    expect(JSON.stringify(rows.results)).not.toMatch(/Erin|secret/)
  })

  it('refuses a body without the field', async () => {
    const answer = await server.request('PUT', path('displayname'), {
      token: alice.token,
      body: { name: 'A' },
    })
    expect([answer.status, answer.body.errcode]).toEqual([400, 'M_MISSING_PARAM'])
  })

  it('is changed by its owner alone, and not by a suspended one', async () => {
    const bob = await server.register('bob')
    const foreign = await put('displayname', 'Mallory', bob.token)
    expect([foreign.status, foreign.body.errcode]).toEqual([403, 'M_FORBIDDEN'])
    const anonymous = await server.request('PUT', path('displayname'), { body: { displayname: 'x' } })
    expect([anonymous.status, anonymous.body.errcode]).toEqual([401, 'M_MISSING_TOKEN'])
    const carol = await server.register('carol')
    const db = await server.mf.getD1Database('DB')
    await db.prepare('UPDATE users SET suspended = 1 WHERE user_id = ?').bind(carol.userId).run()
    const suspended = await server.request('PUT', path('displayname', carol.userId), {
      token: carol.token,
      body: { displayname: 'Carol' },
    })
    expect([suspended.status, suspended.body.errcode]).toEqual([403, 'M_USER_SUSPENDED'])
  })

  it('keeps all of several fields set at once', async () => {
    const keys = ['org.example.a', 'org.example.b', 'org.example.c', 'org.example.d']
    const answers = await Promise.all(keys.map((key) => put(key, key)))
    expect(answers.map(({ status }) => status)).toEqual([200, 200, 200, 200])
    for (const key of keys) expect((await get(key)).body).toEqual({ [key]: key })
  })
})

describe('MSC4175: the time zone', () => {
  it('is a field like others, under its unstable name too', async () => {
    for (const key of ['m.tz', 'us.cloke.msc4175.tz']) {
      expect((await put(key, 'America/Argentina/Buenos_Aires')).status).toBe(200)
      expect((await get(key)).body).toEqual({ [key]: 'America/Argentina/Buenos_Aires' })
      expect((await remove(key)).status).toBe(200)
      expect((await get(key)).status).toBe(404)
    }
  })
})

describe('MSC4170: who may look at a profile', () => {
  it('is anybody, in a room with its owner or not, signed in or not', async () => {
    const [frank, stranger] = [await server.register('frank'), await server.register('stranger')]
    await server.request('PUT', path('displayname', frank.userId), {
      token: frank.token,
      body: { displayname: 'Frank' },
    })
    for (const token of [stranger.token, frank.token, undefined]) {
      const answer = await server.request('GET', path('', frank.userId), token === undefined ? {} : { token })
      expect([answer.status, answer.body]).toEqual([200, { displayname: 'Frank' }])
    }
  })

  it('is told 404 of users who do not exist, as of fields that are not set', async () => {
    for (const there of [
      path('', '@nobody:test.local'),
      path('displayname', '@nobody:test.local'),
      path('org.example.no'),
    ]) {
      const answer = await server.request('GET', there, { token: alice.token })
      expect([answer.status, answer.body.errcode]).toEqual([404, 'M_NOT_FOUND'])
    }
  })
})
