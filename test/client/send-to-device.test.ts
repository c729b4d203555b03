// Messages to devices: in order, once, until they are acknowledged.

import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { JsonObject, JsonValue } from '../../src/matrix/json.ts'
import { newClient, refusal, roomClient, type RoomClient } from '../support/room-client.ts'
import { type Account, startServer, type TestServer } from '../support/server.ts'
import { textOf } from '../support/text-of.ts'

let server: TestServer
let alice: RoomClient
beforeAll(async () => {
  server = await startServer()
  alice = await newClient(server, 'alice')
})
afterAll(() => server.stop())

let transactions = 0

async function send(
  from: RoomClient,
  messages: Record<string, Record<string, JsonObject>>,
  { type = 'm.test', txnId = `t${transactions++}` } = {},
) {
  return await from.call('PUT', `/sendToDevice/${type}/${txnId}`, { messages })
}

async function login(localpart: string, deviceId: string): Promise<Account> {
  const identifier = { type: 'm.id.user', user: localpart }
  const { body } = await server.request('POST', '/_matrix/client/v3/login', {
    body: { type: 'm.login.password', identifier, password: `password of ${localpart}`, device_id: deviceId },
  })
  return { userId: textOf(body, 'user_id'), token: textOf(body, 'access_token'), deviceId }
}

/** Syncs, answering the events to the device and where it is now. */
async function sync(of: RoomClient, since?: string, timeout = 0) {
  const query = since === undefined ? '' : `since=${since}&timeout=${timeout}`
  const body = await of.done('GET', `/sync?${query}`)
  const events = (body['to_device'] as { events: JsonObject[] } | undefined)?.events ?? []
  return {
    events,
    contents: events.map(({ content }) => content as JsonValue),
    next: textOf(body, 'next_batch'),
  }
}

describe('a message', () => {
  test('reaches the device it is for, with its sender and type, and no other', async () => {
    const bob = await newClient(server, 'bob')
    const other = roomClient(server, await login('bob', 'OTHER'))
    await send(alice, { [bob.userId]: { [bob.deviceId]: { hello: 1 } } }, { type: 'm.room_key' })
    expect((await sync(bob)).events).toEqual([
      { sender: alice.userId, type: 'm.room_key', content: { hello: 1 } },
    ])
    expect((await sync(other)).events).toEqual([])
  })

  test('to * reaches all devices of a user', async () => {
    const carol = await newClient(server, 'carol')
    const other = roomClient(server, await login('carol', 'OTHER'))
    await send(alice, { [carol.userId]: { '*': { all: true } } })
    for (const device of [carol, other]) expect((await sync(device)).contents).toEqual([{ all: true }])
  })

  test('comes again until it is acknowledged, then never', async () => {
    const dave = await newClient(server, 'dave')
    const { next: since } = await sync(dave)
    await send(alice, { [dave.userId]: { '*': { n: 1 } } })
    const first = await sync(dave, since)
    expect(first.contents).toEqual([{ n: 1 }])
    expect((await sync(dave, since)).contents).toEqual([{ n: 1 }])
    expect((await sync(dave, first.next)).contents).toEqual([])
    // Also not to those who begin anew.
    expect((await sync(dave, since)).contents).toEqual([])
    expect((await sync(dave)).contents).toEqual([])
  })

  test('wakes a waiting sync', async () => {
    const erin = await newClient(server, 'erin')
    const { next } = await sync(erin)
    const waiting = sync(erin, next, 20_000)
    await new Promise((waited) => setTimeout(waited, 200))
    await send(alice, { [erin.userId]: { '*': { awake: true } } })
    expect((await waiting).contents).toEqual([{ awake: true }])
  })

  test('sent twice under one transaction id comes once; under another, or of another type, again', async () => {
    const frank = await newClient(server, 'frank')
    const message = { [frank.userId]: { '*': { n: 1 } } }
    for (let n = 0; n < 3; n++) expect((await send(alice, message, { txnId: 'same' })).status).toBe(200)
    await Promise.all(Array.from({ length: 5 }, () => send(alice, message, { txnId: 'parallel' })))
    await send(alice, message, { txnId: 'same', type: 'm.other' })
    expect((await sync(frank)).contents).toHaveLength(3)
  })

  test('sent again after it was acknowledged does not come back', async () => {
    const grace = await newClient(server, 'grace')
    const message = { [grace.userId]: { '*': { n: 1 } } }
    await send(alice, message, { txnId: 'late' })
    const { next } = await sync(grace)
    expect((await sync(grace, next)).contents).toEqual([])
    await send(alice, message, { txnId: 'late' })
    expect((await sync(grace, next)).contents).toEqual([])
  })

  test('to nobody, and to devices that are not there, is passed over', async () => {
    const messages: Record<string, Record<string, JsonObject>> = {
      '@nobody:test.local': { '*': {} },
      [alice.userId]: { NONE: {}, ['__proto__']: {}, constructor: {} },
    }
    expect((await send(alice, messages)).status).toBe(200)
    expect((await sync(alice)).events).toEqual([])
  })
})

test('many messages come in order, a hundred at a time, and none is lost between rooms’ news', async () => {
  const heidi = await newClient(server, 'heidi')
  const roomId = await heidi.createRoom()
  const begin = await sync(heidi)
  for (let n = 0; n < 230; n++) await send(alice, { [heidi.userId]: { '*': { n } } })
  await heidi.send(roomId, { body: 'beside them' })
  const batches: JsonValue[][] = []
  let since = begin.next
  for (;;) {
    const { contents, next } = await sync(heidi, since)
    if (contents.length === 0) break
    batches.push(contents)
    since = next
  }
  expect(batches.map((batch) => batch.length)).toEqual([100, 100, 30])
  expect(batches.flat()).toEqual(Array.from({ length: 230 }, (_, n) => ({ n })))
})

test('the first sync of a device brings a hundred, and goes on behind them', async () => {
  const ivan = await newClient(server, 'ivan')
  for (let n = 0; n < 101; n++) await send(alice, { [ivan.userId]: { '*': { n } } })
  const first = await sync(ivan)
  expect(first.contents).toHaveLength(100)
  expect((await sync(ivan, first.next, 20_000)).contents).toEqual([{ n: 100 }])
})

test('a device that takes the id of another inherits no messages', async () => {
  const judy = await newClient(server, 'judy')
  const old = await login('judy', 'REUSED')
  await send(alice, { [judy.userId]: { REUSED: { secret: 1 } } })
  await judy.done('POST', '/delete_devices', {
    devices: ['REUSED'],
    auth: {
      type: 'm.login.password',
      identifier: { type: 'm.id.user', user: 'judy' },
      password: 'password of judy',
    },
  })
  const again = roomClient(server, await login('judy', 'REUSED'))
  expect((await sync(again)).events).toEqual([])
  expect(await roomClient(server, old).call('GET', '/sync')).toEqual(refusal(401, 'M_UNKNOWN_TOKEN'))
})

test('nothing is lost or comes twice when the server is killed between', async () => {
  const dataDir = await mkdtemp(join(tmpdir(), 'hearth-test-'))
  try {
    let running = await startServer({ dataDir })
    const sender = await newClient(running, 'alice')
    const account = await running.register('kate')
    const begin = (await sync(roomClient(running, account))).next
    await send(sender, { [account.userId]: { '*': { n: 0 } } })
    await running.kill()
    running = await startServer({ dataDir })
    const first = await sync(roomClient(running, account), begin)
    expect(first.contents).toEqual([{ n: 0 }])
    expect((await sync(roomClient(running, account), first.next)).contents).toEqual([])
    await running.kill()
    // What was acknowledged was the newest thing of all: positions must still be counted on from it.
    running = await startServer({ dataDir })
    await send(roomClient(running, sender), { [account.userId]: { '*': { n: 1 } } })
    expect((await sync(roomClient(running, account), first.next)).contents).toEqual([{ n: 1 }])
    await running.stop()
  } finally {
    await rm(dataDir, { recursive: true, force: true })
  }
})

describe('is refused', () => {
  const bodies: [string, JsonValue, string][] = [
    ['without messages', {}, 'M_MISSING_PARAM'],
    ['to what is no user', { messages: { bob: { '*': {} } } }, 'M_INVALID_PARAM'],
    ['with a text as its content', { messages: { '@bob:test.local': { '*': 'x' } } }, 'M_BAD_JSON'],
    ['with a list of devices', { messages: { '@bob:test.local': [] } }, 'M_BAD_JSON'],
    ['with a list', [], 'M_BAD_JSON'],
  ]
  test.each(bodies)('%s, whole', async (_, body, errcode) => {
    const answer = await alice.call('PUT', `/sendToDevice/m.test/t${transactions++}`, body)
    expect(answer).toEqual(refusal(400, errcode))
  })
})

test('costs two rows, and one when it is acknowledged', async () => {
  const leo = await newClient(server, 'leo')
  const sent = await server.measure(() => send(alice, { [leo.userId]: { '*': { n: 1 } } }))
  expect(sent).toMatchObject({ doRowsWritten: 2, doRequests: 1 })
  const { next } = await sync(leo)
  await alice.done('PUT', `/user/${encodeURIComponent(alice.userId)}/account_data/x`, {})
  expect(await server.measure(() => sync(leo, next))).toMatchObject({ doRowsWritten: 1, doRequests: 1 })
  expect(await server.measure(() => sync(leo, next))).toMatchObject({ doRowsWritten: 0, doRequests: 1 })
})
