// Events that are pushed to a gateway, over TLS on the loopback interface.

import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { federationTransport } from '../../scripts/federation-transport.ts'
import type { JsonObject, JsonValue } from '../../src/matrix/json.ts'
import { makeAuthority } from '../support/certificates.ts'
import { type FakeGateway, pusherBody, startFakeGateway } from '../support/fake-gateway.ts'
import { type FederatedServer, loopbackNames, startFederatedServer } from '../support/federated-server.ts'
import { newClient, type RoomClient, roomClient } from '../support/room-client.ts'

const authority = makeAuthority()
let server: FederatedServer
let gateway: FakeGateway
beforeAll(async () => {
  server = await startFederatedServer(authority, 'hearth.test', { vars: { SENDER_BACK_OFF_SECONDS: '1' } })
  gateway = await startFakeGateway(authority)
})
afterAll(async () => {
  await gateway.stop()
  await server.stop()
})

let n = 0
let alice: RoomClient
let bob: RoomClient
let roomId: string
/** The pushkey of Bob's pusher. */
let key: string
beforeEach(async () => {
  n += 1
  key = `key${n}`
  gateway.reply = () => ({})
  alice = await newClient(server, `alice${n}`)
  bob = await newClient(server, `bob${n}`)
  roomId = await alice.createRoom({ preset: 'public_chat', name: `Room ${n}` })
  await bob.join(roomId)
})

const addPusher = (client: RoomClient, more: Readonly<Record<string, JsonValue>> = {}, pushkey = key) =>
  client.done('POST', '/pushers/set', pusherBody(pushkey, gateway.url, more))

const say = (sender: RoomClient, body = 'hello') => sender.send(roomId, { msgtype: 'm.text', body })

/** What the gateway was told of a pusher by the time that a further push has come through. */
async function toldBefore(sender: RoomClient, room = roomId): Promise<JsonObject[]> {
  const last = await sender.send(room, { msgtype: 'm.text', body: 'last' })
  for (let count = 1; ; count++) {
    const told = await gateway.notified(key, count)
    if (told.at(-1)?.['event_id'] === last) return told.slice(0, -1)
  }
}

describe('a message is pushed', () => {
  it('with all that the gateway is to be told, but not where it is', async () => {
    await alice.done('PUT', `/profile/${alice.userId}/displayname`, { displayname: 'Alice' })
    const data = { url: gateway.url, brand: 'x', default_payload: { aps: {} } }
    await addPusher(bob, { data })
    const eventId = await say(alice)
    const [notification] = await gateway.notified(key)
    expect(notification).toEqual({
      event_id: eventId,
      room_id: roomId,
      prio: 'high',
      type: 'm.room.message',
      sender: alice.userId,
      sender_display_name: 'Alice',
      room_name: `Room ${n}`,
      content: { msgtype: 'm.text', body: 'hello' },
      counts: { unread: 1 },
      devices: [
        {
          app_id: 'test.app',
          pushkey: key,
          pushkey_ts: expect.any(Number),
          data: { brand: 'x', default_payload: { aps: {} } },
          tweaks: { sound: 'default' },
        },
      ],
    })
    // Seconds, not milliseconds.
    expect(notification?.devices[0]?.['pushkey_ts']).toBeLessThan(1e11)
  })

  it('with ids alone where the pusher wants no more', async () => {
    await addPusher(bob, { data: { url: gateway.url, format: 'event_id_only' } })
    const eventId = await say(alice)
    expect(await gateway.notified(key)).toEqual([
      {
        event_id: eventId,
        room_id: roomId,
        prio: 'high',
        counts: { unread: 1 },
        devices: [expect.objectContaining({ data: { format: 'event_id_only' } })],
      },
    ])
  })

  it('once to each pusher, in order', async () => {
    await addPusher(bob)
    await addPusher(bob, {}, `${key} too`)
    const sent = [await say(alice), await say(alice), await say(alice)]
    for (const pushkey of [key, `${key} too`]) {
      const told = await gateway.notified(pushkey, 3)
      expect(told.map((notification) => notification['event_id'])).toEqual(sent)
      expect(told.at(-1)?.counts).toEqual({ unread: 3 })
    }
  })

  it('quietly in a room of many, loudly where the user is meant', async () => {
    const carol = await newClient(server, `carol${n}`)
    await carol.join(roomId)
    await addPusher(bob)
    await say(alice)
    await alice.send(roomId, { msgtype: 'm.text', body: 'you', 'm.mentions': { user_ids: [bob.userId] } })
    const [quiet, loud] = await gateway.notified(key, 2)
    expect(quiet).toMatchObject({ prio: 'low', devices: [{ tweaks: {} }] })
    expect(loud).toMatchObject({ prio: 'high', devices: [{ tweaks: { sound: 'default', highlight: true } }] })
  })
})

describe('not pushed is', () => {
  beforeEach(() => addPusher(bob))

  it('what the user has sent', async () => {
    await say(bob)
    expect(await toldBefore(alice)).toEqual([])
  })

  it('what the rules silence', async () => {
    await bob.done('PUT', `/pushrules/global/room/${encodeURIComponent(roomId)}`, { actions: [] })
    await say(alice)
    await bob.done('DELETE', `/pushrules/global/room/${encodeURIComponent(roomId)}`)
    expect(await toldBefore(alice)).toEqual([])
  })

  it('what an ignored user says', async () => {
    const carol = await newClient(server, `carol${n}`)
    await carol.join(roomId)
    const ignored = { ignored_users: { [carol.userId]: {} } }
    await bob.done('PUT', `/user/${bob.userId}/account_data/m.ignored_user_list`, ignored)
    await say(carol)
    expect(await toldBefore(alice)).toEqual([])
  })

  it('anything to a locked user, until the account is open again', async () => {
    const admin = await newClient(server, `admin${n}`)
    const db = await server.mf.getD1Database('DB')
    await db.prepare('UPDATE users SET admin = 1 WHERE user_id = ?').bind(admin.userId).run()
    const lock = (locked: boolean) =>
      admin.done('PUT', `/../v1/admin/lock/${encodeURIComponent(bob.userId)}`, { locked })
    await lock(true)
    await say(alice, 'not for those who are locked out')
    await lock(false)
    expect(await toldBefore(alice)).toEqual([])
    expect((await bob.done('GET', '/pushers'))['pushers']).toHaveLength(1)
  })

  it('an invite that the user is not shown', async () => {
    const carol = await newClient(server, `carol${n}`)
    const account = `/user/${bob.userId}/account_data/org.matrix.msc4155.invite_permission_config`
    await bob.done('PUT', account, { ignored_users: [carol.userId] })
    await carol.createRoom({ invite: [bob.userId] })
    expect(await toldBefore(alice)).toEqual([])
    expect((await bob.done('GET', '/notifications'))['notifications']).toHaveLength(1)
  })

  it('what is said once the user has left', async () => {
    const other = await alice.createRoom({ preset: 'public_chat' })
    await bob.join(other)
    await bob.leave(roomId)
    await say(alice)
    expect(await toldBefore(alice, other)).toEqual([])
  })

  it('anything to a pusher that was removed', async () => {
    await addPusher(bob, {}, `${key} gone`)
    await bob.done('POST', '/pushers/set', { kind: null, app_id: 'test.app', pushkey: `${key} gone` })
    await toldBefore(alice)
    const keys = gateway.received.flatMap(({ devices }) => devices.map((device) => device['pushkey']))
    expect(keys).not.toContain(`${key} gone`)
  })
})

it('an invite is pushed to whom it is for, with the name of the room', async () => {
  await addPusher(bob)
  const other = await alice.createRoom({ preset: 'private_chat', name: 'Secret', invite: [bob.userId] })
  const [notification] = await gateway.notified(key)
  expect(notification).toMatchObject({
    room_id: other,
    type: 'm.room.member',
    sender: alice.userId,
    user_is_target: true,
    content: { membership: 'invite' },
    prio: 'high',
  })
})

it('an invite to a room that lives elsewhere is pushed once, by what its server shows', async () => {
  const elsewhere = await startFederatedServer(authority, 'elsewhere.test')
  const zoe = await newClient(elsewhere, 'zoe')
  await addPusher(bob)
  const room = await zoe.createRoom({ preset: 'private_chat', name: 'Far away', invite: [bob.userId] })
  const [notification] = await gateway.notified(key)
  expect(notification).toMatchObject({
    event_id: expect.stringMatching(/^\$/),
    room_id: room,
    room_name: 'Far away',
    sender: zoe.userId,
    user_is_target: true,
  })
  expect(await toldBefore(alice)).toHaveLength(1)
  await elsewhere.stop()
})

describe('reading', () => {
  const read = (eventId: string) =>
    bob.inRoom('POST', roomId, `receipt/m.read/${encodeURIComponent(eventId)}`, {})

  it('tells the gateway that nothing is left, or less', async () => {
    await addPusher(bob)
    const [first, second] = [await say(alice), await say(alice)]
    await gateway.notified(key, 2)
    await read(first)
    await gateway.notified(key, 3)
    await read(second)
    const told = (await gateway.notified(key, 4)).slice(2)
    const device = expect.objectContaining({ pushkey: key })
    expect(told).toEqual([
      { prio: 'low', counts: { unread: 1 }, devices: [device] },
      { prio: 'low', counts: { unread: 0 }, devices: [device] },
    ])
  })

  it('what was read already tells it nothing more', async () => {
    const eventId = await say(alice)
    await addPusher(bob)
    await read(eventId)
    await read(eventId)
    expect(await toldBefore(alice)).toHaveLength(1)
  })
})

describe('a gateway', () => {
  it('that rejects a pushkey ends its pusher, and no other', async () => {
    await addPusher(bob)
    await addPusher(bob, {}, `${key} too`)
    gateway.reply = () => ({ rejected: [`${key} too`] })
    await say(alice)
    await gateway.notified(`${key} too`)
    await expect
      .poll(async () => (await bob.done('GET', '/pushers'))['pushers'])
      .toEqual([expect.objectContaining({ pushkey: key })])
  })

  it('that fails is told again, and what was read meanwhile is not', async () => {
    await addPusher(bob)
    let failing = true
    gateway.reply = () => ({ status: failing ? 500 : 200 })
    const eventId = await say(alice)
    await gateway.notified(key)
    const second = await say(alice)
    await bob.inRoom('POST', roomId, `receipt/m.read/${encodeURIComponent(eventId)}`, {})
    failing = false
    const told = await gateway.notified(key, 2)
    expect(told[1]).toMatchObject({ event_id: second, counts: { unread: 1 } })
  })

  it('is not followed elsewhere', async () => {
    const elsewhere = await startFakeGateway(authority, 'elsewhere.test')
    await addPusher(bob)
    gateway.reply = () => ({ status: 307, headers: { Location: elsewhere.url } })
    await say(alice)
    // The first try, and the quick one after it.
    await gateway.notified(key, 2)
    expect(elsewhere.received).toEqual([])
    await elsewhere.stop()
  })

  it('at a private address is not reached', async () => {
    const guarded = await startFederatedServer(authority, 'guarded.test', {
      federation: federationTransport({ extraCa: [authority.ca], names: loopbackNames }),
    })
    const dora = await newClient(guarded, 'dora')
    const eve = await newClient(guarded, 'eve')
    const room = await dora.createRoom({ preset: 'public_chat' })
    await eve.join(room)
    for (const host of [gateway.url, gateway.url.replace('gateway.test', '127.0.0.1')]) {
      await eve.done('POST', '/pushers/set', pusherBody(`${key} ${host}`, host))
    }
    await dora.send(room, { msgtype: 'm.text', body: 'hello' })
    await expect
      .poll(() => guarded.logs.filter((line) => line.includes('push_failed')).length, { timeout: 10_000 })
      .toBe(2)
    expect(gateway.received.flatMap(({ devices }) => devices)).not.toContainEqual(
      expect.objectContaining({ pushkey: expect.stringContaining(key) }),
    )
    const failures = guarded.logs.filter((line) => line.includes('push_failed')).join('\n')
    expect(failures).toContain('no public address')
    expect(failures).not.toContain(key)
    await guarded.stop()
  })
})

it('what was not pushed when the server fell is pushed when it is back', async () => {
  const dataDir = await mkdtemp(join(tmpdir(), 'hearth-push-'))
  const start = (tlsPort?: number) =>
    startFederatedServer(authority, 'falling.test', {
      dataDir,
      vars: { ROOM_ALARM_SECONDS: '1' },
      ...(tlsPort === undefined ? {} : { tlsPort }),
    })
  const before = await start()
  const dora = await newClient(before, 'dora')
  const eve = await newClient(before, 'eve')
  const room = await dora.createRoom({ preset: 'public_chat' })
  await eve.join(room)
  await addPusher(eve)
  // It answers, but the server is gone by then.
  gateway.reply = () => ({ status: 500 })
  const eventId = await dora.send(room, { msgtype: 'm.text', body: 'hello' })
  await gateway.notified(key)
  await before.crash()
  gateway.reply = () => ({})
  const after = await start(before.tlsPort)
  const [, again] = await gateway.notified(key, 2)
  expect(again?.['event_id']).toBe(eventId)
  expect((await roomClient(after, eve).done('GET', '/pushers'))['pushers']).toHaveLength(1)
  await after.stop()
  await rm(dataDir, { recursive: true })
})
