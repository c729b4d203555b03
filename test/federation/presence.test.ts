// Presence between two servers, and between two shards of one.

import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { JsonObject } from '../../src/matrix/json.ts'
import { askingServer, federation } from '../support/asking-server.ts'
import { makeAuthority } from '../support/certificates.ts'
import { type FederatedServer, startFederatedServer } from '../support/federated-server.ts'
import { newClient, refusal, roomClient, type RoomClient } from '../support/room-client.ts'
import { startServer } from '../support/server.ts'
import { textOf } from '../support/text-of.ts'

const authority = makeAuthority()
let one: FederatedServer
let two: FederatedServer
beforeAll(async () => {
  const vars = { PRESENCE: 'on', HUB_SHARDS: '2' }
  ;[one, two] = await Promise.all([
    startFederatedServer(authority, 'one.test', { vars }),
    startFederatedServer(authority, 'two.test', { vars }),
  ])
})
afterAll(() => Promise.all([one.stop(), two.stop()]))

const setPresence = (of: RoomClient, body: JsonObject) =>
  of.done('PUT', `/presence/${encodeURIComponent(of.userId)}/status`, body)

/** Syncs on, without being there, until presence of somebody comes that is as wanted. */
async function comes(to: RoomClient, of: RoomClient, from: string, wanted: JsonObject): Promise<string> {
  let since = from
  for (let tries = 0; tries < 40; tries += 1) {
    const answer = await to.done('GET', `/sync?since=${since}&timeout=500&set_presence=offline`)
    since = textOf(answer, 'next_batch')
    const events = (answer['presence'] as { events: JsonObject[] } | undefined)?.events ?? []
    const found = events.findLast(({ sender }) => sender === of.userId)
    try {
      expect(found).toMatchObject({ type: 'm.presence', content: wanted })
      return since
    } catch {
      // Another one is on its way.
    }
  }
  throw new Error(`no presence ${JSON.stringify(wanted)} of ${of.userId}`)
}

test('changes reach who shares a room, wherever they are, and nobody else', async () => {
  const alice = await newClient(one, 'alice')
  const roomId = await alice.createRoom({ preset: 'public_chat' })
  const others: RoomClient[] = []
  for (const [server, names] of [[one, ['bob', 'carol']] as const, [two, ['dave', 'erin']] as const]) {
    for (const name of names) {
      const user = await newClient(server, name)
      await user.done('POST', `/join/${encodeURIComponent(roomId)}?via=${one.serverName}`, {})
      others.push(user)
    }
  }
  const stranger = await newClient(two, 'stranger')
  const tokens = await Promise.all(
    [...others, stranger].map(async (user) =>
      textOf(await user.done('GET', '/sync?set_presence=offline'), 'next_batch'),
    ),
  )
  await setPresence(alice, { presence: 'online', status_msg: 'here' })
  await Promise.all(
    others.map(async (user, n) => {
      const since = await comes(user, alice, tokens[n] ?? '', {
        presence: 'online',
        status_msg: 'here',
        currently_active: true,
      })
      const status = await user.call('GET', `/presence/${encodeURIComponent(alice.userId)}/status`)
      expect(status.body).toMatchObject({ presence: 'online', status_msg: 'here' })
      tokens[n] = since
    }),
  )
  await setPresence(alice, { presence: 'unavailable' })
  await Promise.all(others.map((user, n) => comes(user, alice, tokens[n] ?? '', { presence: 'unavailable' })))
  expect(
    await stranger.done('GET', `/sync?since=${tokens.at(-1) ?? ''}&set_presence=offline`),
  ).not.toHaveProperty('presence')
  expect(await stranger.call('GET', `/presence/${encodeURIComponent(alice.userId)}/status`)).toEqual(
    refusal(403, 'M_FORBIDDEN'),
  )
})

test('a server tells of its own users alone, and of those who share a room', async () => {
  const server = await startServer({ vars: { PRESENCE: 'on' } })
  try {
    const remote = await askingServer(server, 'remote.test')
    const alice = await newClient(server, 'alice')
    const roomId = await alice.createRoom({ preset: 'public_chat' })
    await remote.join(roomId, remote.user('bob'))
    let since = textOf(await alice.done('GET', '/sync?set_presence=offline'), 'next_batch')
    let txn = 0
    const tell = async (push: JsonObject[]) => {
      txn += 1
      const edus = [{ edu_type: 'm.presence', content: { push } }]
      const body = { origin: remote.serverName, origin_server_ts: 1, pdus: [], edus }
      expect((await remote.ask('PUT', `${federation}/v1/send/t${txn}`, body)).status).toBe(200)
      const answer = await alice.done('GET', `/sync?since=${since}&set_presence=offline`)
      since = textOf(answer, 'next_batch')
      return (answer['presence'] as { events: JsonObject[] } | undefined)?.events ?? []
    }
    const of = (userId: string, more: JsonObject = {}) => ({
      user_id: userId,
      presence: 'online',
      last_active_ago: 5,
      ...more,
    })
    expect(await tell([of('@bob:remote.test', { status_msg: 'x'.repeat(5000) })])).toMatchObject([
      { sender: '@bob:remote.test', content: { presence: 'online', status_msg: 'x'.repeat(1000) } },
    ])
    const ignored = [
      of('@bob:other.test'),
      of(alice.userId),
      of('@stranger:remote.test'),
      of('bob'),
      of('@bob:remote.test', { presence: 'busy' }),
      of('@bob:remote.test', { presence: 1 }),
    ]
    expect(await tell(ignored)).toEqual([])
    expect(await tell([of('@bob:remote.test', { presence: 'offline' })])).toMatchObject([
      { content: { presence: 'offline' } },
    ])
  } finally {
    await server.stop()
  }
})

test('of users of other servers is known after a restart, and costs a row a call', async () => {
  const dataDir = await mkdtemp(join(tmpdir(), 'hearth-presence-'))
  const vars = { PRESENCE: 'on' }
  let server = await startServer({ dataDir, vars })
  try {
    const remote = await askingServer(server, 'remote.test')
    const alice = await newClient(server, 'alice')
    const roomId = await alice.createRoom({ preset: 'public_chat' })
    const users = ['bob', 'carol'].map((name) => remote.user(name))
    for (const user of users) await remote.join(roomId, user)
    const counts = await server.measure(async () => {
      const push = users.map((user_id) => ({
        user_id,
        presence: 'online',
        last_active_ago: 5,
        status_msg: 'here',
      }))
      const edus = [{ edu_type: 'm.presence', content: { push } }]
      const body = { origin: remote.serverName, origin_server_ts: 1, pdus: [], edus }
      expect((await remote.ask('PUT', `${federation}/v1/send/told`, body)).status).toBe(200)
    })
    expect([counts.doRowsWritten, counts.doRequests]).toEqual([1, 1])
    const since = textOf(await alice.done('GET', '/sync?set_presence=offline'), 'next_batch')
    await server.kill()
    server = await startServer({ dataDir, vars })
    const again = roomClient(server, alice)
    for (const user of users) {
      const status = await again.done('GET', `/presence/${encodeURIComponent(user)}/status`)
      expect(status).toMatchObject({ presence: 'online', status_msg: 'here' })
    }
    const first = JSON.stringify(await again.done('GET', '/sync?set_presence=offline'))
    for (const user of users) expect(first).toContain(`"sender":"${user}"`)
    // They are no news to who knew them.
    const next = await again.done('GET', `/sync?since=${since}&set_presence=offline`)
    expect(next).not.toHaveProperty('presence')
  } finally {
    await server.stop()
    await rm(dataDir, { recursive: true, force: true })
  }
})
