// Members that are loaded as needed. Specification: client-server API, "Lazy-loading room members".

import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { newClient, type RoomClient } from '../support/room-client.ts'
import { startServer, type TestServer } from '../support/server.ts'
import { textOf } from '../support/text-of.ts'

let server: TestServer
let alice: RoomClient
let bob: RoomClient
let carol: RoomClient
beforeAll(async () => {
  server = await startServer()
  alice = await newClient(server, 'alice')
  bob = await newClient(server, 'bob')
  carol = await newClient(server, 'carol')
})
afterAll(() => server.stop())

interface StateEvent {
  readonly type: string
  readonly state_key: string
  readonly content: { readonly membership?: string; readonly displayname?: string }
}

// The member list that a client once asked for is kept by what syncs tell of it: nobody else tells of who left in a gap, and an
// encrypted message would go to them too.
describe.each(['state', 'state_after'] as const)('a sync with %s that leaves events out', (section) => {
  async function sync(query: string) {
    const filter = { room: { state: { lazy_load_members: true }, timeline: { limit: 2 } } }
    const after = section === 'state_after' ? 'use_state_after=true&' : ''
    const path = `/sync?${after}filter=${encodeURIComponent(JSON.stringify(filter))}${query}`
    const body = await bob.done('GET', path)
    const { rooms } = body as unknown as {
      rooms: { join: Record<string, Partial<Record<typeof section, { events: StateEvent[] }>>> }
    }
    const members = (roomId: string) =>
      new Map(
        (rooms.join[roomId]?.[section]?.events ?? [])
          .filter(({ type }) => type === 'm.room.member')
          .map(({ state_key: key, content }) => [key, content]),
      )
    return { since: textOf(body, 'next_batch'), members }
  }

  it('has every member that changed meanwhile', async () => {
    const roomId = await alice.createRoom({ preset: 'public_chat' })
    await bob.join(roomId)
    await carol.join(roomId)
    const dave = await newClient(server, `dave-${section.replace('_', '-')}`)
    const first = await sync('')
    await carol.leave(roomId)
    await dave.join(roomId)
    for (const n of [1, 2, 3]) await alice.send(roomId, { body: `${n}` })
    const next = await sync(`&since=${first.since}`)
    const members = next.members(roomId)
    expect(members.get(carol.userId)).toMatchObject({ membership: 'leave' })
    expect(members.get(dave.userId)).toMatchObject({ membership: 'join' })
  })

  it('has no other members than the senders where the client knows nothing of the room', async () => {
    const roomId = await alice.createRoom({ preset: 'public_chat' })
    await bob.join(roomId)
    await carol.join(roomId)
    for (const n of [1, 2, 3]) await alice.send(roomId, { body: `${n}` })
    const { members } = await sync('')
    expect([...members(roomId).keys()].toSorted()).toEqual([alice.userId, bob.userId])
  })
})
