// MSC3720: whether users of other servers exist, as their servers say.

import { afterAll, beforeAll, expect, test } from 'vitest'
import type { JsonObject } from '../../src/matrix/json.ts'
import { makeAuthority } from '../support/certificates.ts'
import { type FakeHomeserver, startFakeHomeserver } from '../support/fake-homeserver.ts'
import { type FederatedServer, startFederatedServer } from '../support/federated-server.ts'
import { newClient, type RoomClient } from '../support/room-client.ts'

const path = '/unstable/org.matrix.msc3720/account_status'

const authority = makeAuthority()
let server: FederatedServer
let remote: FakeHomeserver
let alice: RoomClient
beforeAll(async () => {
  ;[server, remote] = await Promise.all([
    startFederatedServer(authority, 'local.test'),
    startFakeHomeserver(authority, 'remote.test'),
  ])
  alice = await newClient(server, 'alice')
})
afterAll(async () => {
  await server.stop()
  await remote.stop()
})

async function asked(userIds: string[]): Promise<JsonObject> {
  const { status, body } = await server.request('POST', `/_matrix/client${path}`, {
    token: alice.token,
    body: { user_ids: userIds },
  })
  expect(status).toBe(200)
  return body
}

test('MSC3720: each server is asked once, for its own users', async () => {
  const [bob, carol, dave] = ['bob', 'carol', 'dave'].map((name) => `@${name}:${remote.serverName}`)
  let question = ''
  remote.route(`/_matrix/federation${path}`, (_, response, body) => {
    question = body
    const statuses = {
      [`${bob}`]: { exists: true },
      [`${carol}`]: { exists: true, deactivated: true },
      [`${dave}`]: { exists: false },
    }
    response.end(JSON.stringify({ account_statuses: statuses, failures: [] }))
  })
  expect(await asked([`${bob}`, `${carol}`, `${dave}`, alice.userId, `${bob}`])).toEqual({
    account_statuses: {
      [alice.userId]: { exists: true, deactivated: false },
      [`${bob}`]: { exists: true, deactivated: false },
      [`${carol}`]: { exists: true, deactivated: true },
      [`${dave}`]: { exists: false },
    },
    failures: [],
  })
  expect(JSON.parse(question)).toEqual({ user_ids: [bob, carol, dave] })
  expect(remote.requests.filter((request) => request.includes('account_status'))).toHaveLength(1)
})

test('MSC3720: what a server says of users of others is nothing, and whom it leaves out is a failure', async () => {
  const bob = `@bob:${remote.serverName}`
  const foreign = '@mallory:elsewhere.test:1'
  remote.route(`/_matrix/federation${path}`, (_, response) => {
    const statuses = {
      [alice.userId]: { exists: false },
      [foreign]: { exists: true, deactivated: false },
      [`@other:${remote.serverName}`]: { exists: true },
    }
    response.end(JSON.stringify({ account_statuses: statuses, failures: [] }))
  })
  expect(await asked([alice.userId, bob, foreign])).toEqual({
    account_statuses: { [alice.userId]: { exists: true, deactivated: false } },
    failures: [bob, foreign],
  })
})

test.each([
  ['refuses', 403, { errcode: 'M_FORBIDDEN', error: 'no' }],
  ['answers with something else', 200, { account_statuses: ['@bob'] }],
  ['says what is no status', 200, { account_statuses: { bob: { exists: 'yes' } } }],
])('MSC3720: users of a server that %s are failures', async (_, status, body) => {
  const bob = `@bob:${remote.serverName}`
  remote.route(`/_matrix/federation${path}`, (_request, response) => {
    response.writeHead(status, { 'Content-Type': 'application/json' })
    response.end(JSON.stringify(body).replace('"bob"', JSON.stringify(bob)))
  })
  expect(await asked([bob])).toEqual({ account_statuses: {}, failures: [bob] })
})
