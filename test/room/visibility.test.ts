import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { UserId } from '../../src/matrix/event.ts'
import { localRoom, type LocalRoom } from '../support/local-room.ts'
import { join, receive, remoteUser, rulesOf, sign, template } from '../support/remote-server.ts'
import { type Account, startServer, type TestServer } from '../support/server.ts'

let server: TestServer
let alice: Account
let bob: Account
let carol: Account
beforeAll(async () => {
  server = await startServer()
  alice = await server.register('alice')
  bob = await server.register('bob')
  carol = await server.register('carol')
})
afterAll(() => server.stop())

/** 200 for an event that the reader may see. Anything else must be one and the same answer. */
async function sees(room: LocalRoom, reader: Account, eventId: string): Promise<boolean> {
  const { status, body } = await room.get(reader, `event/${encodeURIComponent(eventId)}`)
  if (status === 200) {
    expect(body).toMatchObject({ event_id: eventId, room_id: room.roomId })
    return true
  }
  expect([status, body]).toEqual([404, { errcode: 'M_NOT_FOUND', error: 'Event not found' }])
  return false
}

/** Bob's way through a room, with a message by Alice at every stage. */
async function journey(visibility: string) {
  const room = await localRoom(server, alice, { visibility })
  const before = await room.say(alice, 'before')
  const invite = await room.member(alice, 'invite', bob)
  const invited = await room.say(alice, 'invited')
  const invitedSees = { before: await sees(room, bob, before), invited: await sees(room, bob, invited) }
  const join = await room.member(bob, 'join')
  const joined = await room.say(alice, 'joined')
  const leave = await room.member(bob, 'leave')
  const left = await room.say(alice, 'left')
  const stages = { before, invite, invited, join, joined, leave, left }
  const seen = []
  for (const [stage, eventId] of Object.entries(stages)) if (await sees(room, bob, eventId)) seen.push(stage)
  return { room, stages, seen, invitedSees }
}

describe('a user who was invited, joined and left sees', () => {
  test('from the join to the leave where the visibility is joined', async () => {
    const { seen, invitedSees } = await journey('joined')
    expect(seen).toEqual(['join', 'joined', 'leave'])
    expect(invitedSees).toEqual({ before: false, invited: false })
  })

  test('from the invite to the leave where it is invited, but not before joining', async () => {
    const { seen, invitedSees } = await journey('invited')
    expect(seen).toEqual(['invite', 'invited', 'join', 'joined', 'leave'])
    expect(invitedSees).toEqual({ before: false, invited: false })
  })

  test('everything up to the leave where it is shared, but nothing before joining', async () => {
    const { seen, invitedSees } = await journey('shared')
    expect(seen).toEqual(['before', 'invite', 'invited', 'join', 'joined', 'leave'])
    expect(invitedSees).toEqual({ before: false, invited: false })
  })

  test('everything where it is world readable', async () => {
    const { seen, invitedSees } = await journey('world_readable')
    expect(seen).toEqual(['before', 'invite', 'invited', 'join', 'joined', 'leave', 'left'])
    expect(invitedSees).toEqual({ before: true, invited: true })
  })
})

test('who joins again sees what was said in between only where that was shared', async () => {
  for (const [visibility, expected] of [
    ['shared', true],
    ['joined', false],
  ] as const) {
    const { room, stages } = await journey(visibility)
    expect(await sees(room, bob, stages.left)).toBe(false)
    await room.member(bob, 'join')
    expect([visibility, await sees(room, bob, stages.left)]).toEqual([visibility, expected])
  }
})

test('the visibility counts that was set when an event was sent', async () => {
  const room = await localRoom(server, alice, { visibility: 'world_readable' })
  const open = await room.say(alice, 'open')
  const change = await room.send(alice, 'm.room.history_visibility', { history_visibility: 'joined' }, '')
  const closed = await room.say(alice, 'closed')
  const stranger = [
    await sees(room, carol, open),
    await sees(room, carol, change),
    await sees(room, carol, closed),
  ]
  expect(stranger).toEqual([true, true, false])
  await room.member(carol, 'join')
  const member = [
    await sees(room, carol, open),
    await sees(room, carol, change),
    await sees(room, carol, closed),
  ]
  expect(member).toEqual([true, true, false])
})

test('a banned user sees the ban and nothing after it', async () => {
  const room = await localRoom(server, alice)
  await room.member(bob, 'join')
  const ban = await room.member(alice, 'ban', bob)
  const after = await room.say(alice, 'after')
  expect([await sees(room, bob, ban), await sees(room, bob, after)]).toEqual([true, false])
  const { body } = await room.get<{ chunk: { event_id: string }[] }>(bob, 'messages', {
    dir: 'b',
    limit: '1',
  })
  expect(body.chunk.map((event) => event.event_id)).toEqual([ban])
})

test('what comes in after a user left is out of their sight, even if it was sent before', async () => {
  for (const visibility of ['shared', 'joined', 'invited']) {
    const room = await localRoom(server, alice, { visibility, version: '10' })
    const remote = { ...room, rules: rulesOf('10') }
    const rita = remoteUser('rita')
    await join(remote, rita)
    await room.member(bob, 'join')
    const say = (body: string) =>
      template(remote, { type: 'm.room.message', sender: rita, content: { body } })
    const early = sign(remote, await say('early'))
    const late = sign(remote, await say('late'))
    await room.say(alice, 'in between')
    expect(await receive(remote, early.pdu)).toMatchObject([{ outcome: 'accepted' }])
    await room.member(bob, 'leave')
    expect(await receive(remote, late.pdu)).toMatchObject([{ outcome: 'accepted' }])
    expect(await sees(room, bob, early.eventId)).toBe(true)
    expect(await sees(room, bob, late.eventId)).toBe(false)
    expect(await sees(room, alice, late.eventId)).toBe(true)
  }
})

test('an event of an unknown room cannot be told from one out of sight', async () => {
  const room = await localRoom(server, alice)
  const eventId = await room.say(alice, 'secret')
  expect(await sees(room, carol, eventId)).toBe(false)
  expect(await sees(room, carol, '$unknown')).toBe(false)
  const elsewhere = { ...room, roomId: '!nowhere:test.local' }
  const path = `/_matrix/client/v3/rooms/${elsewhere.roomId}/event/${encodeURIComponent(eventId)}`
  const { status, body } = await server.request('GET', path, { token: carol.token })
  expect([status, body]).toEqual([404, { errcode: 'M_NOT_FOUND', error: 'Event not found' }])
})

test('the transaction id of an event is shown to the device that sent it alone', async () => {
  const room = await localRoom(server, alice)
  await room.member(bob, 'join')
  const eventId = await room.room.sendEvent({
    draft: { type: 'm.room.message', sender: alice.userId as UserId, content: { body: 'hi' } },
    transaction: { deviceId: alice.deviceId, txnId: 'abc', path: 'send/m.room.message/abc' },
  })
  const unsigned = async (reader: Account) =>
    (await room.get<{ unsigned: object }>(reader, `event/${encodeURIComponent(eventId)}`)).body.unsigned
  expect(await unsigned(alice)).toMatchObject({ transaction_id: 'abc', membership: 'join' })
  expect(await unsigned(bob)).not.toHaveProperty('transaction_id')
})
