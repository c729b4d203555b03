// POST /rooms/{roomId}/upgrade.

import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { JsonObject } from '../../src/matrix/json.ts'
import { newClient, refusal, type RoomClient } from '../support/room-client.ts'
import { startServer, type TestServer } from '../support/server.ts'
import { textOf } from '../support/text-of.ts'

let server: TestServer
let alice: RoomClient
let bob: RoomClient
let carol: RoomClient
beforeAll(async () => {
  server = await startServer()
  alice = await newClient(server, 'alice')
  bob = await newClient(server, 'bob')
  carol = await newClient(server, 'carol')
})
afterAll(() => server.stop())

const forbidden = refusal(403, 'M_FORBIDDEN')

async function upgrade(
  by: RoomClient,
  roomId: string,
  version: string,
  more: JsonObject = {},
): Promise<string> {
  const answer = await by.inRoom('POST', roomId, 'upgrade', { new_version: version, ...more })
  expect(answer.status, JSON.stringify(answer.body)).toBe(200)
  return textOf(answer.body, 'replacement_room')
}

describe('an upgrade', () => {
  it('takes over what the room is, and leaves a tombstone', async () => {
    const old = await alice.createRoom({
      room_version: '10',
      visibility: 'public',
      room_alias_name: 'moving',
      name: 'Moving',
      topic: 'On',
      creation_content: { type: 'm.space', 'm.federate': false },
      initial_state: [
        { type: 'm.room.encryption', content: { algorithm: 'm.megolm.v1.aes-sha2' } },
        { type: 'm.room.server_acl', content: { allow: ['*'] } },
        { type: 'm.room.history_visibility', content: { history_visibility: 'invited' } },
        { type: 'm.space.child', state_key: '!child:test.local', content: { via: ['test.local'] } },
        { type: 'org.example.private', content: { secret: true } },
      ],
    })
    await alice.act('ban', old, bob.userId, { reason: 'spam' })
    const last = await alice.send(old, { body: 'last words' })
    const next = await upgrade(alice, old, '11')

    expect(await alice.state(next, 'm.room.create')).toEqual({
      room_version: '11',
      type: 'm.space',
      'm.federate': false,
      predecessor: { room_id: old, event_id: last },
    })
    for (const type of [
      'm.room.name',
      'm.room.topic',
      'm.room.encryption',
      'm.room.server_acl',
      'm.room.history_visibility',
      'm.room.join_rules',
      'm.room.guest_access',
    ]) {
      expect(await alice.state(next, type), type).toEqual(await alice.state(old, type))
    }
    expect(await alice.state(next, 'm.space.child', '!child:test.local')).toEqual({ via: ['test.local'] })
    expect(await alice.state(next, 'org.example.private')).toBeUndefined()
    expect(await alice.state(next, 'm.room.member', bob.userId)).toEqual({
      membership: 'ban',
      reason: 'spam',
    })
    expect(await alice.state(next, 'm.room.canonical_alias')).toEqual({ alias: '#moving:test.local' })
    expect((await alice.aliasTarget('#moving:test.local')).body['room_id']).toBe(next)

    expect(await alice.state(old, 'm.room.tombstone')).toMatchObject({ replacement_room: next })
    expect(await alice.state(old, 'm.room.canonical_alias')).toEqual({})
    expect(await alice.state(old, 'm.room.power_levels')).toMatchObject({ events_default: 50, invite: 50 })
    const visibility = async (roomId: string) =>
      (await alice.done('GET', `/directory/list/room/${roomId}`))['visibility']
    expect([await visibility(old), await visibility(next)]).toEqual(['private', 'public'])
  })

  it('by a moderator ends with the power levels they had', async () => {
    const old = await alice.createRoom({
      room_version: '10',
      preset: 'public_chat',
      power_level_content_override: {
        users: { [alice.userId]: 100, [bob.userId]: 50 },
        events: { 'm.room.tombstone': 50, 'm.room.encryption': 100, 'm.room.power_levels': 100 },
        events_default: 0,
      },
      initial_state: [{ type: 'm.room.encryption', content: { algorithm: 'm.megolm.v1.aes-sha2' } }],
    })
    await bob.join(old)
    const levels = await alice.state(old, 'm.room.power_levels')
    const next = await upgrade(bob, old, '11')
    expect(await bob.state(next, 'm.room.power_levels')).toEqual(levels)
    expect(await bob.state(next, 'm.room.encryption')).toEqual({ algorithm: 'm.megolm.v1.aes-sha2' })
    // No power, no restriction of the old room.
    expect(await bob.state(old, 'm.room.power_levels')).toEqual(levels)
  })

  it('MSC4289: to version 12 makes creators of those it is told to, and takes them out of the power levels', async () => {
    const old = await alice.createRoom({
      room_version: '11',
      preset: 'public_chat',
      power_level_content_override: {
        users: { [alice.userId]: 100, [bob.userId]: 100, [carol.userId]: 50 },
        events: { 'm.room.tombstone': 50 },
      },
    })
    const next = await upgrade(alice, old, '12', { additional_creators: [bob.userId, alice.userId] })
    expect(await alice.state(next, 'm.room.create')).toEqual({
      room_version: '12',
      additional_creators: [bob.userId],
      predecessor: { room_id: old },
    })
    expect(await alice.state(next, 'm.room.power_levels')).toMatchObject({
      users: { [carol.userId]: 50 },
      events: { 'm.room.tombstone': 150 },
    })
  })

  it('from version 12 does not hand on additional creators', async () => {
    const old = await alice.createRoom({
      room_version: '12',
      preset: 'public_chat',
      creation_content: { additional_creators: [bob.userId] },
      power_level_content_override: { users: { [carol.userId]: 150 } },
    })
    await carol.join(old)
    const next = await upgrade(carol, old, '12')
    expect(await carol.state(next, 'm.room.create')).not.toHaveProperty('additional_creators')
    expect(await carol.state(next, 'm.room.power_levels')).toMatchObject({ users: {} })
    const down = await upgrade(alice, old, '11')
    expect(await alice.state(down, 'm.room.power_levels')).toMatchObject({
      users: { [alice.userId]: 100, [bob.userId]: 100 },
    })
  })

  it('to a version that does not know the join rule closes the room', async () => {
    const old = await alice.createRoom({
      room_version: '10',
      initial_state: [{ type: 'm.room.join_rules', content: { join_rule: 'knock_restricted', allow: [] } }],
    })
    const next = await upgrade(alice, old, '9')
    expect(await alice.state(next, 'm.room.join_rules')).toEqual({ join_rule: 'invite' })
  })

  it('is refused without the power, the room, or a version', async () => {
    const old = await alice.createRoom({ room_version: '11', preset: 'public_chat' })
    await bob.join(old)
    const call = (by: RoomClient, roomId: string, body: JsonObject) =>
      by.inRoom('POST', roomId, 'upgrade', body)
    expect(await call(bob, old, { new_version: '12' })).toEqual(forbidden)
    expect(await call(carol, old, { new_version: '12' })).toEqual(forbidden)
    expect(await call(alice, '!nowhere:test.local', { new_version: '12' })).toEqual(forbidden)
    expect(await call(alice, old, { new_version: '99' })).toEqual(refusal(400, 'M_UNSUPPORTED_ROOM_VERSION'))
    expect(await call(alice, old, {})).toEqual(refusal(400, 'M_MISSING_PARAM'))
    const badCreators = { new_version: '12', additional_creators: ['bob'] }
    expect(await call(alice, old, badCreators)).toEqual(refusal(400, 'M_INVALID_PARAM'))
    expect(await alice.state(old, 'm.room.tombstone')).toBeUndefined()
    // Older versions know no additional creators, and ignore them.
    await upgrade(alice, old, '11', { additional_creators: ['bob'] })
  })
})
