// Subscriptions to threads, by their endpoints and in sliding sync.

import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { UserId } from '../../src/matrix/event.ts'
import type { JsonObject } from '../../src/matrix/json.ts'
import { newClient, refusal, type RoomClient, roomClient } from '../support/room-client.ts'
import { startServer, type TestServer } from '../support/server.ts'
import { slidingClient } from '../support/sliding-client.ts'
import { textOf } from '../support/text-of.ts'

const name = 'io.element.msc4308.thread_subscriptions'

let server: TestServer
beforeAll(async () => {
  server = await startServer()
})
afterAll(() => server.stop())

let users = 0
async function client(): Promise<RoomClient> {
  users += 1
  return await newClient(server, `user${users}`)
}

const pathOf = (roomId: string, root: string) =>
  `/../unstable/io.element.msc4306/rooms/${encodeURIComponent(roomId)}/thread/${encodeURIComponent(root)}/subscription`
const subscribe = (user: RoomClient, roomId: string, root: string, body: JsonObject = {}) =>
  user.call('PUT', pathOf(roomId, root), body)
const unsubscribe = (user: RoomClient, roomId: string, root: string) =>
  user.done('DELETE', pathOf(roomId, root))
const subscription = async (user: RoomClient, roomId: string, root: string) => {
  const { status, body } = await user.call('GET', pathOf(roomId, root))
  return status === 200 ? body : status
}
const page = (user: RoomClient, query = '') =>
  user.done('GET', `/../unstable/io.element.msc4308/thread_subscriptions?dir=b${query}`)

/** Somebody in a room with threads, each of one reply. */
async function withThreads(count: number) {
  const alice = await client()
  const roomId = await alice.createRoom({ preset: 'public_chat' })
  const roots: string[] = []
  for (let n = 0; n < count; n++) roots.push(await alice.send(roomId, { body: `root ${n}` }))
  const [root = ''] = roots
  return { alice, roomId, root, roots }
}

const reply = (user: RoomClient, roomId: string, root: string, relType = 'm.thread') =>
  user.send(roomId, { body: 'reply', 'm.relates_to': { rel_type: relType, event_id: root } })

const notFound = refusal(404, 'M_NOT_FOUND')
const notInThread = refusal(400, 'IO.ELEMENT.MSC4306.M_NOT_IN_THREAD')
const conflict = refusal(409, 'IO.ELEMENT.MSC4306.M_CONFLICTING_UNSUBSCRIPTION')

test('clients are told of them', async () => {
  const { body } = await server.request('GET', '/_matrix/client/versions')
  expect(body.unstable_features).toMatchObject({ 'org.matrix.msc4306': true })
})

describe('a subscription', () => {
  test('is made, seen and ended by its user alone', async () => {
    const { alice, roomId, root } = await withThreads(1)
    const bob = await client()
    await bob.join(roomId)
    expect(await subscription(alice, roomId, root)).toBe(404)
    expect((await subscribe(alice, roomId, root)).status).toBe(200)
    expect(await subscription(alice, roomId, root)).toEqual({ automatic: false })
    expect(await subscription(bob, roomId, root)).toBe(404)
    await unsubscribe(alice, roomId, root)
    await unsubscribe(alice, roomId, root)
    expect(await subscription(alice, roomId, root)).toBe(404)
  })

  test('is automatic for a reply in the thread, and nothing else', async () => {
    const { alice, roomId, roots } = await withThreads(2)
    const [root = '', other = ''] = roots
    const cause = await reply(alice, roomId, root)
    for (const wrong of [root, await reply(alice, roomId, other), await reply(alice, roomId, root, 'm.x')]) {
      expect(await subscribe(alice, roomId, root, { automatic: wrong })).toEqual(notInThread)
    }
    expect(await subscribe(alice, roomId, root, { automatic: '$nothing' })).toEqual(notFound)
    expect(await subscription(alice, roomId, root)).toBe(404)
    expect((await subscribe(alice, roomId, root, { automatic: cause })).status).toBe(200)
    expect(await subscription(alice, roomId, root)).toEqual({ automatic: true })
  })

  test('that was chosen does not become automatic, but the other way round', async () => {
    const { alice, roomId, root } = await withThreads(1)
    const automatic = await reply(alice, roomId, root)
    await subscribe(alice, roomId, root, { automatic })
    await subscribe(alice, roomId, root)
    expect(await subscription(alice, roomId, root)).toEqual({ automatic: false })
    expect((await subscribe(alice, roomId, root, { automatic })).status).toBe(200)
    expect(await subscription(alice, roomId, root)).toEqual({ automatic: false })
  })

  test('does not come back by itself for what was said before it was ended', async () => {
    const { alice, roomId, root } = await withThreads(1)
    const before = await reply(alice, roomId, root)
    await subscribe(alice, roomId, root, { automatic: before })
    const unseen = await reply(alice, roomId, root)
    await unsubscribe(alice, roomId, root)
    for (const automatic of [before, unseen]) {
      expect(await subscribe(alice, roomId, root, { automatic })).toEqual(conflict)
    }
    expect(await subscription(alice, roomId, root)).toBe(404)
    const after = await reply(alice, roomId, root)
    expect((await subscribe(alice, roomId, root, { automatic: after })).status).toBe(200)
    await unsubscribe(alice, roomId, root)
    expect((await subscribe(alice, roomId, root)).status).toBe(200)
  })

  test('is to what the user sees', async () => {
    const { alice, roomId, root } = await withThreads(1)
    const bob = await client()
    for (const [room, id] of [
      [roomId, root],
      ['!nowhere:test.local', root],
    ] as const) {
      expect(await subscribe(bob, room, id)).toEqual(notFound)
      expect(await bob.call('GET', pathOf(room, id))).toEqual(notFound)
      expect(await bob.call('DELETE', pathOf(room, id))).toEqual(notFound)
    }
    expect(await subscribe(alice, roomId, '$nothing')).toEqual(notFound)
    expect(await subscribe(alice, roomId, 'nothing')).toEqual(refusal(400, 'M_INVALID_PARAM'))
    for (const automatic of ['nothing', 1]) {
      expect(await subscribe(alice, roomId, root, { automatic })).toEqual(refusal(400, 'M_BAD_JSON'))
    }
  })

  test('costs two requests and two rows, and nothing when it is there', async () => {
    const { alice, roomId, root } = await withThreads(1)
    const first = await server.measure(() => subscribe(alice, roomId, root))
    expect(first).toMatchObject({ doRowsWritten: 2, doRequests: 2 })
    const again = await server.measure(() => subscribe(alice, roomId, root))
    expect(again).toMatchObject({ doRowsWritten: 0, doRequests: 2 })
  })
})

test('pages of subscriptions go back from the newest, between two points', async () => {
  const { alice, roomId, roots } = await withThreads(5)
  for (const root of roots) await subscribe(alice, roomId, root)
  const [first = '', second = '', ...rest] = roots
  await unsubscribe(alice, roomId, first)
  const ids = (answer: JsonObject, kind = 'subscribed') =>
    Object.keys((answer[kind] as Record<string, JsonObject> | undefined)?.[roomId] ?? {}).toSorted()
  const whole = await page(alice)
  expect(ids(whole)).toEqual([second, ...rest].toSorted())
  expect(ids(whole, 'unsubscribed')).toEqual([first])
  expect(whole).not.toHaveProperty('end')
  const newest = await page(alice, '&limit=2')
  expect(ids(newest)).toEqual([roots[4]])
  expect(ids(newest, 'unsubscribed')).toEqual([first])
  const next = await page(alice, `&limit=2&from=${textOf(newest, 'end')}`)
  expect(ids(next)).toEqual(roots.slice(2, 4).toSorted())
  const last = await page(alice, `&from=${textOf(next, 'end')}`)
  expect(ids(last)).toEqual([second])
  expect(last).not.toHaveProperty('end')
  expect(ids(await page(alice, `&to=${textOf(next, 'end')}`))).toEqual(rest.toSorted())
  for (const query of ['&from=x', '&to=x', '&limit=0', '&limit=x']) {
    const path = `/../unstable/io.element.msc4308/thread_subscriptions?dir=b${query}`
    expect(await alice.call('GET', path)).toEqual(refusal(400, 'M_INVALID_PARAM'))
  }
  const undirected = await alice.call('GET', '/../unstable/io.element.msc4308/thread_subscriptions')
  expect(undirected).toEqual(refusal(400, 'M_MISSING_PARAM'))
})

describe('sliding sync', () => {
  const asking = (limit = 10): JsonObject => ({ extensions: { [name]: { enabled: true, limit } } })
  const told = (answer: { extensions: object }) => (answer.extensions as JsonObject)[name]
  const stamp = expect.any(Number)

  test.each(['sync', 'syncAccepted'] as const)(
    'tells those there are, then what changes (%s)',
    async (form) => {
      const { alice, roomId, roots } = await withThreads(2)
      const [one = '', other = ''] = roots
      await subscribe(alice, roomId, one)
      const sliding = slidingClient(server, alice)
      const sync = (pos?: string) => sliding[form]({ ...asking(), ...(pos ? { pos } : {}) })
      const begin = await sync()
      expect(told(begin)).toEqual({
        subscribed: { [roomId]: { [one]: { automatic: false, bump_stamp: stamp } } },
      })
      expect(told(await sync(begin.pos))).toBeUndefined()
      await subscribe(alice, roomId, other, { automatic: await reply(alice, roomId, other) })
      await unsubscribe(alice, roomId, one)
      const then = await sync(begin.pos)
      expect(told(then)).toEqual({
        subscribed: { [roomId]: { [other]: { automatic: true, bump_stamp: stamp } } },
        unsubscribed: { [roomId]: { [one]: { bump_stamp: stamp } } },
      })
      // An answer that was lost comes again.
      expect(told(await sync(begin.pos))).toEqual(told(then))
      expect(told(await sync(then.pos))).toBeUndefined()
    },
  )

  test('tells nothing to those who do not ask, and everything once they do', async () => {
    const { alice, roomId, root } = await withThreads(1)
    await subscribe(alice, roomId, root)
    const sliding = slidingClient(server, alice)
    const begin = await sliding.sync({})
    expect(begin.extensions).toEqual({})
    const off = await sliding.sync({ extensions: { [name]: { enabled: false } } }, { pos: begin.pos })
    expect(off.extensions).toEqual({})
    expect(told(await sliding.sync(asking(), { pos: off.pos }))).toMatchObject({
      subscribed: { [roomId]: { [root]: {} } },
    })
  })

  test('gives the newest where there are many, and where the others begin', async () => {
    const { alice, roomId, roots } = await withThreads(4)
    const sliding = slidingClient(server, alice)
    const begin = await sliding.sync(asking())
    for (const root of roots) await subscribe(alice, roomId, root)
    const then = await sliding.sync(asking(1), { pos: begin.pos })
    const { subscribed, prev_batch: from } = told(then) as { subscribed: JsonObject; prev_batch: string }
    expect(subscribed).toEqual({ [roomId]: { [roots[3] ?? '']: { automatic: false, bump_stamp: stamp } } })
    const missing = await page(alice, `&from=${from}&to=${begin.pos}`)
    const found = (missing.subscribed as Record<string, JsonObject>)[roomId] ?? {}
    expect(Object.keys(found).toSorted()).toEqual(roots.slice(0, 3).toSorted())
    expect(missing).not.toHaveProperty('end')
    expect(await page(alice, `&from=${from}&to=${then.pos}`)).toEqual({})
  })

  test('that waits is woken', async () => {
    const { alice, roomId, root } = await withThreads(1)
    const sliding = slidingClient(server, alice)
    const begin = await sliding.sync(asking())
    const waiting = sliding.sync(asking(), { pos: begin.pos, timeout: 20_000 })
    await new Promise((waited) => setTimeout(waited, 200))
    await subscribe(alice, roomId, root)
    expect(told(await waiting)).toMatchObject({ subscribed: { [roomId]: { [root]: {} } } })
  })
})

test('they end with the account that is erased, and the server goes on from there', async () => {
  const { alice, roomId, root } = await withThreads(1)
  await subscribe(alice, roomId, root)
  const hub = await server.hub(0)
  const userId = alice.userId as UserId
  const all = { since: 0, upTo: Number.MAX_SAFE_INTEGER, limit: 10 }
  expect((await hub.threadSubscriptionsSince(userId, all)).changes).toHaveLength(1)
  const password = `password of ${alice.userId.slice(1, alice.userId.indexOf(':'))}`
  await alice.done('POST', '/account/deactivate', {
    erase: true,
    auth: { type: 'm.login.password', identifier: { type: 'm.id.user', user: alice.userId }, password },
  })
  expect((await hub.threadSubscriptionsSince(userId, all)).changes).toEqual([])
})

test('what changes after a restart is told to those who were told of all before it', async () => {
  const dataDir = await mkdtemp(join(tmpdir(), 'hearth-test-'))
  try {
    let running = await startServer({ dataDir })
    const alice = await newClient(running, 'alice')
    const roomId = await alice.createRoom()
    const [first, second] = [await alice.send(roomId, { body: '1' }), await alice.send(roomId, { body: '2' })]
    await subscribe(alice, roomId, first)
    const { pos } = await slidingClient(running, alice).sync({
      extensions: { [name]: { enabled: true } },
    })
    await running.kill()
    running = await startServer({ dataDir })
    await subscribe(roomClient(running, alice), roomId, second)
    const answer = await slidingClient(running, alice).sync(
      { extensions: { [name]: { enabled: true } } },
      { pos },
    )
    expect((answer.extensions as JsonObject)[name]).toMatchObject({
      subscribed: { [roomId]: { [second]: {} } },
    })
    await running.stop()
  } finally {
    await rm(dataDir, { recursive: true, force: true })
  }
})
