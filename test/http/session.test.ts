import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { JsonValue } from '../../src/matrix/json.ts'
import { startServer, type Account, type TestServer } from '../support/server.ts'
import { textOf } from '../support/text-of.ts'

// With sessions kept in memory as on one's own machine, and looked up each time as on Workers.
describe.each(['on', 'off'])('an access token, with the session cache %s,', (cache) => {
  let server: TestServer
  let n = 0
  beforeAll(async () => {
    server = await startServer({ vars: { SESSION_CACHE: cache } })
  })
  afterAll(() => server.stop())

  async function whoami(token: string): Promise<number> {
    return (await server.request('GET', '/_matrix/client/v3/account/whoami', { token })).status
  }

  async function account(): Promise<Account & { password: string; localpart: string }> {
    n += 1
    const localpart = `user${n}`
    const made = await server.register(localpart)
    // Used once, so that it is in memory where anything is.
    expect(await whoami(made.token)).toBe(200)
    expect(await whoami(made.token)).toBe(200)
    return { ...made, localpart, password: `password of ${localpart}` }
  }

  async function post(path: string, token: string, body: JsonValue = {}): Promise<Record<string, JsonValue>> {
    const answer = await server.request('POST', path, { token, body })
    expect(answer.status).toBe(200)
    return answer.body
  }

  async function login(localpart: string, password: string, deviceId?: string): Promise<string> {
    const body = await post('/_matrix/client/v3/login', '', {
      type: 'm.login.password',
      identifier: { type: 'm.id.user', user: localpart },
      password,
      ...(deviceId === undefined ? {} : { device_id: deviceId }),
    })
    return textOf(body, 'access_token')
  }

  function passwordAuth(localpart: string, password: string) {
    return { type: 'm.login.password', identifier: { type: 'm.id.user', user: localpart }, password }
  }

  it('MSC4126: may still come in the query string, where the header wins over it', async () => {
    const [one, other] = [await account(), await account()]
    const who = async (token: string, inQuery: string) => {
      const path = `/_matrix/client/v3/account/whoami?access_token=${inQuery}`
      return await server.request('GET', path, token === '' ? {} : { token })
    }
    expect((await who('', one.token)).body['user_id']).toBe(one.userId)
    expect((await who(other.token, one.token)).body['user_id']).toBe(other.userId)
    expect((await who('wrong', one.token)).status).toBe(401)
    expect((await who('', 'wrong')).status).toBe(401)
    expect(server.logs.join()).not.toContain(one.token)
  })

  it('ends with a logout', async () => {
    const { token } = await account()
    await post('/_matrix/client/v3/logout', token)
    expect(await whoami(token)).toBe(401)
  })

  it('ends with a logout of all devices, made by another one', async () => {
    const { token, localpart, password } = await account()
    const other = await login(localpart, password)
    await post('/_matrix/client/v3/logout/all', other)
    expect(await whoami(token)).toBe(401)
    expect(await whoami(other)).toBe(401)
  })

  it('ends with a new login of its device', async () => {
    const { token, localpart, password, deviceId } = await account()
    const next = await login(localpart, password, deviceId)
    expect(await whoami(token)).toBe(401)
    expect(await whoami(next)).toBe(200)
  })

  it('ends with the deletion of its device', async () => {
    const { token, localpart, password, deviceId } = await account()
    const other = await login(localpart, password)
    const answer = await server.request('DELETE', `/_matrix/client/v3/devices/${deviceId}`, {
      token: other,
      body: { auth: passwordAuth(localpart, password) },
    })
    expect(answer.status).toBe(200)
    expect(await whoami(token)).toBe(401)
    expect(await whoami(other)).toBe(200)
  })

  it('of another device ends with a change of the password', async () => {
    const { token, localpart, password } = await account()
    const other = await login(localpart, password)
    await post('/_matrix/client/v3/account/password', other, {
      new_password: 'an entirely new password',
      auth: passwordAuth(localpart, password),
    })
    expect(await whoami(token)).toBe(401)
    expect(await whoami(other)).toBe(200)
  })

  it('ends with the account', async () => {
    const { token, localpart, password } = await account()
    await post('/_matrix/client/v3/account/deactivate', token, { auth: passwordAuth(localpart, password) })
    expect(await whoami(token)).toBe(401)
  })

  it('that is unknown or missing is refused', async () => {
    const unknown = await server.request('GET', '/_matrix/client/v3/account/whoami', { token: 'nonsense' })
    expect(unknown).toMatchObject({ status: 401, body: { errcode: 'M_UNKNOWN_TOKEN' } })
    const missing = await server.request('GET', '/_matrix/client/v3/account/whoami')
    expect(missing).toMatchObject({ status: 401, body: { errcode: 'M_MISSING_TOKEN' } })
  })
})
