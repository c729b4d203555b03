import { afterEach, expect, test } from 'vitest'
import { startServer, type TestServer } from '../support/server.ts'

let server: TestServer
afterEach(async () => {
  await server.stop()
})

/** The address that the server notes for a login with some headers. */
async function seenAddress(headers: Record<string, string>) {
  const login = await server.request<{ access_token: string; device_id: string }>(
    'POST',
    '/_matrix/client/v3/login',
    {
      headers,
      body: {
        type: 'm.login.password',
        identifier: { type: 'm.id.user', user: 'alice' },
        password: 'password of alice',
      },
    },
  )
  const { access_token: token, device_id: deviceId } = login.body
  const device = await server.request('GET', `/_matrix/client/v3/devices/${deviceId}`, { token, headers })
  expect(device.status).toBe(200)
  return device.body['last_seen_ip']
}

test('a client cannot make up its address', async () => {
  server = await startServer()
  await server.register('alice')
  expect(await seenAddress({ 'CF-Connecting-IP': '192.0.2.1' })).toBeUndefined()
  expect(await seenAddress({ 'X-Forwarded-For': '192.0.2.1' })).toBeUndefined()
})

test('the header of a reverse proxy is believed where there is one, but not what the client put before it', async () => {
  server = await startServer({ vars: { CLIENT_ADDRESS_HEADER: 'X-Forwarded-For' } })
  await server.register('alice')
  expect(await seenAddress({ 'X-Forwarded-For': '198.51.100.7' })).toBe('198.51.100.7')
  expect(
    await seenAddress({ 'CF-Connecting-IP': '192.0.2.1', 'X-Forwarded-For': '192.0.2.1, 198.51.100.7' }),
  ).toBe('198.51.100.7')
})
