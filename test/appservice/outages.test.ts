// Application services that are away, answers that are lost, a server that is killed: every event arrives, once for who knows
// transactions by their id, and in order. Specification: application service API, "Pushing events".

import { readFileSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { pidFile } from '../../scripts/runtime.ts'
import type { JsonObject } from '../../src/matrix/json.ts'
import { startAppservice, type TestAppservice } from '../support/appservice.ts'
import { newClient, roomClient, type RoomClient } from '../support/room-client.ts'
import { startServer, type TestServer } from '../support/server.ts'

const namespaces = { users: [{ exclusive: false, regex: '@bridge_.*' }] }

let dataDir: string
let bridge: TestAppservice
let server: TestServer
let ann: RoomClient
let roomId: string

beforeEach(async () => {
  dataDir = await mkdtemp(join(tmpdir(), 'hearth-appservice-'))
  bridge = await startAppservice('bridge')
  server = await startServer({ dataDir, vars: bridge.vars({ namespaces }) })
  ann = await newClient(server, 'bridge_ann')
  roomId = await ann.createRoom()
  await said(await ann.send(roomId, { body: 'first' }))
})
afterEach(async () => {
  await server.stop()
  await bridge.stop()
  await rm(dataDir, { recursive: true, force: true })
})

const said = (eventId: string) =>
  bridge.until(() => bridge.events().find((event) => event['event_id'] === eventId))
const messages = () =>
  bridge
    .events()
    .filter((event) => event['type'] === 'm.room.message')
    .map((event) => event['event_id'])
/** How many contents came under each transaction id. */
const contents = () => {
  const byId = Map.groupBy(bridge.transactions(), ({ txnId }) => txnId)
  return new Set([...byId.values()].map((tries) => new Set(tries.map(({ text }) => text)).size))
}

async function restart(registration: JsonObject = { namespaces }): Promise<void> {
  server = await startServer({ dataDir, vars: bridge.vars(registration) })
  ann = roomClient(server, ann)
}

async function killed(): Promise<void> {
  process.kill(Number(readFileSync(pidFile(dataDir), 'utf8')), 'SIGKILL')
  await server.kill()
}

it('an answer that is lost: the same transaction comes again, with the same content', async () => {
  let lost = 0
  bridge.reply = ({ path }) => {
    if (!path.includes('/transactions/') || lost >= 2) return undefined
    lost += 1
    return 'drop'
  }
  const sent = [await ann.send(roomId, { body: 'one' }), await ann.send(roomId, { body: 'two' })]
  await said(sent[1] ?? '')
  const first = bridge.transactions().find(({ status }) => status === 0)
  const tries = bridge.transactions().filter(({ txnId }) => txnId === first?.txnId)
  expect(tries.length).toBeGreaterThanOrEqual(2)
  expect(contents()).toEqual(new Set([1]))
  expect(messages().slice(1)).toEqual(sent)
})

it('an application service that is away: all comes in order when it is back, and the log tells', async () => {
  await bridge.stop()
  const sent: string[] = []
  for (let i = 0; i < 5; i += 1) sent.push(await ann.send(roomId, { body: `${i}` }))
  await expect.poll(() => server.logs.some((line) => line.includes('appservice_failed'))).toBe(true)
  await bridge.start()
  await said(sent.at(-1) ?? '')
  expect(messages().slice(1)).toEqual(sent)
  expect(contents()).toEqual(new Set([1]))
  await expect.poll(() => server.logs.some((line) => line.includes('appservice_back'))).toBe(true)
  const text = server.logs.join('\n')
  for (const secret of [bridge.asToken, bridge.hsToken, roomId]) expect(text).not.toContain(secret)
})

it('an application service that fails is served as soon as it asks for a ping', async () => {
  bridge.reply = ({ path }) => (path.includes('/transactions/') ? { status: 500 } : undefined)
  const sent = await ann.send(roomId, { body: 'late' })
  // By then the pause is about sixteen seconds.
  await bridge.until(() => bridge.transactions().filter(({ status }) => status === 500).length >= 5, 40_000)
  bridge.reply = () => undefined
  const ping = await server.request('POST', '/_matrix/client/v1/appservice/bridge/ping', {
    token: bridge.asToken,
    body: {},
  })
  expect(ping.status).toBe(200)
  await bridge.until(() => bridge.events().find((event) => event['event_id'] === sent), 8_000)
}, 60_000)

it('a server that is killed while the application service thinks: it hears the same again', async () => {
  bridge.reply = ({ path }) => (path.includes('/transactions/') ? 'hang' : undefined)
  const sent = [await ann.send(roomId, { body: 'one' })]
  const flying = await bridge.until(() => bridge.transactions().find(({ status }) => status === 0))
  sent.push(await ann.send(roomId, { body: 'two' }), await ann.send(roomId, { body: 'three' }))
  await killed()
  bridge.reply = () => undefined
  await restart()
  await said(sent[2] ?? '')
  const tries = bridge.transactions().filter(({ txnId }) => txnId === flying.txnId)
  expect(tries.length).toBeGreaterThanOrEqual(2)
  expect(new Set(tries.map(({ text }) => text)).size).toBe(1)
  expect(messages().slice(1)).toEqual(sent)
}, 60_000)

it('a server that is killed again and again while events are sent: none is lost, none comes twice, none out of order', async () => {
  const sent: string[] = []
  for (let round = 0; round < 4; round += 1) {
    const sending = (async () => {
      for (let i = 0; i < 40; i += 1) sent.push(await ann.send(roomId, { body: `${round} ${i}` }))
    })().catch(() => undefined)
    await sleep(30 + 40 * round)
    await killed()
    await sending
    await restart()
  }
  const last = await ann.send(roomId, { body: 'last' })
  await said(last)
  const got = messages().slice(1)
  expect(new Set(got).size).toBe(got.length)
  // Some were taken in without an answer to who sent them.
  expect(got.filter((eventId) => sent.some((one) => one === eventId))).toEqual(sent)
  expect(contents()).toEqual(new Set([1]))
  const { body } = await ann.inRoom('GET', roomId, `messages?dir=b&limit=1000`)
  const chunk = (body['chunk'] as JsonObject[]).toReversed()
  const all = chunk.filter(({ type }) => type === 'm.room.message').map((event) => event['event_id'])
  expect(messages()).toEqual(all)
}, 120_000)

it('one that is registered later hears of what happens from then on', async () => {
  const late = await startAppservice('late')
  try {
    await ann.send(roomId, { body: 'before' })
    await server.stop()
    server = await startServer({
      dataDir,
      vars: { ...bridge.vars({ namespaces }), ...late.vars({ namespaces }) },
    })
    ann = roomClient(server, ann)
    // Also once the alarms have looked after what there may be to tell.
    await sleep(6_000)
    const after = await ann.send(roomId, { body: 'after' })
    await late.until(() => late.events().length > 0)
    expect(late.events().map((event) => event['event_id'])).toEqual([after])
  } finally {
    await late.stop()
  }
}, 60_000)

it.each([
  ['also where nothing else happens meanwhile', false],
  ['nor is it told of what happens meanwhile', true],
])(
  'what waits for one that is registered no more is dropped, %s',
  async (_, meanwhile) => {
    bridge.reply = ({ path }) => (path.includes('/transactions/') ? 'drop' : undefined)
    await ann.send(roomId, { body: 'never' })
    await bridge.until(() => bridge.transactions().some(({ status }) => status === 0))
    await server.stop()
    server = await startServer({ dataDir })
    ann = roomClient(server, ann)
    if (meanwhile) await ann.send(roomId, { body: 'meanwhile' })
    // Its alarm comes.
    await sleep(8_000)
    await server.stop()
    bridge.reply = () => undefined
    bridge.requests.length = 0
    await restart()
    const after = await ann.send(roomId, { body: 'again' })
    await said(after)
    expect(bridge.events().map((event) => event['event_id'])).toEqual([after])
  },
  60_000,
)
