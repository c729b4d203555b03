import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { UserId } from '../../src/matrix/event.ts'
import { localRoom, type LocalRoom } from '../support/local-room.ts'
import { type Account, startServer, type TestServer } from '../support/server.ts'

interface ClientEvent {
  readonly event_id: string
  readonly type: string
  readonly state_key?: string
  readonly room_id: string
  readonly sender: string
  readonly content: { readonly body?: string; readonly membership?: string }
  readonly unsigned: { readonly membership?: string; readonly transaction_id?: string }
}
interface Page {
  readonly start: string
  readonly end?: string
  readonly chunk: readonly ClientEvent[]
  readonly state?: readonly ClientEvent[]
}

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

async function page(room: LocalRoom, reader: Account, query: Record<string, string>): Promise<Page> {
  const { status, body } = await room.get<Page>(reader, 'messages', query)
  expect(status, JSON.stringify(body)).toBe(200)
  return body
}

/** Every page until there is no `end`. */
async function walk(room: LocalRoom, reader: Account, query: Record<string, string>) {
  const pages: Page[] = []
  let from: Record<string, string> = {}
  do {
    const next = await page(room, reader, { ...query, ...from })
    pages.push(next)
    from = next.end === undefined ? {} : { from: next.end }
  } while (pages.at(-1)?.end !== undefined && pages.length < 50)
  return pages
}

function ids(events: readonly ClientEvent[]): string[] {
  return events.map((event) => event.event_id)
}

function bodies(events: readonly ClientEvent[]): string[] {
  return events.flatMap(({ content }) => content.body ?? [])
}

describe('paginating', () => {
  let room: LocalRoom
  const sent: string[] = []
  beforeAll(async () => {
    room = await localRoom(server, alice)
    for (let i = 0; i < 25; i += 1) sent.push(await room.say(alice, `message ${i}`))
  })

  test('backwards gives every event once, newest first, and no end after the first event', async () => {
    const pages = await walk(room, alice, { dir: 'b', limit: '7' })
    const all = pages.flatMap(({ chunk }) => chunk)
    expect(new Set(ids(all)).size).toBe(30)
    expect(ids(all).slice(0, 25)).toEqual([...sent].reverse())
    expect(all.at(-1)?.type).toBe('m.room.create')
    expect(pages.map(({ chunk }) => chunk.length)).toEqual([7, 7, 7, 7, 2])
    expect(all.every((event) => event.room_id === room.roomId)).toBe(true)
  })

  test('forwards gives the same events in the order of the room', async () => {
    const back = (await walk(room, alice, { dir: 'b', limit: '100' })).flatMap(({ chunk }) => chunk)
    const forth = (await walk(room, alice, { dir: 'f', limit: '10' })).flatMap(({ chunk }) => chunk)
    expect(ids(forth)).toEqual(ids(back).reverse())
  })

  test('a page that ends with the first event of the room has no end', async () => {
    expect(await page(room, alice, { dir: 'b', limit: '30' })).not.toHaveProperty('end')
    expect(await page(room, alice, { dir: 'b', limit: '29' })).toHaveProperty('end')
  })

  test('ten events are given by default, and start repeats from', async () => {
    const first = await page(room, alice, { dir: 'b' })
    expect(first.chunk).toHaveLength(10)
    const second = await page(room, alice, { dir: 'b', from: first.end ?? '' })
    expect(second.start).toBe(first.end)
    expect(bodies(second.chunk)[0]).toBe('message 14')
  })

  test('turning round at a token gives the same events in reverse', async () => {
    const back = await page(room, alice, { dir: 'b', limit: '5' })
    const forth = await page(room, alice, { dir: 'f', limit: '5', from: back.end ?? '' })
    expect(ids(forth.chunk)).toEqual(ids(back.chunk).reverse())
    expect(forth).not.toHaveProperty('end')
  })

  test('nothing is given beyond to', async () => {
    const back = await page(room, alice, { dir: 'b', limit: '5' })
    const bounded = await page(room, alice, { dir: 'b', limit: '100', to: back.end ?? '' })
    expect(ids(bounded.chunk)).toEqual(ids(back.chunk))
    expect(bounded).not.toHaveProperty('end')
    const forth = await page(room, alice, { dir: 'f', limit: '100', to: back.end ?? '' })
    expect(bodies(forth.chunk).at(-1)).toBe('message 19')
  })

  test('a limit of 0 gives a token and nothing else', async () => {
    const { start, end, chunk } = await page(room, alice, { dir: 'b', limit: '0' })
    expect(chunk).toEqual([])
    expect(end).toBe(start)
  })

  test.each<[Record<string, string>, string]>([
    [{}, 'M_MISSING_PARAM'],
    [{ dir: 'x' }, 'M_INVALID_PARAM'],
    [{ dir: 'b', limit: '-1' }, 'M_INVALID_PARAM'],
    [{ dir: 'b', limit: 'many' }, 'M_INVALID_PARAM'],
    [{ dir: 'b', from: 'nonsense' }, 'M_INVALID_PARAM'],
    [{ dir: 'b', to: 't1.5' }, 'M_INVALID_PARAM'],
    [{ dir: 'b', filter: '{' }, 'M_INVALID_PARAM'],
    [{ dir: 'b', filter: '{"types":1}' }, 'M_INVALID_PARAM'],
  ])('parameters %j are refused', async (query, errcode) => {
    const { status, body } = await room.get(alice, 'messages', query)
    expect([status, body['errcode']]).toEqual([400, errcode])
  })
})

describe('tokens of a sync', () => {
  const sync = async (reader: Account, query = '') =>
    (
      await server.request<{ next_batch: string; rooms: { join: Record<string, Synced> } }>(
        'GET',
        `/_matrix/client/v3/sync?${query}`,
        { token: reader.token },
      )
    ).body
  interface Synced {
    readonly timeline: { readonly prev_batch: string; readonly events: readonly ClientEvent[] }
  }

  test('lead on from where the sync was, and back from where its timeline began', async () => {
    const room = await localRoom(server, alice)
    for (let i = 0; i < 15; i += 1) await room.say(alice, `${i}`)
    const { next_batch: next, rooms } = await sync(alice)
    const synced = rooms.join[room.roomId]?.timeline
    await room.say(alice, 'later')
    const after = await page(room, alice, { dir: 'f', from: next })
    expect(bodies(after.chunk)).toEqual(['later'])
    expect(after.start).toBe(next)
    const back = await page(room, alice, { dir: 'b', from: synced?.prev_batch ?? '', limit: '3' })
    expect(bodies(back.chunk)).toEqual(['4', '3', '2'])
    const all = await page(room, alice, { dir: 'b', from: next, limit: '1' })
    expect(bodies(all.chunk)).toEqual(['14'])
  })

  test('of one who has left since lead nowhere beyond the leave', async () => {
    const room = await localRoom(server, alice)
    await room.member(bob, 'join')
    await room.member(bob, 'leave')
    const { next_batch: next } = await sync(bob)
    await room.say(alice, 'after')
    const { next_batch: newest } = await sync(alice)
    for (const from of [next, newest]) {
      expect((await page(room, bob, { dir: 'f', from })).chunk).toEqual([])
      const { chunk } = await page(room, bob, { dir: 'b', from, limit: '1' })
      expect(chunk.map(({ content }) => content.membership)).toEqual(['leave'])
    }
  })
})

describe('a filter', () => {
  let room: LocalRoom
  beforeAll(async () => {
    room = await localRoom(server, alice)
    await room.member(bob, 'join')
    for (let i = 0; i < 3; i += 1) {
      await room.say(alice, `alice ${i}`)
      await room.say(bob, `bob ${i}`)
      await room.send(bob, 'm.sticker', { body: `sticker ${i}`, url: 'mxc://test.local/a' })
    }
  })

  const filtered = async (filter: object, query: Record<string, string> = {}) =>
    (await walk(room, alice, { dir: 'b', limit: '2', filter: JSON.stringify(filter), ...query })).flatMap(
      ({ chunk }) => chunk,
    )

  test('selects by sender, type and url over several pages', async () => {
    expect(bodies(await filtered({ senders: [bob.userId], types: ['m.room.message'] }))).toEqual([
      'bob 2',
      'bob 1',
      'bob 0',
    ])
    expect(bodies(await filtered({ contains_url: true }))).toEqual(['sticker 2', 'sticker 1', 'sticker 0'])
    const others = await filtered({ not_senders: [bob.userId], not_types: ['m.room.*'] })
    expect(others).toEqual([])
    expect(bodies(await filtered({ types: ['m.sti*'], not_senders: [alice.userId] }))).toHaveLength(3)
  })

  test('of the room itself lets its events through, of another none', async () => {
    expect(bodies(await filtered({ rooms: [room.roomId], types: ['m.sticker'] }))).toHaveLength(3)
    expect(await filtered({ not_rooms: [room.roomId] })).toEqual([])
  })

  test('gives an end where it held something back, and none on the page after', async () => {
    const filter = JSON.stringify({ types: ['m.room.create'] })
    const first = await page(room, alice, { dir: 'b', filter })
    expect(first.chunk.map(({ type }) => type)).toEqual(['m.room.create'])
    const last = await page(room, alice, { dir: 'b', filter, from: first.end ?? '' })
    expect(last.chunk).toEqual([])
    expect(last).not.toHaveProperty('end')
  })

  test('that leaves almost everything out ends the page early, and its end goes on', async () => {
    const busy = await localRoom(server, alice)
    for (let burst = 0; burst < 11; burst += 1) {
      await Promise.all(Array.from({ length: 100 }, (_, i) => busy.say(alice, `${burst}-${i}`)))
    }
    const query = { dir: 'b', limit: '1', filter: JSON.stringify({ types: ['m.room.create'] }) }
    const pages = await walk(busy, alice, query)
    expect(pages[0]?.chunk).toEqual([])
    expect(pages[0]).toHaveProperty('end')
    expect(pages.flatMap(({ chunk }) => chunk).map(({ type }) => type)).toEqual(['m.room.create'])
    expect((await page(busy, alice, { dir: 'b', limit: '5000' })).chunk).toHaveLength(1000)
  })
})

describe('lazily loaded members', () => {
  const lazy = JSON.stringify({ lazy_load_members: true })

  test('are those of the senders of the page', async () => {
    const room = await localRoom(server, alice)
    await room.member(bob, 'join')
    await room.member(carol, 'join')
    await room.say(bob, 'earlier')
    const { start } = await page(room, alice, { dir: 'b', limit: '0' })
    await room.say(carol, 'now')
    const { state } = await page(room, alice, { dir: 'f', from: start, filter: lazy })
    expect(state?.map((event) => [event.type, event.state_key, event.content.membership])).toEqual([
      ['m.room.member', carol.userId, 'join'],
    ])
    expect(await page(room, alice, { dir: 'f', from: start })).not.toHaveProperty('state')
  })

  test('are there for the sender of the first events of a room, and as they were when they spoke', async () => {
    const room = await localRoom(server, alice)
    await room.member(bob, 'join')
    await room.say(bob, 'goodbye')
    await room.member(bob, 'leave')
    const { state } = await page(room, alice, { dir: 'b', limit: '100', filter: lazy })
    const shown = state?.map((event) => [event.state_key, event.content.membership])
    expect(shown?.toSorted()).toEqual([
      [alice.userId, 'join'],
      [bob.userId, 'join'],
    ])
  })
})

describe('reading a room', () => {
  test('is refused to those who were never in it, and where there is none', async () => {
    const room = await localRoom(server, alice)
    const strange = await room.get(carol, 'messages', { dir: 'b' })
    expect([strange.status, strange.body['errcode']]).toEqual([403, 'M_FORBIDDEN'])
    const path = `/_matrix/client/v3/rooms/${encodeURIComponent('!nothing:test.local')}/messages?dir=b`
    const nothing = await server.request('GET', path, { token: carol.token })
    expect([nothing.status, nothing.body]).toEqual([403, strange.body])
    const malformed = await server.request('GET', '/_matrix/client/v3/rooms/nothing/messages?dir=b', {
      token: carol.token,
    })
    expect([malformed.status, malformed.body['errcode']]).toEqual([400, 'M_INVALID_PARAM'])
  })

  test('goes on up to their leaving for those who left', async () => {
    const room = await localRoom(server, alice)
    await room.member(bob, 'join')
    await room.say(alice, 'before')
    const leave = await room.member(bob, 'leave')
    await room.say(alice, 'after')
    const { start, chunk } = await page(room, bob, { dir: 'b', limit: '2' })
    expect(ids(chunk)[0]).toBe(leave)
    expect(bodies(chunk)).toEqual(['before'])
    // A token that is too new for them gives no more.
    const { end } = await page(room, alice, { dir: 'b', limit: '1' })
    expect(bodies((await page(room, bob, { dir: 'b', from: end ?? '' })).chunk)).toEqual(['before'])
    for (const from of [start, end ?? '']) {
      expect((await page(room, bob, { dir: 'f', from })).chunk).toEqual([])
    }
  })

  test('ends with forgetting it', async () => {
    const room = await localRoom(server, alice)
    await room.member(bob, 'join')
    await room.member(bob, 'leave')
    await (await server.hub()).forgetRoom(bob.userId as UserId, room.roomId)
    for (const path of ['messages', 'state', 'members', 'state/m.room.create']) {
      const { status, body } = await room.get(bob, path, path === 'messages' ? { dir: 'b' } : {})
      expect([path, status, body['errcode']]).toEqual([path, 403, 'M_FORBIDDEN'])
    }
    expect((await room.get(bob, 'messages')).status).toBe(403)
  })

  test('needs no membership where it is world readable', async () => {
    const room = await localRoom(server, alice, { visibility: 'world_readable' })
    await room.say(alice, 'to the world')
    expect(bodies((await page(room, carol, { dir: 'b' })).chunk)).toEqual(['to the world'])
  })

  test('skips what was said while the reader could not see it', async () => {
    const room = await localRoom(server, alice, { visibility: 'joined' })
    await room.say(alice, 'one')
    await room.member(bob, 'join')
    await room.say(alice, 'two')
    await room.member(bob, 'leave')
    await room.say(alice, 'three')
    await room.member(bob, 'join')
    await room.say(alice, 'four')
    const seen = (await walk(room, bob, { dir: 'b', limit: '2' })).flatMap(({ chunk }) => chunk)
    expect(bodies(seen)).toEqual(['four', 'two'])
    // The first events of a room, up to the one that sets the visibility, are shared.
    const own = seen.slice(0, 5)
    expect(own.map(({ content }) => content.body ?? content.membership)).toEqual([
      'four',
      'join',
      'leave',
      'two',
      'join',
    ])
    expect(own.map(({ unsigned }) => unsigned.membership)).toEqual(['join', 'join', 'leave', 'join', 'join'])
    expect(seen.at(5)?.type).toBe('m.room.history_visibility')
  })
})
