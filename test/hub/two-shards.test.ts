// A server whose users live on two Hub shards is to them as one with a single shard. The tests are one story.

import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import type { UserId } from '../../src/matrix/event.ts'
import type { JsonObject } from '../../src/matrix/json.ts'
import { refusal, roomClient, type RoomClient } from '../support/room-client.ts'
import { type Account, startServer, type TestServer } from '../support/server.ts'
import { textOf } from '../support/text-of.ts'

const vars = { HUB_SHARDS: '2' }
const shards = [0, 1] as const

let dataDir: string
let server: TestServer
/** Of shard 0. */
let alice: Person
/** Of shard 1. */
let bob: Person
let roomId: string

interface JoinedRoom {
  readonly timeline?: { readonly events: JsonObject[] }
  readonly ephemeral?: { readonly events: { readonly type: string; readonly content: JsonObject }[] }
}

interface SyncAnswer {
  readonly next_batch: string
  readonly rooms?: {
    readonly join?: Readonly<Record<string, JoinedRoom>>
    readonly invite?: Readonly<Record<string, JsonObject>>
    readonly leave?: Readonly<Record<string, JsonObject>>
  }
}

interface Person {
  readonly account: Account
  client: RoomClient
  since: string | undefined
}

beforeAll(async () => {
  dataDir = await mkdtemp(join(tmpdir(), 'hearth-shards-'))
  server = await startServer({ vars, dataDir })
  const found = new Map<number, Account>()
  // Users land on shards by chance.
  for (let n = 0; found.size < shards.length; n += 1) {
    const account = await server.register(`user${n}`)
    found.set(await shardOf(account), account)
  }
  alice = personOf(found.get(0))
  bob = personOf(found.get(1))
})
afterAll(async () => {
  await server.stop()
  await rm(dataDir, { recursive: true, force: true })
})

function personOf(account: Account | undefined): Person {
  if (!account) throw new Error('nobody lives on that shard')
  return { account, client: roomClient(server, account), since: undefined }
}

async function shardOf({ userId, deviceId }: Account): Promise<number> {
  for (const shard of shards) {
    const hub = await server.hub(shard)
    if ((await hub.deviceGeneration(userId as UserId, deviceId)) !== undefined) return shard
  }
  throw new Error(`${userId} lives nowhere`)
}

async function sync(person: Person, timeout = 0): Promise<SyncAnswer> {
  const since = person.since === undefined ? '' : `&since=${person.since}`
  const path = `/_matrix/client/v3/sync?timeout=${timeout}${since}`
  const { status, body } = await server.request<SyncAnswer>('GET', path, { token: person.account.token })
  expect(status, JSON.stringify(body)).toBe(200)
  person.since = body.next_batch
  return body
}

/** What the first sync brings that has it. The runner's time limit ends a wait in vain. */
async function until<T>(person: Person, find: (answer: SyncAnswer) => T | undefined): Promise<T> {
  for (;;) {
    const found = find(await sync(person, 20_000))
    if (found !== undefined) return found
  }
}

const room = (answer: SyncAnswer) => answer.rooms?.join?.[roomId]
const eventWith = (eventId: string) => (answer: SyncAnswer) =>
  room(answer)?.timeline?.events.find((event) => event['event_id'] === eventId)
const ephemeral = (type: string) => (answer: SyncAnswer) =>
  room(answer)?.ephemeral?.events.find((event) => event.type === type)?.content
const pairs = (): [Person, Person][] => [
  [alice, bob],
  [bob, alice],
]

async function say(person: Person, body: string): Promise<string> {
  return await person.client.send(roomId, { msgtype: 'm.text', body })
}

it('an invite crosses over', async () => {
  await sync(bob)
  const waiting = until(bob, (answer) => Object.keys(answer.rooms?.invite ?? {})[0])
  roomId = await alice.client.createRoom({ preset: 'private_chat', invite: [bob.account.userId] })
  expect(await waiting).toBe(roomId)
  await sync(alice)
  expect((await bob.client.join(roomId)).status).toBe(200)
  await until(bob, room)
  const joined = await until(alice, (answer) =>
    room(answer)?.timeline?.events.find((event) => event['state_key'] === bob.account.userId),
  )
  expect(joined['content']).toMatchObject({ membership: 'join' })
})

it('messages go both ways and wake those who wait', async () => {
  for (const [from, to] of pairs()) {
    const waiting = until(to, (answer) => room(answer)?.timeline?.events.at(-1))
    const eventId = await say(from, 'hello')
    expect((await waiting)['event_id']).toBe(eventId)
    await until(from, eventWith(eventId))
  }
})

it('receipts go both ways, private ones nowhere', async () => {
  for (const [reader, other] of pairs()) {
    const eventId = await say(other, 'read this')
    for (const person of [reader, other]) await until(person, eventWith(eventId))
    const unread = await say(other, 'and this, which is read in private')
    for (const person of [reader, other]) await until(person, eventWith(unread))
    const waiting = until(other, ephemeral('m.receipt'))
    await reader.client.inRoom('POST', roomId, `receipt/m.read.private/${unread}`, {})
    await reader.client.inRoom('POST', roomId, `receipt/m.read/${eventId}`, {})
    const told = await waiting
    expect(told).toEqual({
      [eventId]: { 'm.read': { [reader.account.userId]: { ts: expect.any(Number) } } },
    })
    const own = await until(reader, ephemeral('m.receipt'))
    expect(Object.keys(own)).toEqual(expect.arrayContaining([unread]))
  }
})

it('an older receipt replaces no newer one on either shard', async () => {
  const older = await say(bob, 'older')
  const newer = await say(bob, 'newer')
  for (const eventId of [newer, older])
    await alice.client.inRoom('POST', roomId, `receipt/m.read/${eventId}`, {})
  for (const person of [alice, bob]) {
    const fresh = { ...person, since: undefined }
    const receipts = await until(fresh, ephemeral('m.receipt'))
    expect(receipts[newer]).toMatchObject({ 'm.read': { [alice.account.userId]: {} } })
    expect(receipts[older]).toBeUndefined()
    await sync(person)
  }
})

it('typing comes and goes both ways', async () => {
  for (const [typist, other] of pairs()) {
    const { userId } = typist.account
    // What they typed themselves before is news to them as well.
    await sync(other)
    for (const typing of [true, false]) {
      const waiting = until(other, ephemeral('m.typing'))
      await typist.client.inRoom('PUT', roomId, `typing/${userId}`, { typing, timeout: 30_000 })
      expect(await waiting).toEqual({ user_ids: typing ? [userId] : [] })
    }
  }
})

it('receipts and typing of strangers reach nobody', async () => {
  const stranger = roomClient(server, await server.register('stranger'))
  const eventId = await say(alice, 'among us')
  await until(bob, eventWith(eventId))
  const forbidden = refusal(403, 'M_FORBIDDEN')
  expect(await stranger.inRoom('POST', roomId, `receipt/m.read/${eventId}`, {})).toEqual(forbidden)
  const typing = await stranger.inRoom('PUT', roomId, `typing/${stranger.userId}`, { typing: true })
  expect(typing).toEqual(forbidden)
  for (const person of [alice, bob]) {
    expect(JSON.stringify(await sync(person))).not.toContain(stranger.userId)
  }
})

it('a new name shows on the other shard', async () => {
  for (const [renamed, other] of pairs()) {
    const { userId } = renamed.account
    const waiting = until(other, (answer) =>
      room(answer)?.timeline?.events.find((event) => event['state_key'] === userId),
    )
    await renamed.client.done('PUT', `/profile/${userId}/displayname`, { displayname: `New ${userId}` })
    expect((await waiting)['content']).toMatchObject({ membership: 'join', displayname: `New ${userId}` })
  }
})

it('all of it survives a kill of the server', async () => {
  const before = await say(alice, 'before the kill')
  await bob.client.inRoom('POST', roomId, `receipt/m.read/${before}`, {})
  await server.kill()
  server = await startServer({ vars, dataDir })
  for (const person of [alice, bob]) person.client = roomClient(server, person.account)
  for (const person of [alice, bob]) {
    const answer = await sync(person)
    expect(eventWith(before)(answer)).toBeDefined()
    expect(ephemeral('m.receipt')(answer)).toMatchObject({
      [before]: { 'm.read': { [bob.account.userId]: {} } },
    })
  }
  for (const [from, to] of pairs()) {
    const eventId = await say(from, 'after the kill')
    await until(to, eventWith(eventId))
  }
})

it('whoever leaves is gone for both', async () => {
  await sync(alice)
  const waiting = until(alice, (answer) =>
    room(answer)?.timeline?.events.find((event) => event['state_key'] === bob.account.userId),
  )
  expect((await bob.client.leave(roomId)).status).toBe(200)
  expect((await waiting)['content']).toMatchObject({ membership: 'leave' })
  expect(await until(bob, (answer) => answer.rooms?.leave?.[roomId])).toBeDefined()
  await say(alice, 'anyone?')
  await alice.client.inRoom('PUT', roomId, `typing/${alice.account.userId}`, { typing: true })
  expect((await sync(bob)).rooms ?? {}).toEqual({})
  expect(
    textOf((await bob.client.call('PUT', `/rooms/${roomId}/send/m.room.message/x`, {})).body, 'errcode'),
  ).toBe('M_FORBIDDEN')
})
