import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import type { EventNews, MembershipNews, RoomNews } from '../../src/hub/room-news.ts'
import type { SyncPlan } from '../../src/hub/sync.ts'
import type { SyncRequest } from '../../src/hub/sync-request.ts'
import { formatSyncToken } from '../../src/hub/sync-token.ts'
import type { EventId, RoomId, UserId } from '../../src/matrix/event.ts'
import { startServer, type TestServer } from '../support/server.ts'

let server: TestServer
let hub: Awaited<ReturnType<TestServer['hub']>>
beforeAll(async () => {
  server = await startServer()
  hub = await server.hub()
})
afterAll(() => server.stop())

let n = 0
let alice: UserId
let bob: UserId
let roomId: RoomId
beforeEach(() => {
  n += 1
  alice = `@alice${n}:test.local` as UserId
  bob = `@bob${n}:test.local` as UserId
  roomId = `!room${n}:test.local` as RoomId
})

function news(to: number, sender: UserId, fields: Partial<EventNews> = {}): EventNews {
  const eventId = `$${roomId}-${to}` as EventId
  return {
    from: to - 1,
    to,
    eventId,
    sender,
    event: {
      type: 'm.room.message',
      sender,
      event_id: eventId,
      content: { msgtype: 'm.text', body: `${to}` },
    },
    resolved: false,
    memberships: [],
    push: { memberCount: 3, senderPowerLevel: 0, notificationLevels: { room: 50 } },
    ...fields,
  }
}

function membership(to: number, userId: UserId, prev: string | null, next: string): EventNews {
  const change: MembershipNews = { userId, prev, next, ...(next === 'invite' ? { stripped: [] } : {}) }
  return news(to, userId, {
    event: { type: 'm.room.member', state_key: userId, sender: userId, content: { membership: next } },
    memberships: [change],
  })
}

async function tell(...events: EventNews[]): Promise<void> {
  const told: RoomNews = { roomId, events }
  await hub.applyRoomNews(told)
}

const generations = new Map<UserId, number>()
async function generationOf(userId: UserId): Promise<number> {
  const known = generations.get(userId) ?? (await hub.createDevice(userId, { deviceId: 'D' }))
  generations.set(userId, known)
  return known
}

async function plan(
  userId: UserId,
  since?: SyncPlan['next'],
  more: Partial<SyncRequest> = {},
): Promise<SyncPlan> {
  const request: SyncRequest = {
    userId,
    deviceId: 'D',
    generation: await generationOf(userId),
    fullState: false,
    includeLeave: false,
    ...(since ? { since } : {}),
    ...more,
  }
  return JSON.parse(await hub.planSync(request)) as SyncPlan
}

describe('the plan of a sync', () => {
  it('tells everything about joined rooms at first, and nothing when nothing is new', async () => {
    await tell(membership(1, alice, null, 'join'), news(2, alice))
    const first = await plan(alice)
    expect(first.join).toMatchObject([{ roomId, to: 2 }])
    expect(first.join[0]?.from).toBeUndefined()
    expect(await plan(alice, first.next)).toMatchObject({ idle: true, join: [] })
  })

  it('gives the range since the token, with the events that are in memory', async () => {
    await tell(membership(1, alice, null, 'join'))
    const { next } = await plan(alice)
    await tell(news(2, bob), news(3, bob))
    const { join } = await plan(alice, next)
    expect(join).toMatchObject([{ roomId, from: 1, to: 3 }])
    expect(join[0]?.news?.map(({ to }) => to)).toEqual([2, 3])
  })

  it('says nothing of rooms that the user is not in', async () => {
    await tell(membership(1, alice, null, 'join'))
    const { next } = await plan(bob)
    await tell(news(2, alice))
    expect(await plan(bob, next)).toMatchObject({ idle: true, join: [] })
  })

  it('applies news once, however often it is told', async () => {
    await tell(membership(1, alice, null, 'join'))
    const { next } = await plan(alice)
    await tell(news(2, bob))
    const once = await plan(alice, next)
    await tell(news(2, bob))
    await tell(membership(1, alice, null, 'join'), news(2, bob))
    const again = await plan(alice, next)
    expect(again.next).toEqual(once.next)
    expect(again.join[0]?.unread).toMatchObject({ notifications: 1, highlights: 0 })
  })

  it('starts a room over after a leave and a new join', async () => {
    await tell(membership(1, alice, null, 'join'))
    const { next } = await plan(alice)
    await tell(membership(2, alice, 'join', 'leave'), membership(3, alice, 'leave', 'join'))
    const { join } = await plan(alice, next)
    expect(join).toMatchObject([{ roomId, to: 3 }])
    expect(join[0]?.from).toBeUndefined()
  })

  it('ends a left room at the leave, whatever happens there afterwards', async () => {
    await tell(membership(1, alice, null, 'join'), membership(2, bob, null, 'join'))
    const { next } = await plan(alice)
    await tell(news(3, bob), membership(4, alice, 'join', 'leave'), news(5, bob))
    const left = await plan(alice, next)
    expect(left.leave).toEqual([{ roomId, from: 2, to: 4, wasJoined: true }])
    expect(left.join).toEqual([])
    await tell(news(6, bob))
    expect(await plan(alice, left.next)).toMatchObject({ idle: true })
  })

  it('tells all of a room that the user came into and went out of meanwhile', async () => {
    await tell(membership(1, bob, null, 'join'))
    const { next } = await plan(alice)
    await tell(membership(2, alice, null, 'join'), news(3, bob), membership(4, alice, 'join', 'leave'))
    expect((await plan(alice, next)).leave).toEqual([{ roomId, to: 4, wasJoined: true }])
  })

  it('offers an invite until it is answered', async () => {
    const { next } = await plan(alice)
    await tell(membership(1, alice, null, 'invite'))
    const invited = await plan(alice, next)
    expect(invited.invite).toMatchObject([{ roomId }])
    expect((await plan(alice)).invite).toMatchObject([{ roomId }])
    await tell(membership(2, alice, 'invite', 'leave'))
    expect((await plan(alice, invited.next)).leave).toMatchObject([{ roomId, wasJoined: false }])
    expect((await plan(alice)).invite).toEqual([])
  })

  it('leaves out rooms that were forgotten', async () => {
    await tell(membership(1, alice, null, 'join'), membership(2, alice, 'join', 'leave'))
    await hub.forgetRoom(alice, roomId)
    expect((await plan(alice, undefined, { includeLeave: true })).leave).toEqual([])
  })

  it('knows the position of a room at a token', async () => {
    await tell(membership(1, alice, null, 'join'), news(2, bob))
    const { next } = await plan(alice)
    await tell(news(3, bob))
    expect(await hub.roomPositionAt(alice, roomId, formatSyncToken(next))).toBe(2)
    expect(await hub.roomPositionAt(alice, roomId, 't12')).toBeUndefined()
  })
})

describe('unread counts', () => {
  it('count what push rules notify of, and highlights', async () => {
    await tell(membership(1, alice, null, 'join'), membership(2, bob, null, 'join'))
    const mention = {
      type: 'm.room.message',
      sender: bob,
      content: { body: 'hello', 'm.mentions': { user_ids: [alice] } },
    }
    await tell(news(3, bob), news(4, bob, { event: mention }))
    expect((await plan(alice)).join[0]?.unread).toMatchObject({ notifications: 2, highlights: 1 })
    // Nobody is notified of their own messages.
    expect((await plan(bob)).join[0]?.unread).toMatchObject({ notifications: 0, highlights: 0 })
  })

  it('start again behind a receipt, which never moves back', async () => {
    await tell(membership(1, alice, null, 'join'), news(2, bob), news(3, bob), news(4, bob))
    const read = (to: number) =>
      hub.setReceipt({ userId: alice, roomId, type: 'm.read', eventId: `$${roomId}-${to}` as EventId, ts: 1 })
    await read(3)
    expect((await plan(alice)).join[0]?.unread.notifications).toBe(1)
    await read(2)
    expect((await plan(alice)).join[0]?.unread.notifications).toBe(1)
    await read(4)
    expect((await plan(alice)).join[0]?.unread.notifications).toBe(0)
  })
})

describe('receipts and typing', () => {
  it('reach the others in the room, but private receipts do not', async () => {
    await tell(membership(1, alice, null, 'join'), membership(2, bob, null, 'join'), news(3, bob))
    const { next } = await plan(alice)
    const eventId = `$${roomId}-3` as EventId
    await hub.setReceipt({ userId: bob, roomId, type: 'm.read.private', eventId, ts: 1 })
    expect(await plan(alice, next)).toMatchObject({ idle: true })
    await hub.setReceipt({ userId: bob, roomId, type: 'm.read', eventId, ts: 2 })
    expect((await plan(alice, next)).join).toMatchObject([
      { roomId, from: 3, to: 3, receipts: { [eventId]: { 'm.read': { [bob]: { ts: 2 } } } } },
    ])
  })

  it('tell who types and who has stopped', async () => {
    await tell(membership(1, alice, null, 'join'), membership(2, bob, null, 'join'))
    const { next } = await plan(alice)
    await hub.setTyping({ userId: bob, roomId, typing: true, timeout: 30_000 })
    const typing = await plan(alice, next)
    expect(typing.join).toMatchObject([{ roomId, typing: [bob] }])
    await hub.setTyping({ userId: bob, roomId, typing: false, timeout: 0 })
    expect((await plan(alice, typing.next)).join).toMatchObject([{ roomId, typing: [] }])
  })

  it('has nobody typing who is no longer in the room', async () => {
    await tell(membership(1, alice, null, 'join'), membership(2, bob, null, 'join'))
    const { next } = await plan(alice)
    await hub.setTyping({ userId: bob, roomId, typing: true, timeout: 30_000 })
    const typing = await plan(alice, next)
    expect(typing.join).toMatchObject([{ roomId, typing: [bob] }])
    await tell(membership(3, bob, 'join', 'leave'))
    expect((await plan(alice, typing.next)).join).toMatchObject([{ roomId, typing: [] }])
  })
})
