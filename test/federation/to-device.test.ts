// Messages to devices of users of another server: in order, once, also while that server is away.

import { afterAll, beforeAll, expect, test } from 'vitest'
import type { JsonObject, JsonValue } from '../../src/matrix/json.ts'
import { askingServer, federation } from '../support/asking-server.ts'
import { makeAuthority } from '../support/certificates.ts'
import { type FederatedServer, startFederatedServer } from '../support/federated-server.ts'
import { newClient, type RoomClient } from '../support/room-client.ts'
import { startServer } from '../support/server.ts'
import { textOf } from '../support/text-of.ts'

const authority = makeAuthority()
let one: FederatedServer
let two: FederatedServer
beforeAll(async () => {
  ;[one, two] = await Promise.all([
    startFederatedServer(authority, 'one.test'),
    startFederatedServer(authority, 'two.test', { vars: { HUB_SHARDS: '2' } }),
  ])
})
afterAll(() => Promise.all([one.stop(), two.stop()]))

/** Syncs on until so many messages came. */
async function messages(of: RoomClient, from: string, count: number) {
  const events: JsonObject[] = []
  let since = from
  for (let tries = 0; events.length < count && tries < 40; tries += 1) {
    const answer = await of.done('GET', `/sync?since=${since}&timeout=500`)
    events.push(...((answer['to_device'] as { events: JsonObject[] } | undefined)?.events ?? []))
    since = textOf(answer, 'next_batch')
  }
  return { events, since }
}

const send = (from: RoomClient, txnId: string, to: Record<string, Record<string, JsonObject>>) =>
  from.done('PUT', `/sendToDevice/m.test/${txnId}`, { messages: to })

test('they arrive, at one device or all, whatever shard the user is of', async () => {
  const alice = await newClient(one, 'alice')
  for (const name of ['bob', 'carol', 'dave']) {
    const user = await newClient(two, name)
    const since = textOf(await user.done('GET', '/sync'), 'next_batch')
    await send(alice, `${name}-1`, { [user.userId]: { [user.deviceId]: { n: 1 }, OTHER: { n: 'other' } } })
    await send(alice, `${name}-2`, { [user.userId]: { '*': { n: 2 } } })
    await send(alice, `${name}-2`, { [user.userId]: { '*': { n: 2 } } })
    const { events } = await messages(user, since, 2)
    expect(events).toEqual([1, 2].map((n) => ({ sender: alice.userId, type: 'm.test', content: { n } })))
  }
})

test('they come in order, each once, a hundred and more', async () => {
  const erin = await newClient(one, 'erin')
  const frank = await newClient(two, 'frank')
  const since = textOf(await frank.done('GET', '/sync'), 'next_batch')
  for (let n = 0; n < 120; n += 1) await send(erin, `t${n}`, { [frank.userId]: { '*': { n } } })
  const { events } = await messages(frank, since, 120)
  expect(events.map(({ content }) => (content as JsonObject)['n'])).toEqual(
    Array.from({ length: 120 }, (_, n) => n),
  )
})

test('another server repeats itself, and speaks for its own users alone', async () => {
  const server = await startServer()
  try {
    const remote = await askingServer(server, 'remote.test')
    const alice = await newClient(server, 'alice')
    let since = textOf(await alice.done('GET', '/sync'), 'next_batch')
    let txn = 0
    const edu = async (fields: JsonObject) => {
      const content = {
        sender: '@bob:remote.test',
        type: 'm.test',
        message_id: 'm1',
        messages: { [alice.userId]: { '*': { told: 1 } } },
        ...fields,
      }
      txn += 1
      const body = {
        origin: remote.serverName,
        origin_server_ts: 1,
        pdus: [],
        edus: [{ edu_type: 'm.direct_to_device', content }],
      }
      expect((await remote.ask('PUT', `${federation}/v1/send/t${txn}`, body)).status).toBe(200)
    }
    const came = async (): Promise<JsonValue[]> => {
      const answer = await alice.done('GET', `/sync?since=${since}`)
      since = textOf(answer, 'next_batch')
      const events = (answer['to_device'] as { events: JsonObject[] } | undefined)?.events ?? []
      return events.map(({ content }) => content ?? null)
    }
    await edu({})
    expect(await came()).toEqual([{ told: 1 }])
    await edu({})
    expect(await came()).toEqual([])
    await edu({ message_id: 'm2' })
    expect(await came()).toEqual([{ told: 1 }])
    const refused: JsonObject[] = [
      { message_id: 'm3', sender: '@bob:other.test' },
      { message_id: 'm4', sender: alice.userId },
      { message_id: 5 },
      { message_id: 'm6', type: 1 },
      { message_id: 'm7', messages: { [alice.userId]: { '*': 'text' } } },
      { message_id: 'm8', messages: { [alice.userId]: 'text', '@nobody:test.local': { '*': {} }, x: {} } },
      { message_id: 'm9', messages: [] },
      { message_id: 'x'.repeat(300) },
    ]
    for (const fields of refused) await edu(fields)
    expect(await came()).toEqual([])
  } finally {
    await server.stop()
  }
})
