// Attack: reading secrets from logs and errors. Whatever goes wrong, neither has a token, a password, a key or a message.

import { afterAll, beforeAll, expect, test } from 'vitest'
import { askingServer, federation } from '../support/asking-server.ts'
import { newClient, type RoomClient } from '../support/room-client.ts'
import { startServer, type TestServer } from '../support/server.ts'

const message = 'a message that nobody else reads'
const wrong = 'a password that is wrong'
let server: TestServer
let alice: RoomClient
beforeAll(async () => {
  server = await startServer()
  alice = await newClient(server, 'alice')
})
afterAll(() => server.stop())

test('neither logs nor errors carry a secret', async () => {
  const secrets = [alice.token, message, wrong, 'password of alice', 'a refresh token of mine']
  const errors: string[] = []
  const api = '/_matrix/client/v3'
  const fails = async (method: string, path: string, init: RequestInit = {}) => {
    const response = await server.fetch(path, { method, ...init })
    expect(response.status, path).toBeGreaterThanOrEqual(400)
    errors.push(await response.text())
  }
  const authorized = { Authorization: `Bearer ${alice.token}` }
  const identifier = { type: 'm.id.user', user: 'alice' }
  const loginBody = { type: 'm.login.password', identifier, password: wrong }

  await fails('POST', `${api}/login`, { body: JSON.stringify(loginBody) })
  await fails('POST', `${api}/login`, { body: `{"password": "${wrong}", ` })
  await fails('POST', `${api}/login`, { body: JSON.stringify({ ...loginBody, password: [wrong] }) })
  await fails('POST', `${api}/refresh`, { body: JSON.stringify({ refresh_token: secrets[4] ?? '' }) })
  await fails('GET', `${api}/account/whoami`, { headers: { Authorization: `Bearer ${alice.token}x` } })
  await fails('GET', `${api}/account/whoami?access_token=${alice.token}x`)
  const roomId = await alice.createRoom({ room_version: '10', preset: 'public_chat' })
  const room = `${api}/rooms/${encodeURIComponent(roomId)}`
  const send = `${room}/send/m.room.message/1`
  await fails('PUT', send, { headers: authorized, body: `{"body": "${message}"` })
  await fails('PUT', send, { headers: authorized, body: JSON.stringify({ body: message, n: 1.5 }) })
  await fails('PUT', send, { headers: authorized, body: JSON.stringify([message]) })
  await fails('PUT', send, {
    headers: authorized,
    body: JSON.stringify({ body: message, long: 'x'.repeat(66_000) }),
  })
  await fails('PUT', `${room}/state/m.room.create`, {
    headers: authorized,
    body: JSON.stringify({ body: message }),
  })

  const remote = await askingServer(server, 'remote.test')
  await remote.join(roomId, remote.user('bob'))
  const pdu = {
    room_id: roomId,
    sender: remote.user('bob'),
    type: 'm.room.message',
    content: { body: message },
  }
  const { body } = await remote.ask('PUT', `${federation}/v1/send/1`, {
    origin: remote.serverName,
    origin_server_ts: 1,
    pdus: [
      pdu,
      { ...pdu, prev_events: [], auth_events: [], depth: 1, origin_server_ts: 1, hashes: {}, signatures: {} },
    ],
    edus: [{ edu_type: 'm.typing', content: { message } }],
  })
  errors.push(JSON.stringify(body))

  const sent = await alice.send(roomId, { msgtype: 'm.text', body: message })
  const stored = await server.mf.getD1Database('DB')
  expect(sent).toBeTruthy()
  // What is stored of a token is not the token.
  const { results } = await stored.prepare('SELECT * FROM sessions').all()
  expect(results.length).toBeGreaterThan(0)
  expect(JSON.stringify(results)).not.toContain(alice.token)

  expect(server.logs.length).toBeGreaterThan(1)
  expect(errors.slice(0, -1).every((text) => text.includes('"errcode"'))).toBe(true)
  const told = [...errors, ...server.logs]
  expect(told.filter((text) => secrets.some((secret) => text.includes(secret)))).toEqual([])
})
