import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { JsonValue } from '../../src/matrix/json.ts'
import { startServer, type Account, type TestServer } from '../support/server.ts'
import { textOf } from '../support/text-of.ts'

let server: TestServer
let n = 0
beforeAll(async () => {
  server = await startServer()
})
afterAll(() => server.stop())

async function people(): Promise<{ alice: Account; bob: Account; roomId: string }> {
  n += 1
  const alice = await server.register(`alice${n}`)
  const bob = await server.register(`bob${n}`)
  const made = await post(alice, '/_matrix/client/v3/createRoom', { preset: 'public_chat' })
  const roomId = textOf(made, 'room_id')
  await post(bob, `/_matrix/client/v3/rooms/${roomId}/join`)
  return { alice, bob, roomId }
}

async function post(
  { token }: Account,
  path: string,
  body: JsonValue = {},
): Promise<Record<string, JsonValue>> {
  const answer = await server.request('POST', path, { token, body })
  expect(answer.status, JSON.stringify(answer.body)).toBe(200)
  return answer.body
}

let txn = 0
async function say({ token }: Account, roomId: string, body: string): Promise<string> {
  txn += 1
  const path = `/_matrix/client/v3/rooms/${roomId}/send/m.room.message/${txn}`
  const answer = await server.request('PUT', path, { token, body: { msgtype: 'm.text', body } })
  expect(answer.status, JSON.stringify(answer.body)).toBe(200)
  return textOf(answer.body, 'event_id')
}

interface SyncAnswer {
  readonly next_batch: string
  readonly rooms?: {
    readonly leave?: Record<string, object>
    readonly join?: Record<
      string,
      {
        readonly timeline?: { readonly events: { readonly event_id: string; readonly unsigned: object }[] }
        readonly state?: { readonly events: object[] }
      }
    >
  }
}

async function sync({ token }: Account, query: string) {
  return await server.request<SyncAnswer & { errcode?: string }>('GET', `/_matrix/client/v3/sync?${query}`, {
    token,
  })
}

function eventIds(answer: SyncAnswer, roomId: string): string[] {
  return (answer.rooms?.join?.[roomId]?.timeline?.events ?? []).map((event) => event.event_id)
}

describe('a sync that waits', () => {
  it('is answered by one message with that message and nothing else', async () => {
    const { alice, bob, roomId } = await people()
    const { body: first } = await sync(bob, '')
    const waiting = sync(bob, `timeout=20000&since=${first.next_batch}`)
    await new Promise((resolve) => setTimeout(resolve, 200))
    const sent = await say(alice, roomId, 'hello')
    const { body } = await waiting
    expect(eventIds(body, roomId)).toEqual([sent])
    expect(body.rooms?.join?.[roomId]?.state?.events).toEqual([])
    // No empty wake-up follows.
    const { body: after } = await sync(bob, `timeout=0&since=${body.next_batch}`)
    expect(after.rooms).toBeUndefined()
  })

  it('tells what was taken back meanwhile without its content', async () => {
    const { alice, bob, roomId } = await people()
    const { body: first } = await sync(bob, '')
    const said = await say(alice, roomId, 'not for long')
    const path = `/_matrix/client/v3/rooms/${roomId}/redact/${encodeURIComponent(said)}/back`
    const { body: redaction } = await server.request('PUT', path, { token: alice.token, body: {} })
    const { body } = await sync(bob, `timeout=0&since=${first.next_batch}`)
    expect(eventIds(body, roomId)).toEqual([said, textOf(redaction, 'event_id')])
    expect(body.rooms?.join?.[roomId]?.timeline?.events[0]).toMatchObject({
      content: {},
      unsigned: { redacted_because: { event_id: textOf(redaction, 'event_id') } },
    })
    expect(JSON.stringify(body)).not.toContain('not for long')
  })

  it('shows what was said while the user was in a room only in passing', async () => {
    const { alice, bob, roomId } = await people()
    await post(bob, `/_matrix/client/v3/rooms/${roomId}/leave`)
    const { body: first } = await sync(bob, '')
    await post(bob, `/_matrix/client/v3/rooms/${roomId}/join`)
    const said = await say(alice, roomId, 'hello')
    await post(alice, `/_matrix/client/v3/rooms/${roomId}/kick`, { user_id: bob.userId })
    const later = await say(alice, roomId, 'gone')
    const { body } = await sync(bob, `timeout=0&since=${first.next_batch}`)
    const left = JSON.stringify(body.rooms?.leave?.[roomId])
    expect(left).toContain(said)
    expect(left).not.toContain(later)
  })

  it('goes on from where it waited in vain: what others did meanwhile is not looked through again', async () => {
    const { alice, roomId } = await people()
    const carol = await server.register(`carol${n}`)
    for (let i = 0; i < 10; i += 1) await post(carol, '/_matrix/client/v3/createRoom')
    const { body: first } = await sync(carol, 'set_presence=offline')
    const typing = `/_matrix/client/v3/rooms/${roomId}/typing/${alice.userId}`
    const typed = await server.request('PUT', typing, { token: alice.token, body: { typing: true } })
    expect(typed.status).toBe(200)
    const waited = await sync(carol, `timeout=200&set_presence=offline&since=${first.next_batch}`)
    expect(waited.body.rooms).toBeUndefined()
    expect(waited.body.next_batch).not.toBe(first.next_batch)
    // Rooms tell of themselves by their alarms some seconds later.
    const again = async () =>
      (
        await server.measure(() =>
          sync(carol, `timeout=200&set_presence=offline&since=${waited.body.next_batch}`),
        )
      ).doRowsRead
    await expect.poll(again).toBeLessThan(10)
  })

  it('tells the sending device its transaction id, and no other', async () => {
    const { alice, bob, roomId } = await people()
    const [mine, theirs] = await Promise.all([sync(alice, ''), sync(bob, '')])
    await say(alice, roomId, 'hello')
    const [own, other] = await Promise.all([
      sync(alice, `since=${mine.body.next_batch}`),
      sync(bob, `since=${theirs.body.next_batch}`),
    ])
    const unsigned = (answer: SyncAnswer) => answer.rooms?.join?.[roomId]?.timeline?.events[0]?.unsigned
    expect(unsigned(own.body)).toMatchObject({ transaction_id: `${txn}`, membership: 'join' })
    expect(unsigned(other.body)).not.toHaveProperty('transaction_id')
  })

  it('goes on waiting when the news are filtered out', async () => {
    const { alice, bob, roomId } = await people()
    const { body: first } = await sync(bob, '')
    const filter = encodeURIComponent(
      JSON.stringify({ room: { timeline: { not_types: ['m.room.message'] } } }),
    )
    const waiting = sync(bob, `timeout=1500&since=${first.next_batch}&filter=${filter}`)
    await new Promise((resolve) => setTimeout(resolve, 200))
    await say(alice, roomId, 'not for you')
    const { body } = await waiting
    expect(body.rooms).toBeUndefined()
  })

  it('ends when the device is logged out, also by another device', async () => {
    const { bob } = await people()
    const { body: first } = await sync(bob, '')
    const waiting = sync(bob, `timeout=20000&since=${first.next_batch}`)
    await new Promise((resolve) => setTimeout(resolve, 200))
    await post(bob, '/_matrix/client/v3/logout')
    expect(await waiting).toMatchObject({ status: 401, body: { errcode: 'M_UNKNOWN_TOKEN' } })
  })

  it('loses nothing in a burst of sends', async () => {
    const { alice, bob, roomId } = await people()
    let { next_batch: since } = (await sync(bob, '')).body
    const sends = Array.from({ length: 50 }, (_, i) => say(alice, roomId, `${i}`))
    const seen: string[] = []
    const all = encodeURIComponent(JSON.stringify({ room: { timeline: { limit: 100 } } }))
    while (seen.length < 50) {
      const { body } = await sync(bob, `timeout=5000&since=${since}&filter=${all}`)
      const ids = eventIds(body, roomId)
      expect(ids.length).toBeGreaterThan(0)
      seen.push(...ids)
      since = body.next_batch
    }
    expect(seen.toSorted()).toEqual((await Promise.all(sends)).toSorted())
  })
})
