// The user directory of a server whose users live on two Hub shards: who finds whom does not depend on where they live.

import { afterAll, beforeAll, expect, it } from 'vitest'
import type { UserId } from '../../src/matrix/event.ts'
import type { JsonObject } from '../../src/matrix/json.ts'
import { type AskingServer, askingServer } from '../support/asking-server.ts'
import { newClient, type RoomClient } from '../support/room-client.ts'
import { startServer, type TestServer } from '../support/server.ts'

let server: TestServer
let remote: AskingServer
/** Two users of each shard. */
let shards: [RoomClient, RoomClient][]
beforeAll(async () => {
  server = await startServer({ vars: { HUB_SHARDS: '2' } })
  remote = await askingServer(server, 'remote.test')
  const byShard: RoomClient[][] = [[], []]
  // Users land on shards by chance.
  for (let n = 0; byShard.some(({ length }) => length < 2); n += 1) {
    const user = await newClient(server, `user${n}`)
    const isOfFirst = await (await server.hub(0)).deviceGeneration(user.userId as UserId, user.deviceId)
    byShard[isOfFirst === undefined ? 1 : 0]?.push(user)
  }
  shards = byShard.map(([one, other]) => {
    if (!one || !other) throw new Error('nobody lives on that shard')
    return [one, other]
  })
})
afterAll(() => server.stop())

async function search(user: RoomClient, term: string, limit = 10) {
  const { results, limited } = await user.done('POST', '/user_directory/search', { search_term: term, limit })
  return { results, limited }
}

async function joinAs(roomId: string, localpart: string, content: JsonObject): Promise<UserId> {
  const userId = remote.user(localpart)
  const template = await remote.make('join', roomId, userId)
  const join = remote.fromTemplate(template, { content: { membership: 'join', ...content } })
  expect((await remote.send('join', roomId, join)).status).toBe(200)
  return userId
}

it('users of other servers in open rooms are found from every shard', async () => {
  for (const [shard, [owner]] of shards.entries()) {
    const roomId = await owner.createRoom({ preset: 'public_chat', visibility: 'public' })
    const name = `Remote of ${shard}`
    const userId = await joinAs(roomId, `other${shard}`, { displayname: name })
    for (const [, searcher] of shards) {
      await expect
        .poll(async () => (await search(searcher, name)).results)
        .toEqual([{ user_id: userId, display_name: name }])
    }
  }
})

it('each once, in one order, and no more than asked for', async () => {
  const [[alice, searcher], [bob, other]] = shards as [[RoomClient, RoomClient], [RoomClient, RoomClient]]
  const [first, second] = [
    await alice.createRoom({ preset: 'public_chat', visibility: 'public' }),
    await bob.createRoom({ preset: 'public_chat', visibility: 'public' }),
  ]
  const both = await joinAs(first, 'both', { displayname: 'An echo here' })
  await joinAs(second, 'both', { displayname: 'An echo there', avatar_url: 'mxc://remote.test/there' })
  const zoe = await joinAs(second, 'zoe', { displayname: 'Echo' })
  const amy = await joinAs(first, 'amy', { displayname: 'Wood echo' })
  const all = [
    { user_id: zoe, display_name: 'Echo' },
    { user_id: amy, display_name: 'Wood echo' },
    { user_id: both, display_name: 'An echo there', avatar_url: 'mxc://remote.test/there' },
  ]
  for (const user of [searcher, other]) {
    await expect.poll(() => search(user, 'echo')).toEqual({ results: all, limited: false })
    expect(await search(user, 'echo', 2)).toEqual({ results: all.slice(0, 2), limited: true })
  }
})

it('those in closed rooms are found by who is in them alone, also by one who came later than others of their shard', async () => {
  const [[alice, stranger], [bob, other]] = shards as [[RoomClient, RoomClient], [RoomClient, RoomClient]]
  const roomId = await alice.createRoom({ preset: 'public_chat', visibility: 'private' })
  const hidden = await joinAs(roomId, 'hidden', { displayname: 'Secret friend' })
  await alice.setState(roomId, 'm.room.join_rules', { join_rule: 'invite' })
  const found = { results: [{ user_id: hidden, display_name: 'Secret friend' }], limited: false }
  await expect.poll(() => search(alice, 'secret')).toEqual(found)
  await alice.act('invite', roomId, bob.userId)
  await bob.join(roomId)
  await expect.poll(() => search(bob, 'secret')).toEqual(found)
  for (const user of [stranger, other]) {
    await expect.poll(async () => (await search(user, 'secret')).results, { timeout: 20_000 }).toEqual([])
  }
})

it('a search asks each shard once for them', async () => {
  const [[, searcher]] = shards as [[RoomClient, RoomClient]]
  const cost = await server.measure(() => search(searcher, 'nobody of that name'))
  expect(cost).toMatchObject({ doRowsWritten: 0, d1RowsWritten: 0 })
  // Each of the two, and the searcher's for their rooms and for their session.
  expect(cost.doRequests).toBeLessThanOrEqual(2 + 2)
})
