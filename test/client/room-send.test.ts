// Sending events, setting state, redacting.

import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { newClient, refusal, type RoomClient } from '../support/room-client.ts'
import { startServer, type TestServer } from '../support/server.ts'
import { textOf } from '../support/text-of.ts'

let server: TestServer
let alice: RoomClient
let bob: RoomClient
beforeAll(async () => {
  server = await startServer()
  alice = await newClient(server, 'alice')
  bob = await newClient(server, 'bob')
})
afterAll(() => server.stop())

const forbidden = refusal(403, 'M_FORBIDDEN')

async function roomWithBob(version = '11'): Promise<string> {
  const roomId = await alice.createRoom({ preset: 'public_chat', room_version: version })
  expect((await bob.join(roomId)).status).toBe(200)
  return roomId
}

describe('a transaction id', () => {
  it('sent again is the same event, whatever the content', async () => {
    const roomId = await roomWithBob()
    const first = await alice.inRoom('PUT', roomId, 'send/m.room.message/one', { body: 'first' })
    const second = await alice.inRoom('PUT', roomId, 'send/m.room.message/one', { body: 'second' })
    expect(second.body).toEqual(first.body)
    expect((await alice.event(roomId, textOf(first.body, 'event_id'))).body).toMatchObject({
      content: { body: 'first' },
      unsigned: { transaction_id: 'one' },
    })
  })

  it('is that of one device, one room and one path', async () => {
    const [one, two] = [await roomWithBob(), await roomWithBob()]
    const target = await alice.send(one, { body: 'target' })
    const events = [
      await alice.inRoom('PUT', one, 'send/m.room.message/same', { body: 'x' }),
      await bob.inRoom('PUT', one, 'send/m.room.message/same', { body: 'x' }),
      await alice.inRoom('PUT', two, 'send/m.room.message/same', { body: 'x' }),
      await alice.inRoom('PUT', one, 'send/m.reaction/same', { body: 'x' }),
      await alice.inRoom('PUT', one, `redact/${target}/same`, {}),
    ].map(({ body }) => body['event_id'])
    expect(new Set(events).size).toBe(5)
  })

  it('works again after the sender has lost the right to send', async () => {
    const roomId = await roomWithBob()
    const first = await bob.inRoom('PUT', roomId, 'send/m.room.message/late', { body: 'x' })
    await bob.leave(roomId)
    expect((await bob.inRoom('PUT', roomId, 'send/m.room.message/late', { body: 'x' })).body).toEqual(
      first.body,
    )
    expect(await bob.inRoom('PUT', roomId, 'send/m.room.message/later', { body: 'x' })).toEqual(forbidden)
  })
})

describe('sending', () => {
  it('is for members, whether or not there is such a room', async () => {
    const roomId = await alice.createRoom({ preset: 'public_chat' })
    const path = 'send/m.room.message/t'
    expect(await bob.inRoom('PUT', roomId, path, {})).toEqual(forbidden)
    expect(await bob.inRoom('PUT', '!nowhere:test.local', path, {})).toEqual(forbidden)
    expect(await bob.inRoom('PUT', 'nowhere', path, {})).toEqual(refusal(400, 'M_INVALID_PARAM'))
  })

  it.each([['1.5'], ['9007199254740992']])('takes no number like %s', async (number) => {
    const roomId = await roomWithBob()
    const response = await server.fetch(`/_matrix/client/v3/rooms/${roomId}/send/m.test/n${number}`, {
      method: 'PUT',
      headers: { Authorization: `Bearer ${alice.token}` },
      body: `{"body": ${number}}`,
    })
    expect({ status: response.status, body: await response.json() }).toEqual(refusal(400, 'M_BAD_JSON'))
  })

  it('takes no event of more than 64 KiB', async () => {
    const roomId = await roomWithBob()
    const large = await alice.inRoom('PUT', roomId, 'send/m.test/large', { body: 'x'.repeat(66_000) })
    expect(large).toEqual(refusal(413, 'M_TOO_LARGE'))
  })
})

describe('state', () => {
  it('is set by three forms of the path', async () => {
    const roomId = await roomWithBob()
    const set = (rest: string, name: string) => alice.inRoom('PUT', roomId, `state/${rest}`, { name })
    expect((await set('m.room.name', 'one')).status).toBe(200)
    expect(await alice.state(roomId, 'm.room.name')).toEqual({ name: 'one' })
    expect((await set('m.room.name/', 'two')).status).toBe(200)
    expect(await alice.state(roomId, 'm.room.name')).toEqual({ name: 'two' })
    expect((await set('org.test/a%2Fb', 'three')).status).toBe(200)
    expect(await alice.state(roomId, 'org.test', 'a/b')).toEqual({ name: 'three' })
  })

  it('set to what it is makes no event', async () => {
    const roomId = await roomWithBob()
    const first = await alice.setState(roomId, 'm.room.name', { name: 'same' })
    expect((await alice.setState(roomId, 'm.room.name', { name: 'same' })).body).toEqual(first.body)
  })

  it('needs the power for it', async () => {
    const roomId = await roomWithBob()
    expect(await bob.setState(roomId, 'm.room.name', { name: 'x' })).toEqual(forbidden)
    expect(await bob.setState(roomId, 'm.room.power_levels', { users: { [bob.userId]: 100 } })).toEqual(
      forbidden,
    )
  })

  it('of its creation stays as it is', async () => {
    for (const version of ['11', '12']) {
      const roomId = await roomWithBob(version)
      const content = { room_version: version, entropy: 100 }
      expect(await alice.setState(roomId, 'm.room.create', content)).toEqual(refusal(400, 'M_INVALID_PARAM'))
    }
  })

  it('lists no creators in the power levels of version 12', async () => {
    const roomId = await roomWithBob('12')
    const answer = await alice.setState(roomId, 'm.room.power_levels', { users: { [alice.userId]: 100 } })
    expect(answer).toEqual(refusal(400, 'M_BAD_JSON'))
  })

  it('names aliases that point to the room, and none besides', async () => {
    const [roomId, other] = [await roomWithBob(), await roomWithBob()]
    await alice.setAlias('#here:test.local', roomId)
    await alice.setAlias('#there:test.local', other)
    const set = (content: Record<string, string | null | string[]>) =>
      alice.setState(roomId, 'm.room.canonical_alias', content)
    const bad = refusal(400, 'M_BAD_ALIAS')
    const invalid = refusal(400, 'M_INVALID_PARAM')
    expect((await set({ alias: '#here:test.local', alt_aliases: ['#here:test.local'] })).status).toBe(200)
    expect(await set({ alias: '#there:test.local' })).toEqual(bad)
    expect(await set({ alias: '#missing:test.local' })).toEqual(bad)
    expect(await set({ alias: '#here:other.org' })).toEqual(bad)
    expect(await set({ alias: '#here:test.local', alt_aliases: ['#there:test.local'] })).toEqual(bad)
    expect(await set({ alias: '%nonsense:test.local' })).toEqual(invalid)
    expect(await set({ alt_aliases: ['nonsense'] })).toEqual(invalid)
    expect(await set({ alt_aliases: '#here:test.local' })).toEqual(invalid)
    expect((await set({ alias: null })).status).toBe(200)
  })

  it('may go on naming an alias that points here no more', async () => {
    const roomId = await roomWithBob()
    await alice.setAlias('#gone:test.local', roomId)
    await alice.setAlias('#stays:test.local', roomId)
    await alice.setState(roomId, 'm.room.canonical_alias', { alias: '#gone:test.local' })
    const db = await server.mf.getD1Database('DB')
    await db.prepare('DELETE FROM room_aliases WHERE alias = ?').bind('#gone:test.local').run()
    const both = { alias: '#gone:test.local', alt_aliases: ['#stays:test.local'] }
    expect((await alice.setState(roomId, 'm.room.canonical_alias', both)).status).toBe(200)
  })
})

describe('a redaction', () => {
  it.each(['1', '2', '3', '10', '11', '12'])('in version %s takes the content away', async (version) => {
    const roomId = await roomWithBob(version)
    const eventId = await bob.send(roomId, { body: 'oops' })
    expect((await bob.redact(roomId, eventId, { reason: 'typo' })).status).toBe(200)
    expect((await alice.event(roomId, eventId)).body).toMatchObject({
      content: {},
      unsigned: { redacted_because: { sender: bob.userId, content: { reason: 'typo' } } },
    })
  })

  it.each(['1', '10', '11'])('name what they redact in both places in version %s', async (version) => {
    const roomId = await roomWithBob(version)
    const eventId = await alice.send(roomId, { body: 'oops' })
    const redaction = textOf((await alice.redact(roomId, eventId)).body, 'event_id')
    const named = { type: 'm.room.redaction', redacts: eventId, content: { redacts: eventId } }
    expect((await bob.event(roomId, redaction)).body).toMatchObject(named)
    expect((await bob.event(roomId, eventId)).body).toMatchObject({ unsigned: { redacted_because: named } })
    const { rooms } = (await bob.done('GET', '/sync')) as {
      rooms: { join: Record<string, { timeline: { events: unknown[] } }> }
    }
    expect(rooms.join[roomId]?.timeline.events.at(-1)).toMatchObject(named)
  })

  it.each(['10', '11'])('sent as an event works in version %s as well', async (version) => {
    const roomId = await roomWithBob(version)
    const eventId = await alice.send(roomId, { body: 'oops' })
    await alice.send(roomId, { redacts: eventId }, 'm.room.redaction')
    expect((await alice.event(roomId, eventId)).body).toMatchObject({ content: {} })
  })

  it('of events of others needs the power for it, in all its forms', async () => {
    const roomId = await roomWithBob()
    const eventId = await alice.send(roomId, { body: 'mine' })
    expect(await bob.redact(roomId, eventId)).toEqual(forbidden)
    const asEvent = await bob.inRoom('PUT', roomId, 'send/m.room.redaction/r', { redacts: eventId })
    expect(asEvent).toEqual(forbidden)
    await alice.setState(roomId, 'm.room.power_levels', {
      users: { [alice.userId]: 100 },
      events: { 'm.room.redaction': 0 },
    })
    expect(await bob.setState(roomId, 'm.room.redaction', { redacts: eventId })).toEqual(forbidden)
    expect((await bob.event(roomId, eventId)).body).toMatchObject({ content: { body: 'mine' } })
    const bobEvent = await bob.send(roomId, { body: 'his' })
    expect((await alice.redact(roomId, bobEvent)).status).toBe(200)
  })

  it('MSC2870: of server ACLs, encryption and the create event is refused, as they would lose their meaning', async () => {
    const roomId = await roomWithBob('11')
    const acl = { allow: ['*'], deny: ['evil.example'] }
    await alice.setState(roomId, 'm.room.server_acl', acl)
    await alice.setState(roomId, 'm.room.encryption', { algorithm: 'm.megolm.v1.aes-sha2' })
    for (const type of ['m.room.server_acl', 'm.room.encryption', 'm.room.create']) {
      const { body } = await alice.inRoom('GET', roomId, `state/${type}/?format=event`)
      expect(await alice.redact(roomId, textOf(body, 'event_id')), type).toEqual(forbidden)
    }
    expect(await alice.state(roomId, 'm.room.server_acl')).toEqual(acl)
  })

  it('needs an event of the room', async () => {
    const [roomId, other] = [await roomWithBob(), await roomWithBob()]
    const elsewhere = await alice.send(other, { body: 'x' })
    expect(await alice.redact(roomId, elsewhere)).toEqual(refusal(404, 'M_NOT_FOUND'))
    expect(await alice.redact(roomId, 'nonsense')).toEqual(refusal(400, 'M_INVALID_PARAM'))
    const untargeted = await alice.inRoom('PUT', roomId, 'send/m.room.redaction/u', {})
    expect(untargeted).toEqual(refusal(400, 'M_MISSING_PARAM'))
  })

  it('leaves alone what the room stands on', async () => {
    const roomId = await roomWithBob()
    const acl = await alice.setState(roomId, 'm.room.server_acl', { allow: ['*'] })
    expect(await alice.redact(roomId, textOf(acl.body, 'event_id'))).toEqual(forbidden)
    const encryption = await alice.setState(roomId, 'm.room.encryption', {
      algorithm: 'm.megolm.v1.aes-sha2',
    })
    expect(await alice.redact(roomId, textOf(encryption.body, 'event_id'))).toEqual(forbidden)
  })
})
