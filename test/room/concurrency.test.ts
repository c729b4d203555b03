import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { SyncPlan } from '../../src/hub/sync.ts'
import type { EventId, UserId } from '../../src/matrix/event.ts'
import { publicRoom, type TestRoom } from '../support/remote-server.ts'
import { startServer, type TestServer } from '../support/server.ts'

const alice = '@alice:test.local' as UserId

function send({ room }: TestRoom, body: string, txnId?: string): Promise<EventId> {
  const draft = { type: 'm.room.message', sender: alice, content: { msgtype: 'm.text', body } }
  return room.sendEvent({
    draft,
    ...(txnId === undefined ? {} : { transaction: { deviceId: 'D', txnId, path: 'send' } }),
  })
}

interface Page {
  readonly chunk: { readonly event_id: string; readonly type: string }[]
  readonly end?: string
}

/** The ids of all messages, by pagination from the newest backwards. */
async function paginate(server: TestServer, roomId: string, token: string): Promise<string[]> {
  const ids: string[] = []
  let from = ''
  for (let i = 0; i < 100; i += 1) {
    const path = `/_matrix/client/v3/rooms/${encodeURIComponent(roomId)}/messages?dir=b&limit=30${from}`
    const { status, body } = await server.request<Page>('GET', path, { token })
    expect(status).toBe(200)
    ids.push(...body.chunk.filter(({ type }) => type === 'm.room.message').map((event) => event.event_id))
    if (body.end === undefined) return ids
    from = `&from=${body.end}`
  }
  throw new Error('pagination does not end')
}

describe('parallel sends', () => {
  let server: TestServer
  let token: string
  beforeAll(async () => {
    server = await startServer()
    token = (await server.register('alice')).token
  })
  afterAll(() => server.stop())

  it('give an event each, all in one line, all reachable by pagination', async () => {
    const room = await publicRoom(server, alice, '11')
    const before = await room.room.describe()
    const sent = await Promise.all(Array.from({ length: 100 }, (_, i) => send(room, `${i}`)))
    expect(new Set(sent).size).toBe(100)
    const after = await room.room.describe()
    expect(after.position).toBe(before.position + 100)
    expect(after.extremities).toHaveLength(1)
    expect((await paginate(server, room.roomId, token)).toSorted()).toEqual(sent.toSorted())
  })

  it('with one transaction id give one event, in parallel and afterwards', async () => {
    const room = await publicRoom(server, alice, '11')
    const { position } = await room.room.describe()
    const sent = await Promise.all(Array.from({ length: 20 }, () => send(room, 'once', 'txn')))
    expect(new Set(sent).size).toBe(1)
    expect(await send(room, 'once', 'txn')).toBe(sent[0])
    expect((await room.room.describe()).position).toBe(position + 1)
  })
})

describe('a server that is killed in the middle of a burst of sends', () => {
  it('loses no acknowledged event and tells its users of all of them', async () => {
    const dataDir = await mkdtemp(join(tmpdir(), 'hearth-test-'))
    const acknowledged: string[] = []
    let server = await startServer({ dataDir })
    const { token } = await server.register('alice')
    const room = await publicRoom(server, alice, '11')
    const since = await syncPosition(server)
    const sends = Array.from({ length: 200 }, async (_, i) => {
      // Those that the kill cuts off were never acknowledged.
      const eventId = await send(room, `${i}`).catch(() => undefined)
      if (eventId !== undefined) acknowledged.push(eventId)
    })
    while (acknowledged.length < 20) await new Promise((resolve) => setTimeout(resolve, 1))
    await server.kill()
    await Promise.all(sends)
    expect(acknowledged.length).toBeGreaterThanOrEqual(20)

    server = await startServer({ dataDir })
    const reopened = { ...room, room: await server.room(room.roomId) }
    expect((await reopened.room.describe()).extremities).toHaveLength(1)
    expect(await paginate(server, room.roomId, token)).toEqual(expect.arrayContaining(acknowledged))
    // What the cursors on disk do not cover is told again by the alarm, without anybody asking.
    const drained = () =>
      server.logs.some((line) => line.includes('"fan_out_retried"') && line.includes(room.roomId))
    for (let i = 0; i < 100 && !drained(); i += 1) await new Promise((resolve) => setTimeout(resolve, 100))
    expect(drained()).toBe(true)
    // The next event takes along what the Hub was not told before the kill.
    const last = await send(reopened, 'after the restart')
    const told = await plan(server, since)
    const { position } = await reopened.room.describe()
    expect(told.join).toMatchObject([{ roomId: room.roomId, to: position }])
    expect(await paginate(server, room.roomId, token)).toContain(last)
    await server.stop()
    await rm(dataDir, { recursive: true, force: true })
  })
})

async function plan(server: TestServer, since?: SyncPlan['next']): Promise<SyncPlan> {
  const hub = await server.hub()
  const generation = await hub.createDevice(alice, { deviceId: 'D' })
  const request = { userId: alice, deviceId: 'D', generation, fullState: false, includeLeave: false }
  return JSON.parse(await hub.planSync({ ...request, ...(since ? { since } : {}) })) as SyncPlan
}

async function syncPosition(server: TestServer): Promise<SyncPlan['next']> {
  return (await plan(server)).next
}
