// Profiles over HTTP.

import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { JsonValue } from '../../src/matrix/json.ts'
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

describe('a profile', () => {
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
    ['M_PROFILE_TOO_LARGE', 'org.example.big', 'é'.repeat(32 * 1024)],
  ])('refuses with %s the field %s', async (errcode, key, value) => {
    const answer = await put(key, value)
    expect([answer.status, answer.body.errcode]).toEqual([400, errcode])
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
