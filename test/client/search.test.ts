// Searching: what is found, in which order, with what around it, and what is not found.

import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import type { JsonObject, JsonValue } from '../../src/matrix/json.ts'
import { newClient, refusal, type RoomClient } from '../support/room-client.ts'
import { startServer, type TestServer } from '../support/server.ts'

let server: TestServer
let alice: RoomClient
let bob: RoomClient
let people = 0
beforeAll(async () => {
  server = await startServer()
})
beforeEach(async () => {
  people += 1
  alice = await newClient(server, `alice${people}`)
  bob = await newClient(server, `bob${people}`)
})
afterAll(() => server.stop())

const text = (body: string) => ({ msgtype: 'm.text', body })

interface Results {
  readonly count: number
  readonly highlights: string[]
  readonly results: { rank: number; result: JsonObject; context?: JsonObject }[]
  readonly next_batch?: string
  readonly state?: Record<string, JsonObject[]>
  readonly groups?: JsonObject
}

async function search(of: RoomClient, term: string, more: JsonObject = {}, batch?: string): Promise<Results> {
  const query = batch === undefined ? '' : `?next_batch=${batch}`
  const body = { search_categories: { room_events: { search_term: term, ...more } } }
  const answer = await of.done('POST', `/search${query}`, body)
  return (answer['search_categories'] as JsonObject)['room_events'] as unknown as Results
}

const bodies = ({ results }: Results) =>
  results.map(({ result }) => {
    const content = result['content'] as JsonObject
    return content['body'] ?? content['name'] ?? content['topic']
  })

test('events are found by their words, whatever their case and whatever stands around them', async () => {
  const roomId = await alice.createRoom({ name: 'The Pear Room', topic: 'All about pears' })
  for (const body of ['An apple.', 'APPLES and pears', 'pineapple', 'Äpfel "und" Bïrnen', '100%_\\ sure']) {
    await alice.send(roomId, text(body))
  }
  expect(bodies(await search(alice, 'apple', { order_by: 'recent' }))).toEqual([
    'APPLES and pears',
    'An apple.',
  ])
  expect(bodies(await search(alice, 'pear apple'))).toEqual(['APPLES and pears'])
  expect(bodies(await search(alice, 'äpfel'))).toEqual(['Äpfel "und" Bïrnen'])
  expect(bodies(await search(alice, '"und"'))).toEqual(['Äpfel "und" Bïrnen'])
  expect(bodies(await search(alice, '100%'))).toEqual(['100%_\\ sure'])
  expect(bodies(await search(alice, 'pear', { order_by: 'recent' }))).toEqual([
    'APPLES and pears',
    'All about pears',
    'The Pear Room',
  ])
  expect(bodies(await search(alice, 'pear', { keys: ['content.name'] }))).toEqual(['The Pear Room'])
  const long = 'Donaudampfschifffahrtselektrizitätenhauptbetriebswerkbauunterbeamtengesellschaft'
  const plain = 'x'.repeat(100)
  for (const body of [long, plain]) {
    await alice.send(roomId, text(body))
    expect(bodies(await search(alice, body))).toEqual([body])
  }
  expect(bodies(await search(alice, 'nothing'))).toEqual([])
  expect((await search(alice, 'apple')).highlights.toSorted()).toEqual(['apple', 'apples'])
})

test('the best match comes first by rank, the newest by time', async () => {
  const roomId = await alice.createRoom()
  await alice.send(roomId, text('fish fish fish'))
  await alice.send(roomId, text('a long message in which there is one fish among many other things'))
  expect(bodies(await search(alice, 'fish'))[0]).toBe('fish fish fish')
  expect(bodies(await search(alice, 'fish', { order_by: 'recent' }))[1]).toBe('fish fish fish')
})

test('results come in pages, over all rooms, each once', async () => {
  const rooms = [await alice.createRoom(), await alice.createRoom()]
  for (let n = 0; n < 12; n++) await alice.send(rooms[n % 2] ?? '', text(`needle ${n}`))
  for (const order_by of ['recent', 'rank']) {
    const pages: (JsonValue | undefined)[][] = []
    let batch: string | undefined
    for (let asked = 0; asked < 5; asked++) {
      const page = await search(alice, 'needle', { order_by, filter: { limit: 5 } }, batch)
      expect(page.count).toBe(12)
      pages.push(bodies(page))
      batch = page.next_batch
      if (batch === undefined) break
    }
    expect(pages.map((page) => page.length)).toEqual([5, 5, 2])
    const all = Array.from({ length: 12 }, (_, n) => `needle ${11 - n}`)
    if (order_by === 'recent') expect(pages.flat()).toEqual(all)
    else expect(new Set(pages.flat())).toEqual(new Set(all))
  }
})

test('what stands around a result comes with it, with the profiles of who wrote it', async () => {
  const roomId = await alice.createRoom()
  for (let n = 0; n < 7; n++) await alice.send(roomId, text(`number ${n}`))
  const event_context = { before_limit: 2, after_limit: 1, include_profile: true }
  const { results } = await search(alice, '3', { event_context })
  const bodyOf = (events: JsonValue | undefined) =>
    (events as JsonObject[]).map(({ content }) => (content as JsonObject)['body'])
  const context = results[0]?.context
  expect(bodyOf(context?.['events_before'])).toEqual(['number 2', 'number 1'])
  expect(bodyOf(context?.['events_after'])).toEqual(['number 4'])
  expect(context?.['profile_info']).toHaveProperty([alice.userId])
  const start = context?.['start'] as string
  const page = await alice.inRoom('GET', roomId, `messages?dir=b&limit=1&from=${start}`)
  expect(bodyOf(page.body['chunk'])).toEqual(['number 0'])
})

test('filters, groups and state are as asked for', async () => {
  const one = await alice.createRoom({ preset: 'public_chat' })
  const two = await alice.createRoom()
  await bob.join(one)
  await alice.send(one, text('word by alice'))
  await bob.send(one, text('word by bob'))
  await alice.send(two, text('word elsewhere'))
  const filtered = async (filter: JsonObject) =>
    bodies(await search(alice, 'word', { filter, order_by: 'recent' }))
  expect(await filtered({ rooms: [two] })).toEqual(['word elsewhere'])
  expect(await filtered({ not_rooms: [two] })).toEqual(['word by bob', 'word by alice'])
  expect(await filtered({ senders: [bob.userId] })).toEqual(['word by bob'])
  expect(await filtered({ types: ['m.room.name'] })).toEqual([])
  const groupings = { group_by: [{ key: 'room_id' }, { key: 'sender' }] }
  const found = await search(alice, 'word', { groupings, include_state: true })
  expect(found.groups).toMatchObject({
    room_id: { [one]: { results: { length: 2 } }, [two]: { results: { length: 1 } } },
    sender: { [bob.userId]: { results: { length: 1 } } },
  })
  expect(Object.keys(found.state ?? {}).toSorted()).toEqual([one, two].toSorted())
  expect(found.state?.[one]?.some(({ type }) => type === 'm.room.create')).toBe(true)
})

describe('is not found', () => {
  test('what was redacted', async () => {
    const roomId = await alice.createRoom()
    const eventId = await alice.send(roomId, text('regretted'))
    expect(bodies(await search(alice, 'regretted'))).toEqual(['regretted'])
    await alice.redact(roomId, eventId)
    expect(await search(alice, 'regretted')).toMatchObject({ count: 0, results: [] })
  })

  test('what was said in rooms of others, before one came, or after one left', async () => {
    const closed = await alice.createRoom()
    await alice.send(closed, text('secret closed'))
    const rules = {
      type: 'm.room.history_visibility',
      state_key: '',
      content: { history_visibility: 'joined' },
    }
    const roomId = await alice.createRoom({ preset: 'public_chat', initial_state: [rules] })
    await alice.send(roomId, text('secret before'))
    await bob.join(roomId)
    await alice.send(roomId, text('secret between'))
    await bob.leave(roomId)
    await alice.send(roomId, text('secret after'))
    const found = await search(bob, 'secret')
    expect(bodies(found)).toEqual(['secret between'])
    expect(found.count).toBe(1)
    await bob.inRoom('POST', roomId, 'forget', {})
    expect(bodies(await search(bob, 'secret'))).toEqual([])
  })
})

test('a server that may ask few rooms searches the others with the next page', async () => {
  const small = await startServer({ vars: { ROOMS_PER_SYNC: '12' } })
  try {
    const carol = await newClient(small, 'carol')
    for (let n = 0; n < 5; n++) await carol.send(await carol.createRoom(), text(`thing ${n}`))
    const found: (JsonValue | undefined)[] = []
    let batch: string | undefined
    for (let asked = 0; asked < 4; asked++) {
      const page = await search(carol, 'thing', { order_by: 'recent' }, batch)
      found.push(...bodies(page))
      batch = page.next_batch
      if (batch === undefined) break
    }
    expect(new Set(found)).toEqual(new Set(Array.from({ length: 5 }, (_, n) => `thing ${n}`)))
  } finally {
    await small.stop()
  }
})

test.each<[JsonValue, string]>([
  [{}, 'M_MISSING_PARAM'],
  [{ search_categories: { room_events: {} } }, 'M_MISSING_PARAM'],
  [{ search_categories: { room_events: { search_term: 1 } } }, 'M_BAD_JSON'],
  [{ search_categories: { room_events: { search_term: 'x', keys: ['content.url'] } } }, 'M_BAD_JSON'],
  [{ search_categories: { room_events: { search_term: 'x', order_by: 'x' } } }, 'M_BAD_JSON'],
  [{ search_categories: { room_events: { search_term: 'x', filter: { limit: 'x' } } } }, 'M_INVALID_PARAM'],
])('%j is refused', async (body, errcode) => {
  expect(await alice.call('POST', '/search', body)).toEqual(refusal(400, errcode))
})

test.each(['x', 'e30', 'bnVsbA'])(
  'the token %s is refused, and no categories find nothing',
  async (token) => {
    const body = { search_categories: { room_events: { search_term: 'x' } } }
    expect(await alice.call('POST', `/search?next_batch=${token}`, body)).toEqual(
      refusal(400, 'M_INVALID_PARAM'),
    )
    expect(await alice.done('POST', '/search', { search_categories: {} })).toEqual({ search_categories: {} })
  },
)

test('encrypted rooms are not searched, whatever of them could be read', async () => {
  const roomId = await alice.createRoom({ name: 'Quinces everywhere' })
  await alice.send(roomId, text('quinces'))
  expect((await search(alice, 'quinces')).count).toBe(2)
  await alice.setState(roomId, 'm.room.encryption', { algorithm: 'm.megolm.v1.aes-sha2' })
  expect(await search(alice, 'quinces')).toMatchObject({ count: 0, results: [] })
})

test('topics are found by their plain text in both forms', async () => {
  const roomId = await alice.createRoom()
  const topic = {
    topic: 'Old form of medlars',
    'm.topic': {
      'm.text': [
        { mimetype: 'text/html', body: 'New <b>rowans</b>' },
        { mimetype: 'text/plain', body: 'New form of medlars and rowans' },
      ],
    },
  }
  const sent = await alice.setState(roomId, 'm.room.topic', topic)
  for (const term of ['old medlars', 'rowans', 'new form']) {
    const { results } = await search(alice, term, { keys: ['content.topic'] })
    expect(
      results.map(({ result }) => result['event_id']),
      term,
    ).toEqual([sent.body['event_id']])
  }
  expect((await search(alice, 'rowans', { keys: ['content.body', 'content.name'] })).count).toBe(0)
})
