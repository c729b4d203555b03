// Password change, deactivation and contact information over HTTP.

import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { JsonObject } from '../../src/matrix/json.ts'
import { startServer, type TestServer } from '../support/server.ts'
import { textOf } from '../support/text-of.ts'

let server: TestServer
beforeAll(async () => {
  server = await startServer()
})
afterAll(() => server.stop())

const passwordAuth = (user: string, password = `password of ${user}`) => ({
  type: 'm.login.password',
  identifier: { type: 'm.id.user', user },
  password,
})
const login = (user: string, password?: string) =>
  server.request('POST', '/_matrix/client/v3/login', { body: passwordAuth(user, password) })
const whoami = async (token: string) =>
  (await server.request('GET', '/_matrix/client/v3/account/whoami', { token })).status

describe('changing the password', () => {
  const change = (body: JsonObject, token?: string) =>
    server.request(
      'POST',
      '/_matrix/client/v3/account/password',
      token === undefined ? { body } : { body, token },
    )

  it('ends the old password and all other devices, but not the one that asks', async () => {
    const { token } = await server.register('alice')
    const other = textOf((await login('alice')).body, 'access_token')
    const request = { new_password: 'my_new_password' }
    expect((await change(request, token)).status).toBe(401)
    const changed = await change({ ...request, auth: passwordAuth('alice') }, token)
    expect(changed).toMatchObject({ status: 200, body: {} })
    expect(await login('alice')).toMatchObject({ status: 403, body: { errcode: 'M_FORBIDDEN' } })
    expect((await login('alice', 'my_new_password')).status).toBe(200)
    expect(await whoami(token)).toBe(200)
    expect(await whoami(other)).toBe(401)
  })

  it('keeps other devices where asked to', async () => {
    const { token } = await server.register('bob')
    const other = textOf((await login('bob')).body, 'access_token')
    const request = { new_password: 'my_new_password', logout_devices: false, auth: passwordAuth('bob') }
    expect((await change(request, token)).status).toBe(200)
    expect(await whoami(other)).toBe(200)
  })

  it('works without an access token, for whoever gives their password', async () => {
    const { token } = await server.register('carol')
    const request = { new_password: 'my_new_password', auth: passwordAuth('carol') }
    expect((await change(request)).status).toBe(200)
    expect(await whoami(token)).toBe(401)
    expect((await login('carol', 'my_new_password')).status).toBe(200)
  })

  it('refuses weak passwords, wrong ones and those of others', async () => {
    const { token } = await server.register('dave')
    await server.register('mallory')
    const weak = await change({ new_password: 'weak', auth: passwordAuth('dave') }, token)
    expect([weak.status, weak.body.errcode]).toEqual([400, 'M_WEAK_PASSWORD'])
    const missing = await change({ auth: passwordAuth('dave') }, token)
    expect([missing.status, missing.body.errcode]).toEqual([400, 'M_MISSING_PARAM'])
    const wrong = await change({ new_password: 'long enough', auth: passwordAuth('dave', 'wrong') }, token)
    expect([wrong.status, wrong.body.errcode]).toEqual([401, 'M_FORBIDDEN'])
    const foreign = await change({ new_password: 'long enough', auth: passwordAuth('mallory') }, token)
    expect([foreign.status, foreign.body.errcode]).toEqual([403, 'M_FORBIDDEN'])
    const invalid = await change({ new_password: 'long enough', auth: passwordAuth('dave') }, 'not-a-token')
    expect([invalid.status, invalid.body.errcode]).toEqual([401, 'M_UNKNOWN_TOKEN'])
    expect((await login('dave')).status).toBe(200)
  })
})

describe('deactivation', () => {
  const deactivate = (token: string, body: JsonObject) =>
    server.request('POST', '/_matrix/client/v3/account/deactivate', { token, body })

  it('takes the password', async () => {
    const { token } = await server.register('erin')
    expect(await deactivate(token, {})).toMatchObject({
      status: 401,
      body: { flows: [{ stages: ['m.login.password'] }] },
    })
    const wrong = await deactivate(token, { auth: passwordAuth('erin', 'wrong') })
    expect([wrong.status, wrong.body.errcode]).toEqual([401, 'M_FORBIDDEN'])
    expect(await whoami(token)).toBe(200)
  })

  it('ends the account: tokens, password, profile, devices, data; the name stays taken', async () => {
    const { token, userId } = await server.register('frank')
    const api = '/_matrix/client/v3'
    await server.request('PUT', `${api}/profile/${userId}/displayname`, {
      token,
      body: { displayname: 'Frank' },
    })
    await server.request('PUT', `${api}/user/${userId}/account_data/test`, { token, body: { secret: 1 } })
    const refreshable = await server.request('POST', `${api}/login`, {
      body: { ...passwordAuth('frank'), refresh_token: true },
    })
    const answer = await deactivate(token, { auth: passwordAuth('frank'), erase: true })
    expect(answer).toMatchObject({ status: 200, body: { id_server_unbind_result: 'success' } })
    expect(await whoami(token)).toBe(401)
    expect((await login('frank')).status).toBe(403)
    const refresh = await server.request('POST', `${api}/refresh`, {
      body: { refresh_token: textOf(refreshable.body, 'refresh_token') },
    })
    expect(refresh.status).toBe(401)
    expect((await server.request('GET', `${api}/profile/${userId}`)).status).toBe(404)
    const available = await server.request('GET', `${api}/register/available?username=frank`)
    expect([available.status, available.body.errcode]).toEqual([400, 'M_USER_IN_USE'])
    const hub = await server.hub()
    expect(await hub.listDevices(userId as never)).toEqual([])
    expect(await hub.getAccountData(userId as never, null, 'test')).toBeUndefined()
    const db = await server.mf.getD1Database('DB')
    const row = await db
      .prepare('SELECT password_hash, erased FROM users WHERE user_id = ?')
      .bind(userId)
      .first()
    expect(row).toEqual({ password_hash: null, erased: 1 })
    // A deactivated user changes nothing by the back door either.
    const change = await server.request('POST', `${api}/account/password`, {
      body: { new_password: 'long enough', auth: passwordAuth('frank') },
    })
    expect(change.status).toBe(401)
  })
})

describe('third-party identifiers on a server without mail', () => {
  it('are none, and none can be added', async () => {
    const { token } = await server.register('grace')
    const api = '/_matrix/client/v3/account/3pid'
    expect((await server.request('GET', api, { token })).body).toEqual({ threepids: [] })
    const removal = { medium: 'email', address: 'grace@example.org' }
    const removed = await server.request('POST', `${api}/delete`, { token, body: removal })
    expect(removed.body).toEqual({ id_server_unbind_result: 'no-support' })
    const added = await server.request('POST', `${api}/add`, { token, body: {} })
    expect([added.status, added.body.errcode]).toEqual([400, 'M_THREEPID_MEDIUM_NOT_SUPPORTED'])
  })

  it('MSC4178: tokens are sent by neither mail nor message', async () => {
    for (const of of ['register', 'account/password', 'account/3pid']) {
      for (const medium of ['email', 'msisdn']) {
        const path = `/_matrix/client/v3/${of}/${medium}/requestToken`
        const { status, body } = await server.request('POST', path, { body: {} })
        expect([status, body.errcode], path).toEqual([400, 'M_THREEPID_MEDIUM_NOT_SUPPORTED'])
      }
    }
  })
})
