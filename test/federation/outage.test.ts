// Two servers of which one goes away: in the middle of a burst, and for long. Each time both have the same events in the end.

import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { stringProperty } from '../../src/matrix/json.ts'
import { makeAuthority } from '../support/certificates.ts'
import { type FederatedServer, startFederatedServer } from '../support/federated-server.ts'
import { type LossyProxy, noLosses, startLossyProxy } from '../support/lossy-proxy.ts'
import { newClient, roomClient, type RoomClient } from '../support/room-client.ts'
import { pagedEvents, stateIds } from '../support/room-copies.ts'

const authority = makeAuthority()
const vars = { SENDER_BACK_OFF_SECONDS: '2' }

let dataDir: string
let one: FederatedServer
let two: FederatedServer
let proxy: LossyProxy
let alice: RoomClient
let bob: RoomClient
/** The bodies of the transactions that came to the second server. */
const transactions: string[] = []

beforeAll(async () => {
  dataDir = await mkdtemp(join(tmpdir(), 'hearth-outage-'))
  one = await startFederatedServer(authority, 'one.test', { vars })
  two = await startTwo()
  alice = await newClient(one, 'alice')
  bob = await newClient(two, 'bob')
})
afterAll(async () => {
  await Promise.all([one.stop(), two.stop()])
  await proxy.stop()
  await rm(dataDir, { recursive: true, force: true })
})

function startTwo(tlsPort?: number): Promise<FederatedServer> {
  return startFederatedServer(authority, 'two.test', {
    vars,
    dataDir,
    ...(tlsPort === undefined ? {} : { tlsPort }),
    async through(url) {
      proxy = await startLossyProxy(
        url,
        () => 0,
        noLosses,
        (path, body) => {
          if (path.includes('/send/')) transactions.push(body)
        },
      )
      return proxy.url
    },
  })
}

async function crash(): Promise<void> {
  await two.crash()
  await proxy.stop()
}

async function restart(): Promise<void> {
  two = await startTwo(two.tlsPort)
  bob = roomClient(two, bob)
}

/** A room of both. */
async function sharedRoom(): Promise<string> {
  const roomId = await alice.createRoom({ preset: 'public_chat', room_version: '11' })
  await bob.done('POST', `/join/${encodeURIComponent(roomId)}?server_name=${one.serverName}`, {})
  return roomId
}

/** Sends so many messages, some at a time. What is not acknowledged is left out. */
async function burst(user: RoomClient, roomId: string, size: number, acknowledged: string[]): Promise<void> {
  let n = 0
  const work = async () => {
    while (n < size) {
      n += 1
      const content = { msgtype: 'm.text', body: `${n} of ${user.userId}` }
      const path = `send/m.room.message/${user.userId.slice(1, 3)}${n}-${Math.random()}`
      const answer = await user.inRoom('PUT', roomId, path, content).catch(() => undefined)
      const eventId = stringProperty(answer?.body ?? {}, 'event_id')
      if (eventId !== undefined) acknowledged.push(eventId)
    }
  }
  await Promise.all(Array.from({ length: 5 }, work))
}

/** Waits until both have the same, all of `expected` among it. */
async function expectSame(roomId: string, expected: readonly string[]): Promise<void> {
  const until = performance.now() + 60_000
  for (;;) {
    const [ofAlice, ofBob] = [await pagedEvents(alice, roomId), await pagedEvents(bob, roomId)]
    const done = ofAlice.join() === ofBob.join() && expected.every((id) => ofBob.includes(id))
    if (done) break
    if (performance.now() > until) {
      expect(ofBob).toEqual(ofAlice)
      expect(ofBob).toEqual(expect.arrayContaining([...expected]))
    }
    await sleep(500)
  }
  expect(await stateIds(bob, roomId)).toEqual(await stateIds(alice, roomId))
}

it('one that is killed in the middle of a burst both ways catches up after its restart', async () => {
  const roomId = await sharedRoom()
  const acknowledged: string[] = []
  const bursts = Promise.all([burst(alice, roomId, 150, acknowledged), burst(bob, roomId, 150, acknowledged)])
  while (acknowledged.length < 100) await sleep(1)
  await crash()
  await bursts
  expect(acknowledged.length).toBeLessThan(300)
  await restart()
  // Nobody says anything more: what was not told before the end is told all the same.
  await expectSame(roomId, acknowledged)
}, 120_000)

it('one that was away for long is told the newest event first, and finds the others', async () => {
  const roomId = await sharedRoom()
  const before = await alice.send(roomId, { msgtype: 'm.text', body: 'before' })
  await expectSame(roomId, [before])
  await crash()
  const acknowledged: string[] = []
  // More than the sender keeps for a server that cannot be reached.
  await alice.send(roomId, { msgtype: 'm.text', body: 'notices' })
  await sleep(10_000)
  await burst(alice, roomId, 600, acknowledged)
  const newest = await alice.send(roomId, { msgtype: 'm.text', body: 'newest' })
  transactions.length = 0
  await restart()
  await expectSame(roomId, [...acknowledged, newest])
  // First what was under way, exactly as it was, then the newest instead of all.
  const events = transactions.map(
    (body) => (JSON.parse(body) as { pdus: { content: { body?: string } }[] }).pdus,
  )
  expect(events.slice(0, 2).map((pdus) => pdus.map(({ content }) => content.body))).toEqual([
    ['notices'],
    ['newest'],
  ])
}, 120_000)
