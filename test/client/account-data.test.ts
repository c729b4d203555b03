// Account data, tags and filters over HTTP, and what a sync reads of account data.

import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { JsonObject, JsonValue } from '../../src/matrix/json.ts'
import { type Account, startServer, type TestServer } from '../support/server.ts'
import { textOf } from '../support/text-of.ts'

const room = '!room:test.local'

let server: TestServer
let alice: Account
let bob: Account
beforeAll(async () => {
  server = await startServer()
  alice = await server.register('alice')
  bob = await server.register('bob')
})
afterAll(() => server.stop())

const user = (path: string) => `/_matrix/client/v3/user/${alice.userId}/${path}`
const get = (path: string, token = alice.token) => server.request('GET', user(path), { token })
const put = (path: string, body: JsonValue, token = alice.token) =>
  server.request('PUT', user(path), { token, body })

describe.each([
  ['global', 'account_data'],
  ['of a room', `rooms/${room}/account_data`],
])('account data %s', (_, base) => {
  it('is read as it was last written', async () => {
    expect((await get(`${base}/test.key`)).status).toBe(404)
    for (const content of [{ value: 'first' }, { value: 'second', nested: [1.5, null] }]) {
      expect(await put(`${base}/test.key`, content)).toMatchObject({ status: 200, body: {} })
      const read = await get(`${base}/test.key`)
      expect(read.body).toEqual(content)
      expect(read.headers.get('Content-Type')).toBe('application/json')
    }
  })

  it.each(['deleted', 'set to nothing'])('is gone when it is %s, and other devices are told', async (how) => {
    const sync = async (since = '') => {
      const path = `/_matrix/client/v3/sync?${since && `since=${since}`}`
      const { body } = await server.request('GET', path, { token: alice.token })
      return { text: JSON.stringify(body['account_data'] ?? {}), next: textOf(body, 'next_batch') }
    }
    await put(`${base}/test.gone`, { value: 1 })
    const { next } = await sync()
    const path = user(`${base}/test.gone`).replace('v3', 'unstable/org.matrix.msc3391')
    const answer =
      how === 'deleted'
        ? await server.request('DELETE', path, { token: alice.token })
        : await put(`${base}/test.gone`, {})
    expect(answer.status).toBe(200)
    expect((await get(`${base}/test.gone`)).status).toBe(404)
    if (base === 'account_data') {
      expect((await sync(next)).text).toContain('{"type":"test.gone","content":{}}')
      expect((await sync()).text).not.toContain('test.gone')
    }
  })

  it.each(['m.fully_read', 'm.push_rules'])('MSC4010: does not take %s', async (type) => {
    const { status, body } = await put(`${base}/${type}`, {})
    expect([status, body.errcode]).toEqual([405, 'M_BAD_JSON'])
    const removal = await server.request(
      'DELETE',
      user(`${base}/${type}`).replace('v3', 'unstable/org.matrix.msc3391'),
      { token: alice.token },
    )
    expect([removal.status, removal.body['errcode']]).toEqual([405, 'M_BAD_JSON'])
  })

  it('belongs to one user', async () => {
    await put(`${base}/private`, { secret: true })
    for (const answer of [
      await get(`${base}/private`, bob.token),
      await put(`${base}/private`, {}, bob.token),
    ]) {
      expect([answer.status, answer.body.errcode]).toEqual([403, 'M_FORBIDDEN'])
    }
  })

  it('is a JSON object under a type of moderate length', async () => {
    const list = await put(`${base}/test.list`, [])
    expect([list.status, list.body.errcode]).toEqual([400, 'M_BAD_JSON'])
    const response = await server.fetch(user(`${base}/test.text`), {
      method: 'PUT',
      headers: { Authorization: `Bearer ${alice.token}` },
      body: 'text',
    })
    expect(await response.json()).toMatchObject({ errcode: 'M_NOT_JSON' })
    const long = await put(`${base}/${'x'.repeat(256)}`, {})
    expect([long.status, long.body.errcode]).toEqual([400, 'M_INVALID_PARAM'])
  })
})

it('account data of something that is no room is refused', async () => {
  const { status, body } = await put('rooms/@alice:test.local/account_data/test', {})
  expect([status, body.errcode]).toEqual([400, 'M_INVALID_PARAM'])
})

it('MSC4010: push rules can be read from the start, only global', async () => {
  const { status, body } = await get('account_data/m.push_rules')
  expect(status).toBe(200)
  const { override } = body['global'] as { override: JsonObject[] }
  expect(override[0]).toMatchObject({ rule_id: '.m.rule.master' })
  expect(override.length).toBeGreaterThanOrEqual(10)
  expect((await get(`rooms/${room}/account_data/m.push_rules`)).status).toBe(404)
})

describe('tags', () => {
  const tags = `rooms/${room}/tags`

  it('are set, read as account data, and removed', async () => {
    expect((await get(tags)).body).toEqual({ tags: {} })
    expect((await put(`${tags}/u.work`, { order: 0.25, extra: 'kept' })).status).toBe(200)
    expect((await put(`${tags}/m.favourite`, {})).status).toBe(200)
    const content = { tags: { 'u.work': { order: 0.25, extra: 'kept' }, 'm.favourite': {} } }
    expect((await get(tags)).body).toEqual(content)
    expect((await get(`rooms/${room}/account_data/m.tag`)).body).toEqual(content)
    const deletion = await server.request('DELETE', user(`${tags}/u.work`), { token: alice.token })
    expect(deletion).toMatchObject({ status: 200, body: {} })
    expect((await get(tags)).body).toEqual({ tags: { 'm.favourite': {} } })
  })

  it('may have the name of anything', async () => {
    expect((await put(`${tags}/__proto__`, { order: 1 })).status).toBe(200)
    expect(JSON.stringify((await get(tags)).body)).toContain('"__proto__":{"order":1}')
    expect((await server.request('DELETE', user(`${tags}/constructor`), { token: alice.token })).status).toBe(
      200,
    )
  })

  it.each<[string, string, JsonObject]>([
    ['M_BAD_JSON', 'u.a', { order: 2 }],
    ['M_BAD_JSON', 'u.a', { order: '0.5' }],
    ['M_INVALID_PARAM', `u.${'é'.repeat(127)}`, {}],
  ])('refuses with %s the tag %s', async (errcode, tag, content) => {
    const { status, body } = await put(`${tags}/${encodeURIComponent(tag)}`, content)
    expect([status, body.errcode]).toEqual([400, errcode])
  })

  it('belong to one user', async () => {
    expect((await get(tags, bob.token)).status).toBe(403)
    expect((await put(`${tags}/u.a`, {}, bob.token)).status).toBe(403)
    expect((await server.request('DELETE', user(`${tags}/u.a`), { token: bob.token })).status).toBe(403)
  })
})

describe('filters', () => {
  const define = (filter: JsonValue) =>
    server.request('POST', user('filter'), { token: alice.token, body: filter })

  it('are stored and given back, the same one under the same id', async () => {
    const filter = { room: { timeline: { limit: 10 } }, 'org.example.unknown': 1 }
    const id = textOf((await define(filter)).body, 'filter_id')
    expect((await get(`filter/${id}`)).body).toEqual(filter)
    expect((await define(filter)).body).toEqual({ filter_id: id })
    expect(textOf((await define({})).body, 'filter_id')).not.toBe(id)
    expect((await get(`filter/${id}`, bob.token)).status).toBe(403)
  })

  it('that do not exist are not found', async () => {
    for (const id of ['99', '0', 'a', '1e1', '99999999999999999999']) {
      const { status, body } = await get(`filter/${id}`)
      expect([status, body.errcode]).toEqual([404, 'M_NOT_FOUND'])
    }
  })

  it.each<[JsonValue]>([
    [[]],
    [{ presence: 'not_an_object' }],
    [{ room: { timeline: { rooms: 'not_a_list' } } }],
    [{ room: { timeline: { rooms: ['not_a_room_id'] } } }],
    [{ room: { timeline: { senders: ['not_a_sender_id'] } } }],
    [{ room: { timeline: { types: [1] } } }],
  ])('that mean nothing are refused: %j', async (filter) => {
    const { status, body } = await define(filter)
    expect([status, body.errcode]).toEqual([400, 'M_BAD_JSON'])
  })
})
