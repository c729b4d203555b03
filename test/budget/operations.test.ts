// What the main operations may cost: the budgets of rows written and Durable Object requests, which are what an
// operator pays for. A message adds a row for an alarm only if none was armed within the last half hour, a state event
// if none comes within seconds.

import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import type { JsonValue } from '../../src/matrix/json.ts'
import { federationTransport } from '../../scripts/federation-transport.ts'
import { readWranglerConfig } from '../../scripts/wrangler-config.ts'
import { oneTimeKeys, testDevice } from '../support/device-keys.ts'
import { makeAuthority } from '../support/certificates.ts'
import { type FakeGateway, pusherBody, startFakeGateway } from '../support/fake-gateway.ts'
import { loopbackNames } from '../support/federated-server.ts'
import { startServer, type Account, type TestServer } from '../support/server.ts'
import { textOf } from '../support/text-of.ts'

const alarm = 1

const authority = makeAuthority()
let gateway: FakeGateway
let server: TestServer
let alice: Account
let bob: Account
let roomId: string
let n = 0

beforeAll(async () => {
  // As on Workers: each request looks its session up, alarms that are there for crashes alone come late.
  const { ROOM_ALARM_SECONDS = '' } = readWranglerConfig().vars
  server = await startServer({
    vars: { SESSION_CACHE: 'off', PRESENCE: 'off', ROOM_ALARM_SECONDS },
    federation: federationTransport({
      extraCa: [authority.ca],
      allowPrivateNetworks: true,
      names: loopbackNames,
    }),
  })
  gateway = await startFakeGateway(authority)
  alice = await server.register('alice')
  bob = await server.register('bob')
  const made = await call('POST', alice, '/createRoom', { preset: 'public_chat' })
  roomId = textOf(made, 'room_id')
  await call('POST', bob, `/rooms/${roomId}/join`, {})
})
afterAll(async () => {
  await gateway.stop()
  await server.stop()
})

// What happens once in the life of a room or an isolate is not part of an operation.
beforeEach(async () => {
  await say(alice)
  await call('GET', bob, '/sync')
})

async function call(method: string, { token }: Account, path: string, body?: JsonValue) {
  const options = { token, ...(body === undefined ? {} : { body }) }
  const answer = await server.request(method, `/_matrix/client/v3${path}`, options)
  expect(answer.status, JSON.stringify(answer.body)).toBe(200)
  return answer.body
}

async function say(sender: Account): Promise<string> {
  n += 1
  const sent = await call('PUT', sender, `/rooms/${roomId}/send/m.room.message/${n}`, {
    msgtype: 'm.text',
    body: `${n}`,
  })
  return textOf(sent, 'event_id')
}

async function since(account: Account): Promise<string> {
  return textOf(await call('GET', account, '/sync'), 'next_batch')
}

describe('the budget of', () => {
  it('a local message: at most 5 rows, 2 Durable Object requests before the answer, 1 look-up in D1', async () => {
    const counts = await server.measure(() => say(alice))
    expect(counts.doRowsWritten).toBeLessThanOrEqual(5)
    expect(counts.doRequests).toBe(2)
    expect(counts.d1Queries).toBe(1)
    expect(counts.d1RowsWritten).toBe(0)
  })

  it('ten local messages in a burst: at most 5 rows each', async () => {
    const counts = await server.measure(async () => {
      for (let i = 0; i < 10; i += 1) await say(alice)
    })
    expect(counts.doRowsWritten).toBeLessThanOrEqual(50)
  })

  it('a message on its own, until its room is at rest: at most 5 rows and the alarm', async () => {
    const room = textOf(await call('POST', alice, '/createRoom', { preset: 'private_chat' }), 'room_id')
    // Its state is told to the directory by an alarm.
    await new Promise((resolve) => setTimeout(resolve, 6000))
    const counts = await server.measure(async () => {
      await call('PUT', alice, `/rooms/${room}/send/m.room.message/alone`, {
        msgtype: 'm.text',
        body: 'alone',
      })
      await new Promise((resolve) => setTimeout(resolve, 6000))
    })
    expect(counts.doRowsWritten).toBeLessThanOrEqual(5 + alarm)
    expect(counts.doRequests).toBe(2)
  })

  it('a state event: at most 6 rows', async () => {
    const setTopic = (topic: string) => call('PUT', alice, `/rooms/${roomId}/state/m.room.topic/`, { topic })
    // The first of its kind costs two more.
    await setTopic('first')
    const counts = await server.measure(() => setTopic('second'))
    expect(counts.doRowsWritten).toBeLessThanOrEqual(6 + alarm)
    expect(counts.doRequests).toBe(2)
  })

  it('a read receipt: at most 2 rows and 1 request', async () => {
    const eventId = await say(alice)
    const counts = await server.measure(() =>
      call('POST', bob, `/rooms/${roomId}/receipt/m.read/${encodeURIComponent(eventId)}`, {}),
    )
    expect(counts.doRowsWritten).toBeLessThanOrEqual(2)
    expect(counts.doRequests).toBe(1)
  })

  it('typing: no row and 1 request', async () => {
    const counts = await server.measure(() =>
      call('PUT', bob, `/rooms/${roomId}/typing/${bob.userId}`, { typing: true, timeout: 1000 }),
    )
    expect(counts.doRowsWritten).toBe(0)
    expect(counts.doRequests).toBe(1)
  })

  it('a sync with nothing new: no row, 1 request, and hardly a row read', async () => {
    const token = await since(bob)
    const counts = await server.measure(() => call('GET', bob, `/sync?since=${token}`))
    expect(counts.doRowsWritten).toBe(0)
    expect(counts.doRequests).toBe(1)
    expect(counts.doRowsRead).toBeLessThanOrEqual(3)
  })

  it('a sync of a message with the member event of its sender: no row and 1 request, also for who came later', async () => {
    const filter = encodeURIComponent('{"room":{"state":{"lazy_load_members":true}}}')
    const token = await since(bob)
    await say(alice)
    const counts = await server.measure(async () => {
      const { rooms } = await call('GET', bob, `/sync?since=${token}&filter=${filter}`)
      expect(JSON.stringify(rooms)).toContain(`"state_key":"${alice.userId}"`)
    })
    expect(counts.doRowsWritten).toBe(0)
    expect(counts.doRequests).toBe(1)
  })

  it('a poll that waits in vain: no row and 1 request', async () => {
    const token = await since(bob)
    const counts = await server.measure(() => call('GET', bob, `/sync?since=${token}&timeout=500`))
    expect(counts.doRowsWritten).toBe(0)
    expect(counts.doRequests).toBe(1)
  })

  it('waking a poll by a message: nothing beyond the poll and the message', async () => {
    const token = await since(bob)
    const counts = await server.measure(async () => {
      const waiting = call('GET', bob, `/sync?since=${token}&timeout=20000`)
      await new Promise((resolve) => setTimeout(resolve, 200))
      await say(alice)
      await waiting
    })
    expect(counts.doRequests).toBe(3)
    expect(counts.doRowsWritten).toBeLessThanOrEqual(5)
  })

  it('waking many polls: what is unread in the room is read once, not by each', async () => {
    const unread = 100
    for (let i = 0; i < unread; i += 1) await say(alice)
    const waking = async (polls: number) => {
      const token = await since(bob)
      const counts = await server.measure(async () => {
        const path = `/sync?since=${token}&timeout=20000`
        const waiting = Array.from({ length: polls }, () => call('GET', bob, path))
        await new Promise((resolve) => setTimeout(resolve, 300))
        await say(alice)
        await Promise.all(waiting)
      })
      return counts.doRowsRead
    }
    const [one, five] = [await waking(1), await waking(5)]
    expect(five - one).toBeLessThan(2 * unread)
  })

  it('an upload of fifty one-time keys: 1 row and 1 request; of device keys: 3 rows more', async () => {
    const device = testDevice(alice)
    const names = (prefix: string) => Array.from({ length: 50 }, (_, i) => `${prefix}${i}`)
    const first = { device_keys: device.deviceKeys, one_time_keys: oneTimeKeys(device, names('a')) }
    const counts = await server.measure(() => call('POST', alice, '/keys/upload', first))
    expect(counts.doRowsWritten).toBeLessThanOrEqual(4)
    expect(counts.doRequests).toBe(1)
    const more = { one_time_keys: oneTimeKeys(device, names('b')) }
    const again = await server.measure(() => call('POST', alice, '/keys/upload', more))
    expect([again.doRowsWritten, again.doRequests]).toEqual([1, 1])
  })

  it('a query of keys: no row and 1 request; a claim: 1 row and 1 request', async () => {
    const query = { device_keys: { [alice.userId]: [], [bob.userId]: [] } }
    const asked = await server.measure(() => call('POST', bob, '/keys/query', query))
    expect([asked.doRowsWritten, asked.doRequests]).toEqual([0, 1])
    const device = testDevice(alice)
    await call('POST', alice, '/keys/upload', { one_time_keys: oneTimeKeys(device, ['claimed']) })
    const claim = { one_time_keys: { [alice.userId]: { [alice.deviceId]: 'signed_curve25519' } } }
    const claimed = await server.measure(() => call('POST', bob, '/keys/claim', claim))
    expect([claimed.doRowsWritten, claimed.doRequests]).toEqual([1, 1])
  })

  it('a message of somebody who had not read the last one: not a row more', async () => {
    await say(alice)
    const counts = await server.measure(() => say(bob))
    expect(counts.doRowsWritten).toBeLessThanOrEqual(5)
    expect(counts.doRequests).toBe(2)
  })

  it('a message that is pushed: 2 rows and a request to the gateway more, and an alarm a burst; its reading as much', async () => {
    const pusher = await server.register(`pusher${n}`)
    await call('POST', pusher, `/rooms/${roomId}/join`, {})
    await call('POST', pusher, '/pushers/set', pusherBody('key', gateway.url))
    const pushed = async (run: () => Promise<unknown>) => {
      const before = gateway.received.length
      return await server.measure(async () => {
        await run()
        await gateway.notified('key', before + 1)
      })
    }
    let eventId = ''
    const first = await pushed(async () => (eventId = await say(alice)))
    expect(first.doRowsWritten).toBeLessThanOrEqual(5 + 2 + 2 * alarm)
    const counts = await pushed(async () => (eventId = await say(alice)))
    expect(counts.doRowsWritten).toBeLessThanOrEqual(5 + 2)
    expect([counts.doRequests, counts.fetches, counts.d1Queries]).toEqual([2, 1, 1])
    const reading = await pushed(() =>
      call('POST', pusher, `/rooms/${roomId}/receipt/m.read/${encodeURIComponent(eventId)}`, {}),
    )
    expect(reading.doRowsWritten).toBeLessThanOrEqual(2 + 2)
    expect([reading.doRequests, reading.fetches]).toEqual([1, 1])
    const same = { ...pusherBody('key', gateway.url) }
    const again = await server.measure(() => call('POST', pusher, '/pushers/set', same))
    expect([again.doRowsWritten, again.doRequests]).toEqual([0, 1])
    await call('POST', pusher, '/pushers/set', { kind: null, app_id: 'test.app', pushkey: 'key' })
  })

  it('a gateway that is down: a row and an alarm each time it is tried, whatever waits', async () => {
    const pusher = await server.register(`pusher${n}`)
    await call('POST', pusher, `/rooms/${roomId}/join`, {})
    await call(
      'POST',
      pusher,
      '/pushers/set',
      pusherBody('key', 'https://nobody.test:9/_matrix/push/v1/notify'),
    )
    const counts = await server.measure(async () => {
      for (let i = 0; i < 10; i += 1) await say(alice)
      await expect
        .poll(() => server.logs.filter((line) => line.includes('push_failed')), { timeout: 10_000 })
        .toHaveLength(1)
    })
    expect(counts.fetches).toBe(2)
    expect(counts.doRowsWritten).toBeLessThanOrEqual(10 * (5 + 1) + 1 + 2 * alarm)
    await call('POST', pusher, '/pushers/set', { kind: null, app_id: 'test.app', pushkey: 'key' })
  })

  it('a join: at most 10 rows', async () => {
    const carol = await server.register(`carol${n}`)
    const counts = await server.measure(() => call('POST', carol, `/rooms/${roomId}/join`, {}))
    expect(counts.doRowsWritten).toBeLessThanOrEqual(10 + alarm)
    expect(counts.doRequests).toBeLessThanOrEqual(2)
  })
})
