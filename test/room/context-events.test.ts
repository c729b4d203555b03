import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { UserId } from '../../src/matrix/event.ts'
import { localRoom, type LocalRoom } from '../support/local-room.ts'
import { type Account, startServer, type TestServer } from '../support/server.ts'

interface ClientEvent {
  readonly event_id: string
  readonly type: string
  readonly state_key?: string
  readonly content: { readonly body?: string; readonly topic?: string }
}
interface Around {
  readonly start: string
  readonly end: string
  readonly event: ClientEvent
  readonly events_before: readonly ClientEvent[]
  readonly events_after: readonly ClientEvent[]
  readonly state: readonly ClientEvent[]
}

let server: TestServer
let alice: Account
let bob: Account
let room: LocalRoom
const sent: string[] = []
beforeAll(async () => {
  server = await startServer()
  alice = await server.register('alice')
  bob = await server.register('bob')
  room = await localRoom(server, alice)
  for (let i = 0; i < 20; i += 1) sent.push(await room.say(alice, `${i}`))
})
afterAll(() => server.stop())

async function around(eventId: string | undefined, query: Record<string, string> = {}): Promise<Around> {
  const { status, body } = await room.get<Around>(
    alice,
    `context/${encodeURIComponent(eventId ?? '')}`,
    query,
  )
  expect(status, JSON.stringify(body)).toBe(200)
  return body
}

function bodies(events: readonly ClientEvent[]) {
  return events.map(({ content }) => content.body)
}

describe('the context of an event', () => {
  test('is ten events around it by default', async () => {
    const { event, events_before: before, events_after: after } = await around(sent[10])
    expect(event.event_id).toBe(sent[10])
    expect(bodies(before)).toEqual(['9', '8', '7', '6', '5'])
    expect(bodies(after)).toEqual(['11', '12', '13', '14', '15'])
  })

  test('gives to the past what the future does not need', async () => {
    const { events_before: before, events_after: after } = await around(sent[18], { limit: '4' })
    expect([bodies(before), bodies(after)]).toEqual([['17', '16', '15'], ['19']])
  })

  test('has tokens that lead on from both ends', async () => {
    for (const limit of ['0', '2', '6']) {
      const { start, end, events_before: before, events_after: after } = await around(sent[10], { limit })
      const half = Number(limit) / 2
      expect([before.length, after.length]).toEqual([half, half])
      const back = await room.get<{ chunk: ClientEvent[] }>(alice, 'messages', {
        dir: 'b',
        from: start,
        limit: '1',
      })
      expect(bodies(back.body.chunk)).toEqual([`${9 - half}`])
      const forth = await room.get<{ chunk: ClientEvent[] }>(alice, 'messages', {
        dir: 'f',
        from: end,
        limit: '1',
      })
      expect(bodies(forth.body.chunk)).toEqual([`${11 + half}`])
    }
  })

  test('comes with the state at its last event', async () => {
    const other = await localRoom(server, alice)
    await other.send(alice, 'm.room.topic', { topic: 'early' }, '')
    const target = await other.say(alice, 'target')
    await other.send(alice, 'm.room.topic', { topic: 'later' }, '')
    const topicWith = async (limit: string) => {
      const { body } = await other.get<Around>(alice, `context/${encodeURIComponent(target)}`, { limit })
      return body.state.find(({ type }) => type === 'm.room.topic')?.content.topic
    }
    expect([await topicWith('0'), await topicWith('2')]).toEqual(['early', 'later'])
  })

  test('filters what is around, not the event itself', async () => {
    const filter = JSON.stringify({ types: ['m.room.create'] })
    const { event, events_before: before, events_after: after, state } = await around(sent[3], { filter })
    expect(event.event_id).toBe(sent[3])
    expect(before.map(({ type }) => type)).toEqual(['m.room.create'])
    expect(after).toEqual([])
    expect(state.map(({ type }) => type)).toEqual(['m.room.create'])
  })

  test('has only the members who speak where members are loaded lazily', async () => {
    const other = await localRoom(server, alice)
    await other.member(bob, 'join')
    const target = await other.say(alice, 'target')
    const members = async (filter: object) => {
      const query = { limit: '0', filter: JSON.stringify(filter) }
      const { body } = await other.get<Around>(alice, `context/${encodeURIComponent(target)}`, query)
      return body.state.filter(({ type }) => type === 'm.room.member').map(({ state_key: key }) => key)
    }
    expect(await members({})).toEqual([alice.userId, bob.userId])
    expect(await members({ lazy_load_members: true })).toEqual([alice.userId])
  })

  test('is refused outside of the room, and not there for an event out of sight', async () => {
    const refused = await room.get(bob, `context/${encodeURIComponent(sent[0] ?? '')}`)
    expect([refused.status, refused.body['errcode']]).toEqual([403, 'M_FORBIDDEN'])
    const other = await localRoom(server, alice, { visibility: 'joined' })
    const secret = await other.say(alice, 'secret')
    await other.member(bob, 'join')
    const hidden = await other.get(bob, `context/${encodeURIComponent(secret)}`)
    expect([hidden.status, hidden.body['errcode']]).toEqual([404, 'M_NOT_FOUND'])
    const foreign = await other.get(bob, `context/${encodeURIComponent(sent[0] ?? '')}`)
    expect(foreign.status).toBe(404)
  })
})

describe('the event closest to a time', () => {
  const at = async (other: LocalRoom, reader: Account, ts: number, dir: string) => {
    const path = `/_matrix/client/v1/rooms/${encodeURIComponent(other.roomId)}/timestamp_to_event?ts=${ts}&dir=${dir}`
    return server.request('GET', path, { token: reader.token })
  }

  /** A message that claims to be of another time. */
  const sayAt = (other: LocalRoom, ts: number) =>
    other.room.sendEvent({
      draft: {
        type: 'm.room.message',
        sender: alice.userId as UserId,
        content: { body: 'x' },
        origin_server_ts: ts,
      },
    })

  test('is found in both directions, by order of the room where times are the same', async () => {
    const other = await localRoom(server, alice)
    const later = Date.now() + 1_000_000
    const first = await sayAt(other, later)
    const second = await sayAt(other, later)
    const old = await sayAt(other, 1000)
    expect((await at(other, alice, later, 'f')).body).toEqual({ event_id: first, origin_server_ts: later })
    expect((await at(other, alice, later + 5, 'b')).body).toEqual({
      event_id: second,
      origin_server_ts: later,
    })
    expect((await at(other, alice, 2000, 'b')).body['event_id']).toBe(old)
    const none = await at(other, alice, later + 1, 'f')
    expect([none.status, none.body['errcode']]).toEqual([404, 'M_NOT_FOUND'])
    expect((await at(other, alice, 999, 'b')).status).toBe(404)
    expect((await at(other, bob, later, 'f')).status).toBe(403)
    await other.member(bob, 'join')
    expect((await at(other, bob, later, 'f')).body['event_id']).toBe(first)
  })

  test('is one that the user may see', async () => {
    const other = await localRoom(server, alice, { visibility: 'joined' })
    const later = Date.now() + 1_000_000
    const secret = await sayAt(other, later)
    await other.member(bob, 'join')
    expect((await at(other, alice, later, 'f')).body['event_id']).toBe(secret)
    expect((await at(other, bob, later, 'f')).status).toBe(404)
    const open = await sayAt(other, later + 1)
    expect((await at(other, bob, later, 'f')).body['event_id']).toBe(open)
  })

  test('needs a time and a direction', async () => {
    const path = `/_matrix/client/v1/rooms/${encodeURIComponent(room.roomId)}/timestamp_to_event`
    const missing = await server.request('GET', `${path}?dir=f`, { token: alice.token })
    expect([missing.status, missing.body['errcode']]).toEqual([400, 'M_MISSING_PARAM'])
    const wrong = await server.request('GET', `${path}?dir=f&ts=yesterday`, { token: alice.token })
    expect([wrong.status, wrong.body['errcode']]).toEqual([400, 'M_INVALID_PARAM'])
  })
})
