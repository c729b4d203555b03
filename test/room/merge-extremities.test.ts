// Many forward extremities: what is said on top of them, and how they become fewer.

import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { UserId } from '../../src/matrix/event.ts'
import type { JsonObject } from '../../src/matrix/json.ts'
import {
  type TestRoom,
  join,
  publicRoom,
  receive,
  remoteUser,
  sign,
  template,
} from '../support/remote-server.ts'
import { type Account, startServer, type TestServer } from '../support/server.ts'

const bob = remoteUser('bob')

let server: TestServer
let account: Account
let alice: UserId
beforeAll(async () => {
  server = await startServer({ vars: { ROOM_ALARM_SECONDS: '1' } })
  account = await server.register('alice')
  alice = account.userId as UserId
})
afterAll(() => server.stop())

/** Events that all build upon the same one. */
async function fork(room: TestRoom, count: number, change: (n: number) => JsonObject = () => ({})) {
  const fields = await template(room, { type: 'm.room.message', sender: bob, content: { body: 'fork' } })
  const forks = Array.from({ length: count }, (_, n) =>
    sign(room, { ...fields, content: { body: `fork ${n}` }, ...change(n) }),
  )
  const receipts = await receive(room, ...forks.map(({ pdu }) => pdu))
  return { forks, receipts }
}

const extremities = async ({ room }: TestRoom) => (await room.describe()).extremities

describe('an event on top of more than ten extremities', () => {
  it.each(['2', '11'] as const)(
    'cites the auth events of the state before its ten parents, in version %s',
    async (version) => {
      const room = await publicRoom(server, alice, version)
      await join(room, bob)
      const draft = { type: 'm.room.power_levels', sender: alice, state_key: '' }
      await room.room.sendEvent({
        draft: { ...draft, content: { users: { [alice]: 100, [bob]: 100 } } },
      })
      // Deep forks, and a shallow one that alone has other power levels: it is none of the ten parents of the next event.
      const shallow = await template(room, {
        ...draft,
        sender: bob,
        content: { users: { [alice]: 100, [bob]: 100 }, ban: 60 },
      })
      const base = sign(
        room,
        await template(room, { type: 'm.room.message', sender: bob, content: { body: 'deep' } }),
      )
      await receive(room, base.pdu)
      const { receipts } = await fork(room, 11)
      expect(receipts.every(({ outcome }) => outcome === 'accepted')).toBe(true)
      const power = sign(room, shallow)
      expect(await receive(room, power.pdu)).toMatchObject([{ outcome: 'accepted' }])
      expect((await room.room.describe()).state['m.room.power_levels|']?.event_id).toBe(power.eventId)
      const said = await room.room.sendEvent({
        draft: { type: 'm.room.message', sender: alice, content: { body: 'on top' } },
      })
      const pdu = JSON.parse(await room.room.pduText(said)) as JsonObject
      expect(pdu['prev_events']).toHaveLength(10)
      expect(JSON.stringify(pdu['prev_events'])).not.toContain(power.eventId)
      expect(JSON.stringify(pdu['auth_events'])).not.toContain(power.eventId)
    },
  )

  it('is refused where the current state refuses it, whatever its parents say', async () => {
    const room = await publicRoom(server, alice, '11')
    await join(room, bob)
    const draft = { type: 'm.room.power_levels', sender: alice, state_key: '' }
    await room.room.sendEvent({ draft: { ...draft, content: { users: { [alice]: 50, [bob]: 100 } } } })
    const silence = await template(room, {
      ...draft,
      sender: bob,
      content: { users: { [alice]: 50, [bob]: 100 }, events_default: 60 },
    })
    const base = sign(
      room,
      await template(room, { type: 'm.room.message', sender: bob, content: { body: 'deep' } }),
    )
    await receive(room, base.pdu)
    await fork(room, 11)
    await receive(room, sign(room, silence).pdu)
    const attempt = room.room.sendEvent({
      draft: { type: 'm.room.message', sender: alice, content: { body: 'on top' } },
    })
    await expect(attempt).rejects.toThrow()
  })
})

describe('many extremities', () => {
  it('are merged by events that no client sees or is notified by', async () => {
    const room = await publicRoom(server, alice, '11')
    await join(room, bob)
    const first = await sync()
    await fork(room, 40)
    await expect
      .poll(() => extremities(room), { timeout: 30_000 })
      .toSatisfy((ids: string[]) => ids.length <= 10)
    const { position } = await room.room.describe()
    expect(position).toBeGreaterThan(40)
    const { rooms } = await sync(first.next_batch)
    const ofRoom = rooms?.join?.[room.roomId]
    expect(ofRoom?.timeline.events.map(({ type }) => type)).not.toContain('org.matrix.dummy_event')
    // The forks are new to alice, what merges them is not.
    expect(ofRoom?.unread_notifications?.notification_count).toBe(40)
    const page = await server.request<{ chunk: { type: string }[] }>(
      'GET',
      `/_matrix/client/v3/rooms/${encodeURIComponent(room.roomId)}/messages?dir=b&limit=100`,
      { token: account.token },
    )
    const types = page.body.chunk.map(({ type }) => type)
    expect(types.filter((type) => type === 'm.room.message')).toHaveLength(40)
    expect(types).not.toContain('org.matrix.dummy_event')
    const again = await sync(first.next_batch)
    expect(again.rooms?.join?.[room.roomId]?.unread_notifications?.notification_count).toBe(40)
  })

  it('stay where no local user may send events', async () => {
    const room = await publicRoom(server, alice, '11')
    await join(room, bob)
    await room.room.sendEvent({
      draft: {
        type: 'm.room.power_levels',
        sender: alice,
        state_key: '',
        content: { users: { [bob]: 100 }, events_default: 50 },
      },
    })
    const named = { type: 'm.room.name', state_key: '', content: { name: 'forked' } }
    await fork(room, 12, (n) => (n === 11 ? named : {}))
    const { position } = await room.room.describe()
    // The alarm, which would merge them before, has told the directory.
    const db = await server.mf.getD1Database('DB')
    const name = () => db.prepare('SELECT name FROM rooms WHERE room_id = ?').bind(room.roomId).first('name')
    await expect.poll(name, { timeout: 30_000 }).toBe('forked')
    expect(await extremities(room)).toHaveLength(12)
    expect((await room.room.describe()).position).toBe(position)
  })
})

interface Sync {
  readonly next_batch: string
  readonly rooms?: {
    readonly join?: Record<
      string,
      {
        timeline: { events: { type: string }[] }
        unread_notifications?: { notification_count: number }
      }
    >
  }
}

async function sync(since?: string): Promise<Sync> {
  const filter = JSON.stringify({ room: { timeline: { limit: 100 } } })
  const query = new URLSearchParams({ timeout: '0', filter, ...(since ? { since } : {}) })
  const path = `/_matrix/client/v3/sync?${query.toString()}`
  return (await server.request<Sync>('GET', path, { token: account.token })).body
}
