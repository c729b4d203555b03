// Three servers over a network that drops, delays and duplicates a fifth of all requests each: in the end all of them have
// the same events and the same state. HEARTH_SEED repeats a run.

import { afterAll, beforeAll, expect, it, vi } from 'vitest'
import { setTimeout as sleep } from 'node:timers/promises'
import { makeAuthority } from '../support/certificates.ts'
import { type FederatedServer, startFederatedServer } from '../support/federated-server.ts'
import {
  type Losses,
  type LossyProxy,
  noLosses,
  seededRandom,
  startLossyProxy,
} from '../support/lossy-proxy.ts'
import { newClient, type RoomClient } from '../support/room-client.ts'
import { pagedEvents, stateIds } from '../support/room-copies.ts'

const eventsInAll = 2000
const lossy = { dropped: 0.2, delayed: 0.2, duplicated: 0.2 }
const names = ['one', 'two', 'three'] as const
const versions = ['10', '11', '12'] as const
const seed = Number(process.env['HEARTH_SEED'] ?? 1)

const authority = makeAuthority()
const proxies: LossyProxy[] = []
let servers: FederatedServer[]
let users: RoomClient[]

beforeAll(async () => {
  const start = (name: string, i: number) =>
    startFederatedServer(authority, `${name}.test`, {
      vars: { SENDER_BACK_OFF_SECONDS: '2' },
      async through(url) {
        const proxy = await startLossyProxy(url, seededRandom(seed * 10 + i), { ...noLosses })
        proxies.push(proxy)
        return proxy.url
      },
    })
  servers = await Promise.all(names.map(start))
  users = await Promise.all(servers.map((server, i) => newClient(server, `user${i}`)))
})
afterAll(async () => {
  await Promise.all(servers.map((server) => server.stop()))
  await Promise.all(proxies.map((proxy) => proxy.stop()))
})

const setLosses = (losses: Losses) => {
  for (const proxy of proxies) Object.assign(proxy.losses, losses)
}

/** A room of all servers, in which everybody may do everything. */
async function makeRoom(creator: RoomClient, version: string): Promise<string> {
  const others = users.filter((user) => user !== creator)
  const powers = Object.fromEntries(
    // Creators have all power since version 12, and must not be listed.
    (version === '12' ? others : users).map(({ userId }) => [userId, 100]),
  )
  const roomId = await creator.createRoom({
    preset: 'public_chat',
    room_version: version,
    power_level_content_override: { users: powers },
  })
  const serverName = creator.userId.replace(/^[^:]+:/, '')
  for (const user of others) {
    const path = `/join/${encodeURIComponent(roomId)}?server_name=${serverName}`
    await user.done('POST', path, {})
  }
  return roomId
}

async function act(user: RoomClient, roomId: string, n: number, random: () => number): Promise<void> {
  const choice = random()
  const set = async (type: string, content: Record<string, string>, key = '') =>
    expect((await user.setState(roomId, type, content, key)).status).toBe(200)
  if (choice < 0.9) await user.send(roomId, { msgtype: 'm.text', body: `${n}` })
  else if (choice < 0.94) await set('m.room.topic', { topic: `${n} of ${user.userId}` })
  else if (choice < 0.97) await set('org.example.state', { n: `${n}` }, `${Math.floor(random() * 5)}`)
  else await set('m.room.member', { membership: 'join', displayname: `name ${n}` }, user.userId)
}

async function expectSameStates(roomId: string): Promise<void> {
  await vi.waitFor(async () => expect(isSame(await statesOf(roomId))).toBe(true), {
    timeout: 20_000,
    interval: 500,
  })
}

const isSame = (copies: readonly string[][]) => new Set(copies.map((copy) => copy.join('\n'))).size === 1
const statesOf = (roomId: string) => Promise.all(users.map((user) => stateIds(user, roomId)))

async function expectSame(roomIds: readonly string[], timeoutMs: number): Promise<void> {
  const until = performance.now() + timeoutMs
  for (const roomId of roomIds) {
    for (;;) {
      const events = await Promise.all(users.map((user) => pagedEvents(user, roomId)))
      const states = await statesOf(roomId)
      if (isSame(events) && isSame(states)) break
      if (performance.now() > until) {
        expect(events[1]).toEqual(events[0])
        expect(events[2]).toEqual(events[0])
        expect(states[1]).toEqual(states[0])
        expect(states[2]).toEqual(states[0])
      }
      await sleep(1000)
    }
  }
}

it('all servers agree in the end', async () => {
  const roomIds = await Promise.all(users.map((user, i) => makeRoom(user, versions[i] ?? '10')))
  // The joins must have reached everybody.
  for (const roomId of roomIds) await expectSameStates(roomId)
  setLosses(lossy)
  let n = 0
  await Promise.all(
    users.map(async (user, i) => {
      const random = seededRandom(seed * 100 + i)
      while (n < eventsInAll) {
        n += 1
        await act(user, roomIds[Math.floor(random() * roomIds.length)] ?? '', n, random)
        await sleep(random() * 30)
      }
    }),
  )
  setLosses(noLosses)
  // What was refused because its fetching failed is found by what builds upon it.
  for (const user of users)
    for (const roomId of roomIds) await user.send(roomId, { msgtype: 'm.text', body: 'last' })
  await expectSame(roomIds, 90_000)
  const sum = (what: keyof LossyProxy['counts']) =>
    proxies.reduce((total, { counts }) => total + counts[what], 0)
  // The network was as bad as it should be.
  expect(sum('dropped')).toBeGreaterThan(100)
  expect(sum('duplicated')).toBeGreaterThan(100)
}, 600_000)
