// Receipts, read markers and typing.

import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { JsonObject, JsonValue } from '../../src/matrix/json.ts'
import { newClient, refusal, type RoomClient } from '../support/room-client.ts'
import { startServer, type TestServer } from '../support/server.ts'

let server: TestServer
let alice: RoomClient
let bob: RoomClient
let roomId: string
let root: string
let reply: string
beforeAll(async () => {
  server = await startServer()
  alice = await newClient(server, 'alice')
  bob = await newClient(server, 'bob')
  roomId = await alice.createRoom({ preset: 'public_chat' })
  root = await alice.send(roomId, { body: 'root' })
  const inThread = { 'm.relates_to': { rel_type: 'm.thread', event_id: root } }
  reply = await alice.send(roomId, { body: 'reply', ...inThread })
})
afterAll(() => server.stop())

const invalid = refusal(400, 'M_INVALID_PARAM')
const receipt = (by: RoomClient, type: string, eventId: string, body: JsonObject = {}) =>
  by.inRoom('POST', roomId, `receipt/${type}/${eventId}`, body)

async function synced(kind: 'ephemeral' | 'account_data', type: string): Promise<JsonValue | undefined> {
  const { rooms } = await alice.done('GET', '/sync?timeout=0')
  const joined = (rooms as { join: Record<string, Record<string, { events: JsonObject[] }>> }).join[roomId]
  return joined?.[kind]?.events.find((event) => event['type'] === type)?.['content']
}

describe('a receipt', () => {
  it('is for members, of known types', async () => {
    expect(await receipt(bob, 'm.read', root)).toEqual(refusal(403, 'M_FORBIDDEN'))
    expect(await receipt(bob, 'm.fully_read', root)).toEqual(refusal(403, 'M_FORBIDDEN'))
    expect(await receipt(alice, 'm.delivered', root)).toEqual(invalid)
    expect(await receipt(alice, 'm.read', 'nonsense')).toEqual(invalid)
  })

  it('arrives by sync, with its thread', async () => {
    expect((await receipt(alice, 'm.read', reply, { thread_id: root })).status).toBe(200)
    const content = (await synced('ephemeral', 'm.receipt')) as Record<string, JsonObject>
    expect(content[reply]?.['m.read']).toMatchObject({ [alice.userId]: { thread_id: root } })
  })

  it('is for a thread that the event is in', async () => {
    const reaction = { 'm.relates_to': { rel_type: 'm.annotation', event_id: reply, key: 'x' } }
    const inThread = await alice.send(roomId, reaction, 'm.reaction')
    for (const [eventId, threadId] of [
      [root, 'main'],
      [root, root],
      [reply, root],
      [inThread, root],
    ] as const) {
      expect((await receipt(alice, 'm.read.private', eventId, { thread_id: threadId })).status).toBe(200)
    }
    for (const [eventId, threadId] of [
      [reply, 'main'],
      [root, reply],
      [inThread, 'main'],
      ['$unknown', 'main'],
      [reply, ''],
      [reply, 42],
    ] as const) {
      expect(await receipt(alice, 'm.read', eventId, { thread_id: threadId })).toEqual(invalid)
    }
    expect(await receipt(alice, 'm.fully_read', root, { thread_id: 'main' })).toEqual(invalid)
  })
})

describe('read markers', () => {
  it('set the marker and both receipts at once', async () => {
    const markers = { 'm.fully_read': root, 'm.read': root, 'm.read.private': reply }
    expect((await alice.inRoom('POST', roomId, 'read_markers', markers)).status).toBe(200)
    expect(await synced('account_data', 'm.fully_read')).toEqual({ event_id: root })
    expect((await receipt(alice, 'm.fully_read', reply)).status).toBe(200)
    expect(await synced('account_data', 'm.fully_read')).toEqual({ event_id: reply })
  })

  it('are event ids', async () => {
    expect(await alice.inRoom('POST', roomId, 'read_markers', { 'm.read': 'x' })).toEqual(invalid)
    const number = await alice.inRoom('POST', roomId, 'read_markers', { 'm.fully_read': 1 })
    expect(number).toEqual(refusal(400, 'M_BAD_JSON'))
  })
})

describe('typing', () => {
  const typing = (by: RoomClient, body: JsonObject, userId = by.userId) =>
    by.inRoom('PUT', roomId, `typing/${userId}`, body)

  it('is seen until it ends', async () => {
    expect((await typing(alice, { typing: true, timeout: 20_000 })).status).toBe(200)
    expect(await synced('ephemeral', 'm.typing')).toEqual({ user_ids: [alice.userId] })
    expect((await typing(alice, { typing: false })).status).toBe(200)
    expect((await synced('ephemeral', 'm.typing')) ?? { user_ids: [] }).toEqual({ user_ids: [] })
  })

  it('is for members, about themselves', async () => {
    expect(await typing(bob, { typing: true })).toEqual(refusal(403, 'M_FORBIDDEN'))
    expect(await typing(alice, { typing: true }, bob.userId)).toEqual(refusal(403, 'M_FORBIDDEN'))
    expect(await typing(alice, {})).toEqual(refusal(400, 'M_MISSING_PARAM'))
    expect(await typing(alice, { typing: true, timeout: 'long' })).toEqual(refusal(400, 'M_BAD_JSON'))
  })
})
