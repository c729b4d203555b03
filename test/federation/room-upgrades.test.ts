// What users keep about a room follows them into the one that replaces it, wherever that was made: push rules, tags, the mark
// of a direct chat.

import { afterAll, beforeAll, expect, it, vi } from 'vitest'
import type { JsonObject } from '../../src/matrix/json.ts'
import { makeAuthority } from '../support/certificates.ts'
import { type FederatedServer, startFederatedServer } from '../support/federated-server.ts'
import { newClient, type RoomClient } from '../support/room-client.ts'
import { textOf } from '../support/text-of.ts'

let here: FederatedServer
let there: FederatedServer
let alice: RoomClient
let carol: RoomClient
let bob: RoomClient
beforeAll(async () => {
  const authority = makeAuthority()
  ;[here, there] = await Promise.all([
    startFederatedServer(authority, 'here.test'),
    startFederatedServer(authority, 'there.test'),
  ])
  alice = await newClient(here, 'alice')
  carol = await newClient(here, 'carol')
  bob = await newClient(there, 'bob')
})
afterAll(async () => {
  await Promise.all([here.stop(), there.stop()])
})

const quiet = { actions: [] }
const enc = encodeURIComponent
const rule = (kind: string, id: string) => `/pushrules/global/${kind}/${enc(id)}`
const tagsIn = (by: RoomClient, roomId: string) => `/user/${enc(by.userId)}/rooms/${enc(roomId)}/tags`
const direct = (by: RoomClient) => `/user/${enc(by.userId)}/account_data/m.direct`
const join = (by: RoomClient, roomId: string) =>
  by.done('POST', `/join/${enc(roomId)}?via=${enc(here.serverName)}`, {})

/** Keeps all that there is to be kept about a room. */
async function settle(by: RoomClient, roomId: string): Promise<void> {
  await by.done('PUT', rule('room', roomId), quiet)
  // By such a one Element mutes a room.
  await by.done('PUT', rule('override', roomId), {
    ...quiet,
    conditions: [{ kind: 'event_match', key: 'room_id', pattern: roomId }],
  })
  await by.done('PUT', `${tagsIn(by, roomId)}/m.favourite`, { order: 0.5 })
  await by.done('PUT', direct(by), { '@friend:x.test': ['!other:x.test', roomId], '@no:x.test': [] })
}

async function expectCarried(by: RoomClient, old: string, next: string): Promise<void> {
  expect(await by.done('GET', rule('room', next))).toMatchObject({ ...quiet, enabled: true })
  expect(await by.done('GET', rule('override', next))).toMatchObject({
    conditions: [{ kind: 'event_match', key: 'room_id', pattern: next }],
  })
  expect(await by.done('GET', tagsIn(by, next))).toEqual({ tags: { 'm.favourite': { order: 0.5 } } })
  expect(await by.done('GET', direct(by))).toEqual({
    '@friend:x.test': ['!other:x.test', old, next],
    '@no:x.test': [],
  })
  // The old room keeps what it had.
  expect((await by.call('GET', rule('override', old))).status).toBe(200)
}

const upgrade = async (roomId: string) =>
  textOf((await alice.inRoom('POST', roomId, 'upgrade', { new_version: '11' })).body, 'replacement_room')

it('members follow when they join, the one who upgraded at once; all of it comes down their syncs', async () => {
  const old = await alice.createRoom({ preset: 'public_chat' })
  await carol.join(old)
  for (const person of [alice, carol]) await settle(person, old)
  const since = textOf(await carol.done('GET', '/sync'), 'next_batch')
  const next = await upgrade(old)
  await expectCarried(alice, old, next)
  expect((await carol.call('GET', rule('room', next))).status).toBe(404)
  await carol.join(next)
  await expectCarried(carol, old, next)
  const sync = await carol.done('GET', `/sync?since=${since}`)
  const types = ({ events }: { events: JsonObject[] }) => new Set(events.map((event) => event['type']))
  expect(types(sync['account_data'] as { events: JsonObject[] })).toEqual(
    new Set(['m.direct', 'm.push_rules']),
  )
  const joined = (sync['rooms'] as { join: Record<string, { account_data: { events: JsonObject[] } }> }).join
  expect(joined[next] && types(joined[next].account_data)).toEqual(new Set(['m.tag']))
})

it('members on another server follow as well', async () => {
  const old = await alice.createRoom({ preset: 'public_chat' })
  await join(bob, old)
  await settle(bob, old)
  const next = await upgrade(old)
  await vi.waitFor(async () => expect(await bob.state(old, 'm.room.tombstone')).toBeDefined(), 20_000)
  await join(bob, next)
  await vi.waitFor(async () => await expectCarried(bob, old, next), 20_000)
})

it('what a user says about the replacement stands, also when they come again', async () => {
  const old = await alice.createRoom({ preset: 'public_chat' })
  await carol.join(old)
  await carol.done('PUT', `${tagsIn(carol, old)}/u.old`, {})
  const next = await upgrade(old)
  await carol.join(next)
  await carol.done('DELETE', `${tagsIn(carol, next)}/u.old`)
  await carol.leave(next)
  await carol.join(next)
  expect(await carol.done('GET', tagsIn(carol, next))).toEqual({ tags: {} })
})

it('a room that only claims to replace another gets nothing, and neither does one that is only claimed to', async () => {
  const old = await alice.createRoom({ preset: 'public_chat' })
  await settle(alice, old)
  const claim = { creation_content: { predecessor: { room_id: old } } }
  const pretender = await carol.createRoom({ preset: 'public_chat', ...claim })
  await alice.join(pretender)
  const other = await carol.createRoom({ preset: 'public_chat' })
  await alice.join(other)
  await alice.setState(old, 'm.room.tombstone', { body: 'gone', replacement_room: other })
  for (const roomId of [pretender, other]) {
    expect((await alice.call('GET', rule('override', roomId))).status).toBe(404)
    expect(await alice.done('GET', tagsIn(alice, roomId))).toEqual({ tags: {} })
    expect(JSON.stringify(await alice.done('GET', direct(alice)))).not.toContain(roomId)
  }
  // With both sides said it is one, whichever was first.
  await alice.setState(old, 'm.room.tombstone', { body: 'gone', replacement_room: pretender })
  expect((await alice.call('GET', rule('override', pretender))).status).toBe(200)
})
