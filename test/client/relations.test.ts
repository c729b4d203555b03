// Events that relate to others: pages of them, what they come to on their parents, and what may not relate.

import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import type { JsonObject, JsonValue } from '../../src/matrix/json.ts'
import { newClient, refusal, type RoomClient } from '../support/room-client.ts'
import { startServer, type TestServer } from '../support/server.ts'
import { textOf } from '../support/text-of.ts'

let server: TestServer
let alice: RoomClient
let bob: RoomClient
let roomId: string
let parent: string
beforeAll(async () => {
  server = await startServer()
  alice = await newClient(server, 'alice')
  bob = await newClient(server, 'bob')
})
beforeEach(async () => {
  roomId = await alice.createRoom({ preset: 'public_chat' })
  await bob.join(roomId)
  parent = await alice.send(roomId, { msgtype: 'm.text', body: 'parent' })
})
afterAll(() => server.stop())

const v1 = (rest: string) => `/../v1/rooms/${encodeURIComponent(roomId)}/${rest}`

const relating = (rel_type: string, to: string, content: JsonObject = {}, more: JsonObject = {}) => ({
  msgtype: 'm.text',
  body: rel_type,
  ...content,
  'm.relates_to': { rel_type, event_id: to, ...more },
})
const edit = (to: string, body: string) =>
  relating('m.replace', to, { body: `* ${body}`, 'm.new_content': { msgtype: 'm.text', body } })
const reaction = (to: string, key: string): JsonObject => ({
  'm.relates_to': { rel_type: 'm.annotation', event_id: to, key },
})

const ids = (body: JsonObject) => (body['chunk'] as JsonObject[]).map((event) => event['event_id'])

async function bundle(of: RoomClient, eventId: string): Promise<JsonObject | undefined> {
  const { body } = await of.event(roomId, eventId)
  return (body['unsigned'] as JsonObject)['m.relations'] as JsonObject | undefined
}

describe('the children of an event', () => {
  test('come newest first, in pages, by type, and the other way round', async () => {
    const children: string[] = []
    for (let n = 0; n < 5; n++) children.push(await bob.send(roomId, relating('m.reference', parent)))
    const react = await bob.send(roomId, reaction(parent, '👍'), 'm.reaction')
    await bob.send(roomId, { body: 'unrelated' })
    const all = [...children, react]
    const newest = all.toReversed()
    const path = `relations/${encodeURIComponent(parent)}`
    expect(ids(await alice.done('GET', v1(path)))).toEqual(newest)
    expect(ids(await alice.done('GET', v1(`${path}?dir=f`)))).toEqual(all)
    expect(ids(await alice.done('GET', v1(`${path}/m.annotation`)))).toEqual([react])
    expect(ids(await alice.done('GET', v1(`${path}/m.annotation/m.reaction`)))).toEqual([react])
    expect(ids(await alice.done('GET', v1(`${path}/m.annotation/m.room.message`)))).toEqual([])

    for (const [dir, expected] of [['b', newest] as const, ['f', all] as const]) {
      const pages: JsonValue[][] = []
      let from = ''
      for (;;) {
        const page = await alice.done('GET', v1(`${path}?dir=${dir}&limit=2${from}`))
        pages.push(ids(page) as JsonValue[])
        if (page['next_batch'] === undefined) break
        from = `&from=${textOf(page, 'next_batch')}`
      }
      expect(pages.map((page) => page.length)).toEqual([2, 2, 2])
      expect(pages.flat()).toEqual(expected)
    }
  })

  test('come with those of their own where that is asked for', async () => {
    const reply = await bob.send(roomId, relating('m.thread', parent))
    const react = await alice.send(roomId, reaction(reply, '👍'), 'm.reaction')
    const path = `relations/${encodeURIComponent(parent)}`
    expect(ids(await alice.done('GET', v1(path)))).toEqual([reply])
    const body = await alice.done('GET', v1(`${path}?recurse=true`))
    expect(ids(body)).toEqual([react, reply])
    expect(body['recursion_depth']).toBeGreaterThanOrEqual(2)
    expect(ids(await alice.done('GET', v1(`${path}/m.annotation?recurse=true`)))).toEqual([react])
  })

  test('are shown from tokens of /sync and /messages', async () => {
    const first = await bob.send(roomId, relating('m.reference', parent))
    const { next_batch: now } = await alice.done('GET', '/sync')
    await bob.send(roomId, relating('m.reference', parent))
    const path = `relations/${encodeURIComponent(parent)}?from=${now as string}`
    expect(ids(await alice.done('GET', v1(path)))).toEqual([first])
  })

  test('of what is not there, or not to be seen, are not found', async () => {
    expect(await alice.call('GET', v1('relations/$nothing'))).toEqual(refusal(404, 'M_NOT_FOUND'))
    const stranger = await newClient(server, `stranger${Date.now()}`)
    const answer = await stranger.call('GET', v1(`relations/${encodeURIComponent(parent)}`))
    expect([403, 404]).toContain(answer.status)
  })

  test('lose their place when they are redacted', async () => {
    const child = await bob.send(roomId, relating('m.reference', parent))
    await bob.redact(roomId, child)
    expect(ids(await alice.done('GET', v1(`relations/${encodeURIComponent(parent)}`)))).toEqual([])
    expect(await bundle(alice, parent)).toBeUndefined()
  })

  test('need a known direction and token', async () => {
    const path = `relations/${encodeURIComponent(parent)}`
    expect(await alice.call('GET', v1(`${path}?dir=x`))).toEqual(refusal(400, 'M_INVALID_PARAM'))
    expect(await alice.call('GET', v1(`${path}?from=x`))).toEqual(refusal(400, 'M_INVALID_PARAM'))
    expect(await alice.call('GET', v1(`${path}?limit=x`))).toEqual(refusal(400, 'M_INVALID_PARAM'))
  })
})

describe('on its parent', () => {
  test('an edit is the newest valid one, whole', async () => {
    await alice.send(roomId, edit(parent, 'one'))
    const second = await alice.send(roomId, edit(parent, 'two'))
    // None of these is valid: by another user, without new content, of another type.
    await bob.send(roomId, edit(parent, 'three'))
    await alice.send(roomId, relating('m.replace', parent))
    await alice.send(roomId, edit(parent, 'four'), 'org.example.other')
    const found = await bundle(bob, parent)
    expect(found).toMatchObject({ 'm.replace': { event_id: second, sender: alice.userId, room_id: roomId } })
    expect(found?.['m.replace']).toMatchObject({ content: { 'm.new_content': { body: 'two' } } })
    expect((await bob.event(roomId, parent)).body).toMatchObject({ content: { body: 'parent' } })
    await alice.redact(roomId, second)
    expect(await bundle(bob, parent)).toMatchObject({
      'm.replace': { content: { 'm.new_content': { body: 'one' } } },
    })
    await alice.redact(roomId, parent)
    expect(await bundle(bob, parent)).toBeUndefined()
  })

  test('references are listed, annotations are not', async () => {
    const child = await bob.send(roomId, relating('m.reference', parent))
    await bob.send(roomId, reaction(parent, '👍'), 'm.reaction')
    expect(await bundle(alice, parent)).toEqual({ 'm.reference': { chunk: [{ event_id: child }] } })
  })

  test('a thread is its newest event with its edit, how many there are, and whether one is in it', async () => {
    await bob.send(roomId, relating('m.thread', parent))
    const last = await bob.send(roomId, relating('m.thread', parent, { body: 'last' }))
    await bob.send(roomId, edit(last, 'edited'))
    const carol = await newClient(server, `carol${Date.now()}`)
    await carol.join(roomId)
    for (const [who, participated] of [
      [alice, true] as const,
      [bob, true] as const,
      [carol, false] as const,
    ]) {
      expect(await bundle(who, parent)).toMatchObject({
        'm.thread': {
          count: 2,
          current_user_participated: participated,
          latest_event: {
            event_id: last,
            unsigned: {
              'm.relations': { 'm.replace': { content: { 'm.new_content': { body: 'edited' } } } },
            },
          },
        },
      })
    }
  })

  test('nothing counts that ignored users sent', async () => {
    const reply = await alice.send(roomId, relating('m.thread', parent))
    await bob.send(roomId, relating('m.thread', parent))
    await bob.send(roomId, relating('m.reference', parent))
    const carol = await newClient(server, `carol${Date.now()}`)
    await carol.join(roomId)
    const ignore = { ignored_users: { [bob.userId]: {} } }
    await carol.done(
      'PUT',
      `/user/${encodeURIComponent(carol.userId)}/account_data/m.ignored_user_list`,
      ignore,
    )
    const found = await bundle(carol, parent)
    expect(found).toMatchObject({ 'm.thread': { count: 1, latest_event: { event_id: reply } } })
    expect(found).not.toHaveProperty(['m.reference'])
    expect(ids(await carol.done('GET', v1(`relations/${encodeURIComponent(parent)}`)))).toEqual([reply])
  })

  test('it is the same in /messages, /context, /relations, /threads and a limited /sync', async () => {
    const { next_batch: before } = await bob.done('GET', '/sync')
    await alice.send(roomId, { body: 'what the timeline has no room for' })
    const root = await alice.send(roomId, { msgtype: 'm.text', body: 'root' })
    const ref = await bob.send(roomId, relating('m.reference', root))
    await bob.send(roomId, relating('m.thread', root))
    const room = `/rooms/${encodeURIComponent(roomId)}`
    const filter = encodeURIComponent(JSON.stringify({ room: { timeline: { limit: 3 } } }))
    const answers: Record<string, JsonObject> = {
      messages: await bob.done('GET', `${room}/messages?dir=b&limit=20`),
      context: await bob.done('GET', `${room}/context/${encodeURIComponent(root)}`),
      threads: await bob.done('GET', v1('threads')),
      'initial sync': await bob.done('GET', '/sync'),
      'limited sync': await bob.done('GET', `/sync?since=${before as string}&filter=${filter}`),
    }
    const expected = { 'm.reference': { chunk: [{ event_id: ref }] }, 'm.thread': { count: 1 } }
    for (const [name, body] of Object.entries(answers)) {
      const found = find(body, root)
      expect((found?.['unsigned'] as JsonObject | undefined)?.['m.relations'], name).toMatchObject(expected)
    }
  })

  test('state events and edits have none', async () => {
    const state = textOf((await alice.setState(roomId, 'm.room.topic', { topic: 'x' })).body, 'event_id')
    await alice.send(roomId, relating('m.reference', state))
    expect(await bundle(alice, state)).toBeUndefined()
    const edited = await alice.send(roomId, edit(parent, 'one'))
    await alice.send(roomId, relating('m.reference', edited))
    expect(await bundle(alice, edited)).toBeUndefined()
  })
})

/** The event with an id, wherever it stands. */
function find(value: JsonValue | undefined, eventId: string): JsonObject | undefined {
  if (value === null || typeof value !== 'object') return undefined
  if (!Array.isArray(value) && value['event_id'] === eventId && value['type'] !== undefined) return value
  for (const inner of Object.values(value)) {
    const found = find(inner, eventId)
    if (found) return found
  }
  return undefined
}

describe('threads', () => {
  test('are listed by their newest events, in pages', async () => {
    const roots: string[] = []
    for (let n = 0; n < 4; n++) {
      const root = await alice.send(roomId, { body: `root ${n}` })
      await alice.send(roomId, relating('m.thread', root))
      roots.push(root)
    }
    await bob.send(roomId, relating('m.thread', roots[0] ?? ''))
    const [first = '', second = '', third = '', fourth = ''] = roots
    expect(ids(await bob.done('GET', v1('threads')))).toEqual([first, fourth, third, second])
    const page = await bob.done('GET', v1('threads?limit=3'))
    expect(ids(page)).toEqual([first, fourth, third])
    const next = await bob.done('GET', v1(`threads?limit=3&from=${textOf(page, 'next_batch')}`))
    expect(ids(next)).toEqual([second])
    expect(next).not.toHaveProperty('next_batch')
    expect(ids(await bob.done('GET', v1('threads?include=participated')))).toEqual([first])
    expect(ids(await alice.done('GET', v1('threads?include=participated')))).toHaveLength(4)
  })

  test('begin redacted for those who ignore whose they are', async () => {
    await alice.send(roomId, relating('m.thread', parent))
    const carol = await newClient(server, `carol${Date.now()}`)
    await carol.join(roomId)
    const dave = await newClient(server, `dave${Date.now()}`)
    await dave.join(roomId)
    await dave.send(roomId, relating('m.thread', parent))
    const ignore = { ignored_users: { [alice.userId]: {} } }
    await carol.done(
      'PUT',
      `/user/${encodeURIComponent(carol.userId)}/account_data/m.ignored_user_list`,
      ignore,
    )
    const { chunk } = await carol.done('GET', v1('threads'))
    expect(chunk).toMatchObject([{ event_id: parent, content: {} }])
  })

  test('are refused by a wrong token, limit or inclusion, and to strangers', async () => {
    for (const query of ['from=x', 'limit=0', 'limit=x', 'include=x']) {
      expect(await bob.call('GET', v1(`threads?${query}`)), query).toEqual(refusal(400, 'M_INVALID_PARAM'))
    }
    const stranger = await newClient(server, `stranger${Date.now()}`)
    expect(await stranger.call('GET', v1('threads'))).toEqual(refusal(403, 'M_FORBIDDEN'))
  })
})

describe('may not be sent', () => {
  test('the same annotation twice, unless the first is redacted', async () => {
    const react = () => bob.inRoom('PUT', roomId, `send/m.reaction/${Math.random()}`, reaction(parent, '👍'))
    const first = await react()
    expect(first.status).toBe(200)
    expect(await react()).toEqual(refusal(400, 'M_DUPLICATE_ANNOTATION'))
    await bob.send(roomId, reaction(parent, '👎'), 'm.reaction')
    await alice.send(roomId, reaction(parent, '👍'), 'm.reaction')
    await bob.redact(roomId, textOf(first.body, 'event_id'))
    expect((await react()).status).toBe(200)
  })

  test('a thread within a thread', async () => {
    const reply = await bob.send(roomId, relating('m.thread', parent))
    const send = bob.inRoom('PUT', roomId, 'send/m.room.message/nested', relating('m.thread', reply))
    expect(await send).toEqual(refusal(400, 'M_UNKNOWN'))
  })
})
