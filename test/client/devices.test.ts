// Devices over HTTP, and the interactive authentication that deleting one takes.

import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { JsonObject } from '../../src/matrix/json.ts'
import { type Account, startServer, type TestServer } from '../support/server.ts'
import { newClient, roomClient } from '../support/room-client.ts'
import { textOf } from '../support/text-of.ts'

let server: TestServer
let alice: Account
let bob: Account
beforeAll(async () => {
  server = await startServer()
  alice = await server.register('alice')
  bob = await server.register('bob')
})
afterAll(() => server.stop())

const passwordAuth = (user: string, password = `password of ${user}`) => ({
  type: 'm.login.password',
  identifier: { type: 'm.id.user', user },
  password,
})
const login = async (deviceId: string) => {
  const { body } = await server.request('POST', '/_matrix/client/v3/login', {
    body: {
      ...passwordAuth('alice'),
      device_id: deviceId,
      initial_device_display_name: 'device display',
    },
  })
  return textOf(body, 'access_token')
}
const as = (token: string, method: string, path: string, body?: JsonObject) =>
  server.request(method, `/_matrix/client/v3${path}`, body === undefined ? { token } : { token, body })

describe('devices', () => {
  it('are listed with their names', async () => {
    await login('login_device')
    const one = await as(alice.token, 'GET', '/devices/login_device')
    expect(one.status).toBe(200)
    expect(one.body).toMatchObject({
      device_id: 'login_device',
      display_name: 'device display',
      last_seen_ts: expect.any(Number),
    })
    const all = await as(alice.token, 'GET', '/devices')
    expect(all.body.devices).toContainEqual(one.body)
    const others = await as(bob.token, 'GET', '/devices')
    expect(others.body.devices).toMatchObject([{ device_id: bob.deviceId }])
  })

  it('are seen when they sync, from where they do, also after a restart', async () => {
    const dataDir = await mkdtemp(join(tmpdir(), 'hearth-test-'))
    try {
      const options = { dataDir, vars: { CLIENT_ADDRESS_HEADER: 'X-Forwarded-For' } }
      let running = await startServer(options)
      const carol = await newClient(running, 'carol')
      const path = '/_matrix/client/v3/sync'
      const sliding = '/_matrix/client/unstable/org.matrix.simplified_msc3575/sync'
      const seen = async () => {
        const device = await roomClient(running, carol).done('GET', `/devices/${carol.deviceId}`)
        return { ip: device['last_seen_ip'], ts: Number(device['last_seen_ts']) }
      }
      const from = (ip: string) => ({ token: carol.token, headers: { 'X-Forwarded-For': ip } })
      const login = await seen()
      await running.request('GET', path, from('192.0.2.1'))
      const first = await seen()
      expect(first.ip).toBe('192.0.2.1')
      expect(first.ts).toBeGreaterThan(login.ts)
      // The same address once more costs no row.
      const costs = await running.measure(() =>
        running.request('POST', sliding, { ...from('192.0.2.1'), body: {} }),
      )
      expect(costs.doRowsWritten).toBe(1)
      const second = await seen()
      expect(second.ip).toBe('192.0.2.1')
      expect(second.ts).toBeGreaterThan(first.ts)
      await running.request('POST', sliding, { ...from('192.0.2.2'), body: {} })
      const third = await seen()
      await running.kill()
      running = await startServer(options)
      expect(await seen()).toEqual({ ip: '192.0.2.2', ts: third.ts })
      await running.stop()
    } finally {
      await rm(dataDir, { recursive: true, force: true })
    }
  })

  it('can be renamed', async () => {
    await login('renamed')
    expect(await as(alice.token, 'PUT', '/devices/renamed', { display_name: 'new' })).toMatchObject({
      body: {},
    })
    expect(await as(alice.token, 'PUT', '/devices/renamed', {})).toMatchObject({ status: 200 })
    expect((await as(alice.token, 'GET', '/devices/renamed')).body).toMatchObject({ display_name: 'new' })
    expect(await as(alice.token, 'PUT', '/devices/renamed', { display_name: 1 })).toMatchObject({
      status: 400,
    })
  })

  it('that do not exist are not found', async () => {
    for (const [method, body] of [['GET'], ['PUT', {}], ['PUT', { display_name: 'x' }]] as const) {
      const answer = await as(alice.token, method, '/devices/unknown_device', body)
      expect([answer.status, answer.body.errcode]).toEqual([404, 'M_NOT_FOUND'])
    }
    // Another user's device is none of theirs.
    expect((await as(alice.token, 'GET', `/devices/${bob.deviceId}`)).status).toBe(404)
  })
})

describe('deleting a device', () => {
  it('takes the password, not another', async () => {
    const token = await login('doomed')
    const first = await as(alice.token, 'DELETE', '/devices/doomed')
    expect(first.status).toBe(401)
    expect(first.body).toEqual({
      session: expect.any(String),
      flows: [{ stages: ['m.login.password'] }],
      params: {},
    })
    const wrong = await as(alice.token, 'DELETE', '/devices/doomed', { auth: passwordAuth('alice', 'wrong') })
    expect(wrong).toMatchObject({
      status: 401,
      body: { errcode: 'M_FORBIDDEN', error: expect.any(String), session: expect.any(String), params: {} },
    })
    expect((await as(token, 'GET', '/devices/doomed')).status).toBe(200)
    const right = await as(alice.token, 'DELETE', '/devices/doomed', {
      auth: { ...passwordAuth('alice'), session: textOf(wrong.body, 'session') },
    })
    expect(right).toMatchObject({ status: 200, body: {} })
    expect((await as(alice.token, 'GET', '/devices/doomed')).status).toBe(404)
    expect((await as(token, 'GET', '/account/whoami')).status).toBe(401)
  })

  it('refuses the password of another user, and the other user', async () => {
    await login('kept')
    const foreign = await as(alice.token, 'DELETE', '/devices/kept', { auth: passwordAuth('bob') })
    expect([foreign.status, foreign.body.errcode]).toEqual([403, 'M_FORBIDDEN'])
    expect((await as(bob.token, 'DELETE', '/devices/kept', { auth: passwordAuth('bob') })).status).toBe(200)
    expect((await as(alice.token, 'GET', '/devices/kept')).status).toBe(200)
  })

  it('refuses a session of another request, another body, another user, and an unknown one', async () => {
    await login('one')
    const { body } = await as(alice.token, 'POST', '/delete_devices', { devices: ['one'] })
    const auth = { ...passwordAuth('alice'), session: textOf(body, 'session') }
    const refused = { status: 403, body: { errcode: 'M_FORBIDDEN' } }
    expect(await as(alice.token, 'DELETE', '/devices/one', { auth })).toMatchObject(refused)
    const other = { devices: ['one', alice.deviceId], auth }
    expect(await as(alice.token, 'POST', '/delete_devices', other)).toMatchObject(refused)
    const asBob = { devices: ['one'], auth: { ...passwordAuth('bob'), session: auth.session } }
    expect(await as(bob.token, 'POST', '/delete_devices', asBob)).toMatchObject(refused)
    const unknown = { devices: ['one'], auth: { ...auth, session: 'unknown' } }
    expect(await as(alice.token, 'POST', '/delete_devices', unknown)).toMatchObject({ status: 401 })
    expect(await as(alice.token, 'POST', '/delete_devices', { devices: ['one'], auth })).toMatchObject({
      status: 200,
    })
    // It is used up now.
    expect(await as(alice.token, 'POST', '/delete_devices', { devices: ['one'], auth })).toMatchObject({
      status: 401,
    })
  })

  it.each<[string, JsonObject, number, string]>([
    ['auth that is no object', { auth: 'please' }, 400, 'M_BAD_JSON'],
    ['an unknown stage', { auth: { type: 'm.login.dummy' } }, 401, 'M_FORBIDDEN'],
    ['no password', { auth: { type: 'm.login.password', user: 'alice' } }, 400, 'M_MISSING_PARAM'],
    ['a lone surrogate', { text: '\ud800' }, 400, 'M_BAD_JSON'],
  ])('refuses %s', async (_, body, status, errcode) => {
    const answer = await as(alice.token, 'DELETE', `/devices/${alice.deviceId}`, body)
    expect([answer.status, answer.body.errcode]).toEqual([status, errcode])
  })

  it('deletes several at once, known or not', async () => {
    const tokens = [await login('first'), await login('second')]
    const body = { devices: ['first', 'second', 'third'], auth: passwordAuth('alice') }
    expect(await as(alice.token, 'POST', '/delete_devices', body)).toMatchObject({ status: 200, body: {} })
    for (const token of tokens) expect((await as(token, 'GET', '/account/whoami')).status).toBe(401)
    const missing = await as(alice.token, 'POST', '/delete_devices', { auth: passwordAuth('alice') })
    expect([missing.status, missing.body.errcode]).toEqual([400, 'M_MISSING_PARAM'])
  })

  it('can go through the fallback page', async () => {
    await login('by-page')
    const { body } = await as(alice.token, 'DELETE', '/devices/by-page', {})
    const session = textOf(body, 'session')
    const page = `/_matrix/client/v3/auth/m.login.password/fallback/web?session=${session}`
    const pending = await as(alice.token, 'DELETE', '/devices/by-page', { auth: { session } })
    expect(pending.status).toBe(401)
    expect(pending.body).not.toHaveProperty('completed')
    const form = await server.fetch(page)
    expect(form.headers.get('Content-Security-Policy')).toContain("default-src 'none'")
    const wrong = await server.fetch(page, {
      method: 'POST',
      body: new URLSearchParams({ password: 'wrong' }),
    })
    expect(await wrong.text()).toContain('Invalid password')
    const right = await server.fetch(page, {
      method: 'POST',
      body: new URLSearchParams({ password: 'password of alice' }),
    })
    expect(await right.text()).toContain('onAuthDone')
    expect(await as(alice.token, 'DELETE', '/devices/by-page', { auth: { session } })).toMatchObject({
      status: 200,
    })
  })

  it('reads no form of any length on that page', async () => {
    await login('by-form')
    const { body } = await as(alice.token, 'DELETE', '/devices/by-form', {})
    const page = `/_matrix/client/v3/auth/m.login.password/fallback/web?session=${textOf(body, 'session')}`
    const form = new URLSearchParams({ password: 'x'.repeat(70_000) })
    expect((await server.fetch(page, { method: 'POST', body: form })).status).toBe(413)
  })

  it('has no page for an unknown stage or session', async () => {
    for (const path of ['m.login.magic/fallback/web?session=a', 'm.login.dummy/fallback/web?session=a']) {
      expect((await server.fetch(`/_matrix/client/v3/auth/${path}`)).status).toBe(404)
    }
    expect((await server.fetch('/_matrix/client/v3/auth/m.login.dummy/fallback/web')).status).toBe(400)
  })
})
