// What is said and done in a room that both servers are in, and what happened before one of them came.

import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { JsonObject } from '../../../src/matrix/json.ts'
import { newClient, type RoomClient } from '../../support/room-client.ts'
import { textOf } from '../../support/text-of.ts'
import {
  agree,
  eventually,
  history,
  joinVia,
  type Pair,
  received,
  sees,
  type Server,
  startPair,
  synced,
} from './pair.ts'

let pair: Pair
/** On our server. */
let alice: RoomClient
/** On Synapse. */
let bob: RoomClient
beforeAll(async () => {
  pair = await startPair()
  alice = await newClient(pair.hearth, 'alice')
  bob = await newClient(pair.synapse, 'bob')
})
afterAll(() => pair?.stop())

const text = (body: string) => ({ msgtype: 'm.text', body })
const idsOf = (events: readonly JsonObject[]) => events.map((event) => textOf(event, 'event_id'))

describe.each([
  ['our server', () => [alice, bob, pair.hearth] as const],
  ['Synapse', () => [bob, alice, pair.synapse] as const],
])('in a room on %s', (_, sides) => {
  let host: RoomClient
  let guest: RoomClient
  let server: Server
  let roomId: string
  beforeAll(async () => {
    ;[host, guest, server] = sides()
    roomId = await host.createRoom({ preset: 'public_chat', name: 'Hearth' })
    await joinVia(guest, roomId, server)
    await sees(host, roomId, guest, 'join')
  })

  it('messages go both ways, in one order', async () => {
    const sent: string[] = []
    for (let round = 0; round < 5; round += 1) {
      for (const [from, to] of [
        [host, guest],
        [guest, host],
      ] as const) {
        const eventId = await from.send(roomId, text(`round ${round}`))
        expect(await received(to, roomId, eventId)).toMatchObject({
          sender: from.userId,
          content: { body: `round ${round}` },
        })
        sent.push(eventId)
      }
    }
    const newest = [...sent].reverse()
    for (const user of [host, guest]) {
      expect(idsOf(await history(user, roomId)).slice(0, sent.length)).toEqual(newest)
    }
  })

  it('messages that both send at once all arrive, and leave the same state behind', async () => {
    const bodies = Array.from({ length: 20 }, (__, index) => `at once ${index}`)
    const sent = await Promise.all(
      [host, guest].flatMap((user) => bodies.map((body) => user.send(roomId, text(body)))),
    )
    for (const user of [host, guest]) {
      await eventually(`all to reach ${user.userId}`, async () => {
        const seen = new Set(idsOf(await history(user, roomId, 100)))
        return sent.every((eventId) => seen.has(eventId)) || undefined
      })
    }
    await agree(host, guest, roomId)
  })

  it('100 messages from before are paged back to, in their order', async () => {
    const older = await host.createRoom({ preset: 'public_chat' })
    const sent: string[] = []
    for (let index = 0; index < 100; index += 1) sent.push(await host.send(older, text(`old ${index}`)))
    await joinVia(guest, older, server)
    await sees(host, older, guest, 'join')
    const seen = await eventually('the whole history', async () => {
      const events = await history(guest, older)
      return events.some((event) => event['type'] === 'm.room.create') ? events : undefined
    })
    expect(idsOf(seen)).toEqual(idsOf(await history(host, older)))
    const old = seen.filter((event) => event['type'] === 'm.room.message')
    expect(idsOf(old)).toEqual([...sent].reverse())
    expect(old[0]).toMatchObject({ sender: host.userId, content: text('old 99') })
  })

  it('100 messages from while their server was away are paged back to', async () => {
    const missing = await host.createRoom({ preset: 'public_chat' })
    await joinVia(guest, missing, server)
    await sees(host, missing, guest, 'join')
    expect(await guest.leave(missing)).toMatchObject({ status: 200 })
    await sees(host, missing, guest, 'leave')
    for (let index = 0; index < 100; index += 1) await host.send(missing, text(`missed ${index}`))
    await joinVia(guest, missing, server)
    await sees(host, missing, guest, 'join')
    const whole = idsOf(await history(host, missing))
    await eventually('the whole history', async () => {
      const seen = idsOf(await history(guest, missing))
      return (seen.length === whole.length && seen.every((id, index) => id === whole[index])) || undefined
    })
    await agree(host, guest, missing)
  })

  it('a redaction takes the content away on both', async () => {
    for (const [from, to] of [
      [host, guest],
      [guest, host],
    ] as const) {
      const regretted = await from.send(roomId, text('My PIN is 1234'))
      await received(to, roomId, regretted)
      expect(await from.redact(roomId, regretted, { reason: 'oops' })).toMatchObject({ status: 200 })
      const redacted = await eventually('the redaction', async () => {
        const { body } = await to.event(roomId, regretted)
        return Object.keys(body['content'] ?? {}).length === 0 ? body : undefined
      })
      expect(redacted).toMatchObject({ unsigned: { redacted_because: { content: { reason: 'oops' } } } })
    }
  })

  it('a moderator redacts what a user of the other server said', async () => {
    const rude = await guest.send(roomId, text('Rude'))
    await received(host, roomId, rude)
    expect(await host.redact(roomId, rude)).toMatchObject({ status: 200 })
    await eventually('the redaction', async () => {
      const { body } = await guest.event(roomId, rude)
      return Object.keys(body['content'] ?? {}).length === 0 || undefined
    })
  })

  it('state changes by those who have the power, on either server, and by nobody else', async () => {
    const setTopic = (topic: string) => guest.setState(roomId, 'm.room.topic', { topic })
    const giveGuest = async (level: number) => {
      const levels = await host.state(roomId, 'm.room.power_levels')
      const users = { ...(levels?.['users'] as JsonObject), [guest.userId]: level }
      const changed = await host.setState(roomId, 'm.room.power_levels', { ...levels, users })
      expect(changed, JSON.stringify(changed.body)).toMatchObject({ status: 200 })
      await eventually('the power levels', async () => {
        const seen = await guest.state(roomId, 'm.room.power_levels')
        return (seen?.['users'] as JsonObject | undefined)?.[guest.userId] === level || undefined
      })
    }
    const topicIs = (topic: string) =>
      eventually(`the topic "${topic}"`, async () => {
        const seen = await host.state(roomId, 'm.room.topic')
        return seen?.['topic'] === topic || undefined
      })

    expect(await setTopic('too early')).toMatchObject({ status: 403, body: { errcode: 'M_FORBIDDEN' } })
    await giveGuest(50)
    expect(await setTopic('fire')).toMatchObject({ status: 200 })
    await topicIs('fire')
    expect(await host.setState(roomId, 'm.room.name', { name: 'Stove' })).toMatchObject({ status: 200 })
    await eventually('the name', async () => {
      const seen = await guest.state(roomId, 'm.room.name')
      return seen?.['name'] === 'Stove' || undefined
    })
    await giveGuest(0)
    expect(await setTopic('too late')).toMatchObject({ status: 403, body: { errcode: 'M_FORBIDDEN' } })
    await agree(host, guest, roomId)
  })

  it('read receipts go both ways', async () => {
    for (const [from, to] of [
      [host, guest],
      [guest, host],
    ] as const) {
      const eventId = await from.send(roomId, text('Read this'))
      await received(to, roomId, eventId)
      const path = `receipt/m.read/${encodeURIComponent(eventId)}`
      expect(await to.inRoom('POST', roomId, path, {})).toMatchObject({ status: 200 })
      await eventually(`the receipt of ${to.userId}`, async () => {
        const receipts = await ephemeral(from, 'm.receipt')
        const readers = (receipts?.[eventId] as JsonObject | undefined)?.['m.read'] as JsonObject | undefined
        return readers?.[to.userId] !== undefined || undefined
      })
    }
  })

  it('typing comes and goes, both ways', async () => {
    for (const [from, to] of [
      [host, guest],
      [guest, host],
    ] as const) {
      const type = (body: JsonObject) => from.inRoom('PUT', roomId, `typing/${from.userId}`, body)
      const typists = async () => (await ephemeral(to, 'm.typing'))?.['user_ids'] ?? []
      expect(await type({ typing: true, timeout: 60_000 })).toMatchObject({ status: 200 })
      await expect.poll(typists, { timeout: 20_000 }).toEqual([from.userId])
      expect(await type({ typing: false })).toMatchObject({ status: 200 })
      await expect.poll(typists, { timeout: 20_000 }).toEqual([])
    }
  })

  /** The content of an ephemeral event as an initial sync shows it. */
  async function ephemeral(user: RoomClient, type: string): Promise<JsonObject | undefined> {
    const room = await synced(user, 'join', roomId)
    const found = room?.ephemeral?.events.find((event) => event['type'] === type)
    return found?.['content'] as JsonObject | undefined
  }
})
