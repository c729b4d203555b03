// Registration by shared secret, as operators' scripts do it.

import { createHmac } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { JsonObject } from '../../src/matrix/json.ts'
import { startServer, type TestServer, testServerName } from '../support/server.ts'
import { textOf } from '../support/text-of.ts'

const path = '/_synapse/admin/v1/register'
const secret = 'complement'
const password = 'sUp3rs3kr1t'

let server: TestServer
beforeAll(async () => {
  server = await startServer({ vars: { REGISTRATION_SHARED_SECRET: secret, REGISTRATION: 'closed' } })
})
afterAll(() => server.stop())

const newNonce = async () => textOf((await server.request('GET', path)).body, 'nonce')
const macOf = (parts: readonly string[], key = secret) =>
  createHmac('sha1', key).update(parts.join('\0')).digest('hex')

async function register(
  username: string,
  { admin = false, key = secret, more = {} }: { admin?: boolean; key?: string; more?: JsonObject } = {},
) {
  const nonce = await newNonce()
  const mac = macOf([nonce, username, password, admin ? 'admin' : 'notadmin'], key)
  return await server.request('POST', path, { body: { nonce, username, password, admin, mac, ...more } })
}

describe('registration by shared secret', () => {
  it('makes users and administrators, also where registration is closed', async () => {
    const admin = await register('adminuser', { admin: true })
    expect(admin).toMatchObject({
      status: 200,
      body: {
        user_id: `@adminuser:${testServerName}`,
        home_server: testServerName,
        device_id: expect.any(String),
      },
    })
    const user = await register('user-UPPER-shared-SECRET', { more: { displayname: 'Upper' } })
    expect(user.body.user_id).toBe(`@user-upper-shared-secret:${testServerName}`)
    const profile = await server.request('GET', `/_matrix/client/v3/profile/${textOf(user.body, 'user_id')}`)
    expect(profile.body).toEqual({ displayname: 'Upper' })
    const token = textOf(user.body, 'access_token')
    expect((await server.request('GET', '/_matrix/client/v3/account/whoami', { token })).status).toBe(200)
    const db = await server.mf.getD1Database('DB')
    const { results } = await db.prepare('SELECT admin FROM users ORDER BY user_id').all()
    expect(results).toEqual([{ admin: 1 }, { admin: 0 }])
  })

  it('signs the type of user too, if one is given', async () => {
    expect((await register('typed', { more: { user_type: 'bot' } })).status).toBe(403)
    const nonce = await newNonce()
    const mac = macOf([nonce, 'typed', password, 'notadmin', 'bot'])
    const body = { nonce, username: 'typed', password, mac, user_type: 'bot' }
    expect((await server.request('POST', path, { body })).status).toBe(200)
  })

  it.each([
    ['another secret', { key: 'guess' }],
    ['a signature for no administrator', { more: { admin: true } }],
    ['a signature of another password', { more: { password: 'another password' } }],
    ['a signature that is no hex', { more: { mac: 'zz' } }],
  ])('refuses %s', async (_, change) => {
    expect((await register('refused', change)).status).toBe(403)
  })

  it('takes a nonce only once, and none that it did not give', async () => {
    const nonce = await newNonce()
    const body = (username: string) => ({
      nonce,
      username,
      password,
      mac: macOf([nonce, username, password, 'notadmin']),
    })
    expect((await server.request('POST', path, { body: body('nonce-one') })).status).toBe(200)
    expect((await server.request('POST', path, { body: body('nonce-two') })).status).toBe(400)
    const made = { ...body('nonce-three'), nonce: 'made up' }
    expect((await server.request('POST', path, { body: made })).status).toBe(400)
  })

  it('judges names as any registration does', async () => {
    expect(await register('us,er')).toMatchObject({ status: 400, body: { errcode: 'M_INVALID_USERNAME' } })
    expect(await register('adminuser')).toMatchObject({ status: 400, body: { errcode: 'M_USER_IN_USE' } })
  })

  it('refuses parts that hold the separator', async () => {
    const username = 'us\0er'
    expect(await register(username)).toMatchObject({ status: 400, body: { errcode: 'M_BAD_JSON' } })
  })
})
