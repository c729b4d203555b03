// Jumping to a date in a room whose older events are on another server.

import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { JsonObject, JsonValue } from '../../src/matrix/json.ts'
import { makeAuthority } from '../support/certificates.ts'
import { type FederatedServer, startFederatedServer } from '../support/federated-server.ts'
import { newClient, refusal, type RoomClient } from '../support/room-client.ts'
import { textOf } from '../support/text-of.ts'

const authority = makeAuthority()
let one: FederatedServer
let two: FederatedServer
let alice: RoomClient
let bob: RoomClient
beforeAll(async () => {
  ;[one, two] = await Promise.all([
    startFederatedServer(authority, 'one.test'),
    startFederatedServer(authority, 'two.test'),
  ])
  alice = await newClient(one, 'alice')
  bob = await newClient(two, 'bob')
})
afterAll(async () => await Promise.all([one.stop(), two.stop()]))

interface Sent {
  readonly id: string
  readonly ts: number
}

/** Sends messages, each in a millisecond of its own. */
async function talk(roomId: string, count: number): Promise<Sent[]> {
  const sent: Sent[] = []
  for (let i = 0; i < count; i++) {
    const id = await alice.send(roomId, { msgtype: 'm.text', body: `message ${i}` })
    const { body } = await alice.event(roomId, id)
    sent.push({ id, ts: Number(body['origin_server_ts']) })
    while (Date.now() <= Number(body['origin_server_ts'])) await new Promise((done) => setTimeout(done, 1))
  }
  return sent
}

async function jump(client: RoomClient, roomId: string, ts: number, dir: 'f' | 'b') {
  const path = `/_matrix/client/v1/rooms/${encodeURIComponent(roomId)}/timestamp_to_event?ts=${ts}&dir=${dir}`
  const server = client === bob ? two : one
  return await server.request('GET', path, { token: client.token })
}

const joinFromTwo = async (roomId: string) =>
  await bob.done('POST', `/join/${encodeURIComponent(roomId)}?via=${one.serverName}`, {})

const idsIn = (events: JsonValue | undefined) => (events as JsonObject[]).map((event) => event['event_id'])
const answerOf = ({ id, ts }: Sent) => ({ status: 200, body: { event_id: id, origin_server_ts: ts } })

describe('an event from before the join', () => {
  it('is found forwards and backwards', async () => {
    const roomId = await alice.createRoom({ preset: 'public_chat' })
    const [first, second, third] = await talk(roomId, 3)
    if (!first || !second || !third) throw new Error('nothing was sent')
    await joinFromTwo(roomId)
    expect(await jump(bob, roomId, second.ts, 'f')).toMatchObject(answerOf(second))
    expect(await jump(bob, roomId, second.ts - 1, 'b')).toMatchObject(answerOf(first))
    expect(await jump(bob, roomId, third.ts + 1, 'f')).not.toMatchObject(answerOf(third))
  })

  it('can be looked at, and gone on from in both directions', async () => {
    const roomId = await alice.createRoom({ preset: 'public_chat' })
    const sent = await talk(roomId, 4)
    const [, second] = sent
    if (!second) throw new Error('nothing was sent')
    await joinFromTwo(roomId)
    expect(await jump(bob, roomId, second.ts, 'b')).toMatchObject(answerOf(second))
    const { body } = await bob.inRoom('GET', roomId, `context/${encodeURIComponent(second.id)}?limit=2`)
    expect(idsIn([body['event'] ?? null])).toEqual([second.id])
    expect(idsIn(body['events_after'])).toEqual([sent[2]?.id])
    const back = await bob.inRoom('GET', roomId, `messages?dir=b&limit=100&from=${textOf(body, 'end')}`)
    expect(idsIn(back.body['chunk'])).toEqual(expect.arrayContaining([second.id, sent[0]?.id]))
    const on = await bob.inRoom('GET', roomId, `messages?dir=f&limit=100&from=${textOf(body, 'end')}`)
    expect(idsIn(on.body['chunk'])[0]).toBe(sent[3]?.id)
  })

  it('is found beyond what one request to another server brings', async () => {
    const roomId = await alice.createRoom({ preset: 'public_chat' })
    const [first] = await talk(roomId, 1)
    if (!first) throw new Error('nothing was sent')
    const { ts } = first
    await talk(roomId, 1)
    for (let i = 0; i < 130; i++) await alice.send(roomId, { msgtype: 'm.text', body: 'more' })
    await joinFromTwo(roomId)
    expect(await jump(bob, roomId, ts, 'f')).toMatchObject(answerOf(first))
    // Now it is here, and nobody is asked any more.
    const { fetches } = await two.measure(async () => {
      expect(await jump(bob, roomId, ts, 'f')).toMatchObject(answerOf(first))
    })
    expect(fetches).toBe(0)
  })

  it('is fetched alone where it lies too deep, with a way down from there', async () => {
    const roomId = await alice.createRoom({ preset: 'public_chat' })
    const [first, second, third] = await talk(roomId, 3)
    if (!first || !second || !third) throw new Error('nothing was sent')
    for (let i = 0; i < 230; i++) await alice.send(roomId, { msgtype: 'm.text', body: 'more' })
    await joinFromTwo(roomId)
    expect(await jump(bob, roomId, second.ts, 'f')).toMatchObject(answerOf(second))
    // An older one after that, and then one between.
    expect(await jump(bob, roomId, first.ts, 'b')).toMatchObject(answerOf(first))
    expect(await jump(bob, roomId, third.ts, 'b')).toMatchObject(answerOf(third))
    const { body } = await bob.inRoom('GET', roomId, `context/${encodeURIComponent(second.id)}?limit=2`)
    expect(idsIn([body['event'] ?? null])).toEqual([second.id])
    const back = await bob.inRoom('GET', roomId, `messages?dir=b&limit=100&from=${textOf(body, 'end')}`)
    expect(idsIn(back.body['chunk'])).toContain(first.id)
    expect((back.body['chunk'] as JsonObject[]).at(-1)?.['type']).toBe('m.room.create')
    // Going down from the end, everything comes once, in order.
    const walked: unknown[] = []
    let from: JsonValue | undefined
    do {
      const page = await bob.inRoom(
        'GET',
        roomId,
        `messages?dir=b&limit=50${typeof from === 'string' ? `&from=${from}` : ''}`,
      )
      walked.push(...idsIn(page.body['chunk']))
      from = page.body['end']
    } while (typeof from === 'string' && walked.length < 500)
    const { body: all } = await alice.inRoom('GET', roomId, 'messages?dir=b&limit=1000')
    expect(walked).toEqual(idsIn(all['chunk']))
  })

  it('is not found before everything', async () => {
    const roomId = await alice.createRoom({ preset: 'public_chat' })
    await talk(roomId, 1)
    await joinFromTwo(roomId)
    expect(await jump(bob, roomId, 1000, 'b')).toEqual(refusal(404, 'M_NOT_FOUND'))
  })

  it('stays out of sight where only those who were there may see it', async () => {
    const roomId = await alice.createRoom({
      preset: 'public_chat',
      initial_state: [
        { type: 'm.room.history_visibility', state_key: '', content: { history_visibility: 'joined' } },
      ],
    })
    const [first] = await talk(roomId, 2)
    await joinFromTwo(roomId)
    const { status, body } = await jump(bob, roomId, first?.ts ?? 0, 'f')
    expect(status).toBe(200)
    const { body: event } = await bob.event(roomId, textOf(body, 'event_id'))
    expect(event).toMatchObject({ type: 'm.room.member', sender: bob.userId })
  })
})

it('other servers are not asked where nothing is missing beside what was found', async () => {
  const roomId = await alice.createRoom({ preset: 'public_chat' })
  await joinFromTwo(roomId)
  const id = await bob.send(roomId, { msgtype: 'm.text', body: 'here' })
  // Sent on by now, so that no request is about that.
  await expect.poll(async () => (await alice.event(roomId, id)).status).toBe(200)
  const { body } = await bob.event(roomId, id)
  const { fetches } = await two.measure(async () => {
    const last = Number(body['origin_server_ts'])
    expect(await jump(bob, roomId, last, 'b')).toMatchObject({ status: 200 })
    expect(await jump(bob, roomId, last + 100_000, 'b')).toMatchObject({
      status: 200,
      body: { event_id: id },
    })
    expect(await jump(bob, roomId, last + 100_000, 'f')).toMatchObject({ status: 404 })
  })
  expect(fetches).toBe(0)
})

it('no request made more than the 50 of the free plan', async () => {
  const { mostSubrequests } = await two.report()
  expect(mostSubrequests.subrequests).toBeLessThanOrEqual(50)
})
