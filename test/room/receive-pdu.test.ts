import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { EventId, UserId } from '../../src/matrix/event.ts'
import type { JsonObject } from '../../src/matrix/json.ts'
import type { RoomVersionId } from '../../src/matrix/room-version.ts'
import { startServer, type TestServer } from '../support/server.ts'
import {
  join,
  publicRoom,
  receive,
  remoteUser,
  sign,
  template,
  type TestRoom,
} from '../support/remote-server.ts'

const alice = '@alice:test.local' as UserId
const bob = remoteUser('bob')
const versions: RoomVersionId[] = ['1', '2', '6', '10', '11']

let server: TestServer
beforeAll(async () => {
  server = await startServer()
})
afterAll(() => server.stop())

async function say({ room }: TestRoom, body: string): Promise<EventId> {
  return await room.sendEvent({ draft: { type: 'm.room.message', sender: alice, content: { body } } })
}

async function setState({ room }: TestRoom, type: string, content: JsonObject, key = ''): Promise<EventId> {
  return await room.sendEvent({ draft: { type, sender: alice, state_key: key, content } })
}

function message(body: string) {
  return { type: 'm.room.message', sender: bob, content: { body } }
}

async function describeRoom({ room }: TestRoom) {
  return await room.describe()
}

describe.each(versions)('a remote event in a room of version %s', (version) => {
  it('is accepted when all is well', async () => {
    const room = await publicRoom(server, alice, version)
    await join(room, bob)
    const { pdu, eventId } = sign(room, await template(room, message('hello')))
    expect(await receive(room, pdu)).toEqual([{ outcome: 'accepted', eventId }])
    expect(await receive(room, pdu)).toEqual([{ outcome: 'known', eventId }])
    expect((await describeRoom(room)).extremities).toEqual([eventId])
  })

  it('is dropped when its signature is missing, foreign or wrong', async () => {
    const room = await publicRoom(server, alice, version)
    await join(room, bob)
    const { pdu } = sign(room, await template(room, message('hello')))
    const unsigned = { ...pdu, signatures: {} }
    const foreign = {
      ...pdu,
      signatures: { 'other.test': (pdu['signatures'] as JsonObject)['remote.test'] ?? {} },
    }
    const forged = { ...pdu, origin_server_ts: 1 }
    for (const bad of [unsigned, foreign, forged]) {
      expect(await receive(room, bad)).toMatchObject([{ outcome: 'dropped' }])
    }
  })

  it('is redacted when its content does not match its hash', async () => {
    const room = await publicRoom(server, alice, version)
    await join(room, bob)
    const { pdu, eventId } = sign(room, await template(room, message('hello')))
    expect(await receive(room, { ...pdu, content: { body: 'forged' } })).toEqual([
      { outcome: 'accepted', eventId },
    ])
    const kept = JSON.parse(await room.room.pduText(eventId)) as JsonObject
    expect(kept['content']).toEqual({})
  })

  it('is rejected by someone without the power, and nothing of it enters the state', async () => {
    const room = await publicRoom(server, alice, version)
    await join(room, bob)
    const draft = { type: 'm.room.topic', sender: bob, state_key: '', content: { topic: 'mine' } }
    const fields = await template(room, message('base'))
    const { pdu } = sign(room, { ...fields, ...draft })
    expect(await receive(room, pdu)).toMatchObject([{ outcome: 'rejected' }])
    expect((await describeRoom(room)).state['m.room.topic|']).toBeUndefined()
  })

  it('is rejected when it cites a rejected event', async () => {
    const room = await publicRoom(server, alice, version)
    await join(room, bob)
    const fields = await template(room, message('base'))
    const power = { type: 'm.room.power_levels', state_key: '', content: { users: { [bob]: 100 } } }
    const bad = sign(room, { ...fields, ...power })
    expect(await receive(room, bad.pdu)).toMatchObject([{ outcome: 'rejected' }])
    const auth = (fields['auth_events'] as JsonObject[]).slice(0, 1)
    const cite = room.rules.eventId === 'field' ? [bad.eventId, { sha256: '' }] : bad.eventId
    const citing = sign(room, { ...fields, auth_events: [...auth, cite] as never })
    expect(await receive(room, citing.pdu)).toMatchObject([{ outcome: 'rejected' }])
  })

  it('is soft-failed when it races with a ban, and never becomes an extremity', async () => {
    const room = await publicRoom(server, alice, version)
    await join(room, bob)
    const before = await template(room, message('too late'))
    await room.room.sendEvent({
      draft: { type: 'm.room.member', sender: alice, state_key: bob, content: { membership: 'ban' } },
    })
    const late = sign(room, before)
    expect(await receive(room, late.pdu)).toMatchObject([{ outcome: 'soft-failed' }])
    const { extremities, state } = await describeRoom(room)
    expect(extremities).not.toContain(late.eventId)
    expect(state[`m.room.member|${bob}`]?.membership).toBe('ban')
  })

  it('that has unknown parents is not taken until they come', async () => {
    const room = await publicRoom(server, alice, version)
    await join(room, bob)
    const parent = sign(room, await template(room, message('parent')))
    const reference = room.rules.eventId === 'field' ? [[parent.eventId, { sha256: '' }]] : [parent.eventId]
    const fields = await template(room, message('child'))
    const child = sign(room, { ...fields, prev_events: reference })
    expect(await receive(room, child.pdu)).toEqual([
      { outcome: 'incomplete', eventId: child.eventId, missing: [parent.eventId] },
    ])
    expect(await receive(room, parent.pdu, child.pdu)).toMatchObject([
      { outcome: 'accepted' },
      { outcome: 'accepted' },
    ])
    expect((await describeRoom(room)).extremities).toEqual([child.eventId])
  })
})

describe.each(versions)('a fork in a room of version %s', (version) => {
  it('has two extremities until an event joins them', async () => {
    const room = await publicRoom(server, alice, version)
    await join(room, bob)
    const fields = await template(room, message('their side'))
    const ours = await say(room, 'our side')
    const theirs = sign(room, fields)
    expect(await receive(room, theirs.pdu)).toMatchObject([{ outcome: 'accepted' }])
    expect((await describeRoom(room)).extremities.toSorted()).toEqual([ours, theirs.eventId].toSorted())
    const merge = await say(room, 'merged')
    expect((await describeRoom(room)).extremities).toEqual([merge])
  })

  it('resolves a topic race to one topic, the same whichever side is seen first', async () => {
    const room = await publicRoom(server, alice, version)
    await join(room, bob)
    await setState(room, 'm.room.power_levels', { users: { [alice]: 100, [bob]: 50 } })
    const topic = { type: 'm.room.topic', sender: bob, state_key: '', content: { topic: 'theirs' } }
    const first = sign(room, await template(room, topic))
    const second = sign(room, { ...(await template(room, topic)), origin_server_ts: Date.now() + 60_000 })
    await setState(room, 'm.room.topic', { topic: 'ours' })
    await receive(room, first.pdu, second.pdu)
    const { state, extremities } = await describeRoom(room)
    expect(extremities).toHaveLength(3)
    // The later event wins in v2 and later; v1 goes by depth and then by hash of the event id.
    if (version !== '1') expect(state['m.room.topic|']?.event_id).toBe(second.eventId)
    await say(room, 'merge')
    expect((await describeRoom(room)).state['m.room.topic|']).toEqual(state['m.room.topic|'])
  })

  it('lets the demotion of a moderator win over what they did at the same time', async () => {
    if (version === '1') return
    const room = await publicRoom(server, alice, version)
    await join(room, bob)
    await setState(room, 'm.room.power_levels', { users: { [alice]: 100, [bob]: 50 } })
    const topic = { type: 'm.room.topic', sender: bob, state_key: '', content: { topic: 'last word' } }
    const theirs = sign(room, await template(room, topic))
    await setState(room, 'm.room.power_levels', { users: { [alice]: 100 } })
    const [receipt] = await receive(room, theirs.pdu)
    expect(receipt).toMatchObject({ outcome: 'soft-failed' })
    expect((await describeRoom(room)).state['m.room.topic|']).toBeUndefined()
  })
})
