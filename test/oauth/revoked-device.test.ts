// What is left of a session that is revoked: nothing. Specification: client-server API, "Token revocation", "Relationship between access
// tokens and devices".

import { afterAll, beforeAll, expect, it } from 'vitest'
import { oneTimeKeys, testDevice } from '../support/device-keys.ts'
import {
  agree,
  logIn,
  newOauthClient,
  oauthPath,
  type OauthClient,
  signedIn,
  startOauthServer,
} from '../support/oauth-client.ts'
import { refusal, roomClient } from '../support/room-client.ts'
import type { Account, TestServer } from '../support/server.ts'
import { textOf } from '../support/text-of.ts'

let server: TestServer
let client: OauthClient
let account: Account
beforeAll(async () => {
  // As on one's own machine: what memory holds has to be forgotten as well.
  server = await startOauthServer({ SESSION_CACHE: 'on' })
  account = await server.register('alice')
  client = await newOauthClient(server)
})
afterAll(() => server.stop())

async function deviceClient(deviceId: string) {
  const tokens = await logIn(client, await signedIn(server, 'alice'), deviceId)
  const device = { userId: account.userId, token: tokens.access_token, deviceId }
  return { tokens, ...roomClient(server, device) }
}

it('MSC4254: a revoked device is gone with its keys and messages, others are told, and whoever waits is cut off', async () => {
  const old = roomClient(server, account)
  const bob = roomClient(server, await server.register('bob'))
  const roomId = await old.createRoom({ preset: 'public_chat' })
  await bob.join(roomId)
  const alice = await deviceClient('ENCRYPTED')
  const device = testDevice(alice)
  await alice.done('POST', '/keys/upload', {
    device_keys: device.deviceKeys,
    one_time_keys: oneTimeKeys(device, ['AAAAAA']),
  })
  await bob.done('PUT', '/sendToDevice/m.test/t1', {
    messages: { [account.userId]: { ENCRYPTED: { secret: 'for the old one' } } },
  })
  const since = textOf(await bob.done('GET', '/sync'), 'next_batch')
  const own = textOf(await alice.done('GET', '/sync'), 'next_batch')
  const waiting = alice.call('GET', `/sync?since=${own}&timeout=30000`)

  expect((await client.revoke(alice.tokens.refresh_token)).status).toBe(200)

  expect(await alice.call('GET', '/account/whoami')).toEqual(refusal(401, 'M_UNKNOWN_TOKEN'))
  expect(await waiting).toEqual(refusal(401, 'M_UNKNOWN_TOKEN'))
  const news = await bob.done('GET', `/sync?since=${since}`)
  expect(news['device_lists']).toEqual({ changed: [account.userId], left: [] })
  const queried = await bob.done('POST', '/keys/query', { device_keys: { [account.userId]: [] } })
  expect(JSON.stringify(queried)).not.toContain('ENCRYPTED')
  const claim = { one_time_keys: { [account.userId]: { ENCRYPTED: 'signed_curve25519' } } }
  expect(JSON.stringify(await bob.done('POST', '/keys/claim', claim))).not.toContain('AAAAAA')

  // Another device of that name is another device.
  const again = await deviceClient('ENCRYPTED')
  const first = await again.done('GET', '/sync')
  expect(JSON.stringify(first['to_device'] ?? {})).not.toContain('for the old one')
  expect(first['device_one_time_keys_count']).toEqual({ signed_curve25519: 0 })
})

it('MSC2967: a device that is taken over keeps its keys and messages', async () => {
  const before = await deviceClient('REHYDRATED')
  const device = testDevice(before)
  await before.done('POST', '/keys/upload', {
    device_keys: device.deviceKeys,
    one_time_keys: oneTimeKeys(device, ['AAAAAA']),
  })
  await roomClient(server, account).done('PUT', '/sendToDevice/m.test/t2', {
    messages: { [account.userId]: { REHYDRATED: { secret: 'kept' } } },
  })
  const after = await deviceClient('REHYDRATED')
  expect(await before.call('GET', '/account/whoami')).toEqual(refusal(401, 'M_UNKNOWN_TOKEN'))
  const sync = await after.done('GET', '/sync')
  expect(JSON.stringify(sync['to_device'])).toContain('kept')
  expect(sync['device_one_time_keys_count']).toEqual({ signed_curve25519: 1 })
  expect(
    JSON.stringify(await after.done('POST', '/keys/query', { device_keys: { [account.userId]: [] } })),
  ).toContain('REHYDRATED')
})

it('nobody who waits goes on where a token was stolen', async () => {
  const alice = await deviceClient('WATCHED')
  const own = textOf(await alice.done('GET', '/sync'), 'next_batch')
  const { body } = await client.refresh(alice.tokens.refresh_token)
  await server.request('GET', '/_matrix/client/v3/account/whoami', { token: textOf(body, 'access_token') })
  const waiting = alice.call('GET', `/sync?since=${own}&timeout=30000`)
  await client.refresh(alice.tokens.refresh_token)
  expect(await waiting).toEqual(refusal(401, 'M_UNKNOWN_TOKEN'))
})

it('clients that log in by password end sessions, and whatever was agreed to, as any other', async () => {
  const carol = roomClient(server, await server.register('carol'))
  const session = async (deviceId: string) => await logIn(client, await signedIn(server, 'carol'), deviceId)
  const auth = {
    type: 'm.login.password',
    identifier: { type: 'm.id.user', user: 'carol' },
    password: 'password of carol',
  }
  const one = await session('ONE')
  const two = await session('TWO')
  await carol.done('DELETE', '/devices/ONE', { auth })
  expect((await client.refresh(one.refresh_token)).body['error']).toBe('invalid_grant')
  expect((await client.refresh(two.refresh_token)).status).toBe(200)
  const visitor = await signedIn(server, 'carol')
  const request = client.request('PENDING')
  const code = (await agree(visitor, request.path)).get('code') ?? ''
  await carol.done('POST', '/account/password', { new_password: 'another password', auth })
  expect((await client.refresh(two.refresh_token)).body['error']).toBe('invalid_grant')
  expect((await client.exchange(code, request)).body['error']).toBe('invalid_grant')
  expect((await visitor.open(`${oauthPath}/account`)).text).toContain('Sign in')
})
