import { afterAll, beforeAll, expect, it } from 'vitest'
import type { SyncPlan } from '../../src/hub/sync.ts'
import type { SyncPosition } from '../../src/hub/sync-request.ts'
import { formatSyncToken, parseSyncToken } from '../../src/hub/sync-token.ts'
import type { EventId, RoomId, UserId } from '../../src/matrix/event.ts'
import { startServer, type TestServer } from '../support/server.ts'

let server: TestServer
let hub: Awaited<ReturnType<TestServer['hub']>>
beforeAll(async () => {
  server = await startServer({ vars: { ROOMS_PER_SYNC: '3' } })
  hub = await server.hub()
})
afterAll(() => server.stop())

const roomIds = Array.from({ length: 7 }, (_, i) => `!room${i}:test.local` as RoomId)

async function tell(userId: UserId, roomId: RoomId, to: number, next?: 'join' | 'leave'): Promise<void> {
  const prev = next === 'leave' ? 'join' : null
  await hub.applyRoomNews({
    roomId,
    events: [
      {
        from: to - 1,
        to,
        eventId: `$${userId}${roomId}${to}` as EventId,
        sender: userId,
        event: { type: 'm.room.topic', state_key: '', content: {} },
        // Such an event needs the room's own answer.
        resolved: true,
        memberships: next ? [{ userId, prev, next }] : [],
        push: { memberCount: 1, senderPowerLevel: 0, notificationLevels: {} },
      },
    ],
  })
}

const generations = new Map<UserId, number>()
async function generationOf(userId: UserId): Promise<number> {
  const known = generations.get(userId) ?? (await hub.createDevice(userId, { deviceId: 'D' }))
  generations.set(userId, known)
  return known
}

async function plan(userId: UserId, since?: SyncPosition): Promise<SyncPlan> {
  const request = {
    userId,
    deviceId: 'D',
    generation: await generationOf(userId),
    fullState: false,
    includeLeave: false,
    ...(since ? { since } : {}),
  }
  return JSON.parse(await hub.planSync(request)) as SyncPlan
}

/** Syncs until nothing is left. Answers of each sync: `room from-to`. */
async function syncAll(userId: UserId, since?: SyncPosition): Promise<string[][]> {
  const answers: string[][] = []
  let position = since
  for (let i = 0; i < 10; i += 1) {
    const { idle, join, leave, next } = await plan(userId, position)
    if (idle) return answers
    const rooms = [...join, ...leave.map((room) => ({ ...room, left: true }))]
    answers.push(rooms.map(({ roomId, from, to }) => `${roomId.slice(5, 6)} ${from ?? 'new'}-${to}`))
    position = parseSyncToken(formatSyncToken(next))
  }
  throw new Error('the syncs do not end')
}

it('an initial sync of many rooms goes on over several answers, each room once', async () => {
  const alice = '@alice:test.local' as UserId
  for (const roomId of roomIds) await tell(alice, roomId, 1, 'join')
  expect(await syncAll(alice)).toEqual([
    ['0 new-1', '1 new-1', '2 new-1'],
    ['3 new-1', '4 new-1', '5 new-1'],
    ['6 new-1'],
  ])
})

it('what happens during such a sync is told once, in rooms given before and after', async () => {
  const bob = '@bob:test.local' as UserId
  for (const [i, roomId] of roomIds.entries()) await tell(bob, roomId, 10 + i, 'join')
  const { next } = await plan(bob)
  await tell(bob, roomIds[0] as RoomId, 20)
  await tell(bob, roomIds[6] as RoomId, 20)
  const answers = await syncAll(bob, next)
  expect(answers.flat().filter((room) => room.startsWith('0'))).toEqual(['0 19-20'])
  expect(answers.flat().filter((room) => room.startsWith('6'))).toEqual(['6 new-20'])
})

it('news of more rooms than one answer may ask are cut at a position of the log, and nothing is lost', async () => {
  const carol = '@carol:test.local' as UserId
  for (const roomId of roomIds) await tell(carol, roomId, 30, 'join')
  let { next } = await plan(carol)
  while (next.given !== undefined) next = (await plan(carol, next)).next
  for (const roomId of roomIds) await tell(carol, roomId, 31)
  await tell(carol, roomIds[1] as RoomId, 32)
  await tell(carol, roomIds[5] as RoomId, 32, 'leave')
  const answers = await syncAll(carol, next)
  for (const answer of answers) expect(answer.length).toBeLessThanOrEqual(3)
  expect(answers.flat()).toEqual([
    '0 30-31',
    '1 30-31',
    '2 30-31',
    '3 30-31',
    '4 30-31',
    '5 30-31',
    '1 31-32',
    '6 30-31',
    '5 31-32',
  ])
})
