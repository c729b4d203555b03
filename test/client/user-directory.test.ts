import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { JsonObject } from '../../src/matrix/json.ts'
import { newClient, refusal, type RoomClient } from '../support/room-client.ts'
import { startServer, type TestServer } from '../support/server.ts'

let server: TestServer
let eve: RoomClient
beforeAll(async () => {
  server = await startServer()
  eve = await newClient(server, 'eve')
})
afterAll(() => server.stop())

const path = '/user_directory/search'
// Rooms outside of the directory are told to the index a little later.
const toldByAlarm = { timeout: 20_000 }

async function search(user: RoomClient, term: string, more: JsonObject = {}) {
  const body = await user.done('POST', path, { search_term: term, ...more })
  const { results, limited } = body as unknown as {
    results: { user_id: string; display_name?: string; avatar_url?: string }[]
    limited: boolean
  }
  return { results, limited, userIds: results.map((result) => result.user_id) }
}

async function named(localpart: string, displayname: string): Promise<RoomClient> {
  const user = await newClient(server, localpart)
  await user.done('PUT', `/profile/${encodeURIComponent(user.userId)}/displayname`, { displayname })
  return user
}

/** A user whom everybody can find. */
async function known(localpart: string, displayname: string): Promise<RoomClient> {
  const user = await named(localpart, displayname)
  await user.createRoom({ visibility: 'public' })
  return user
}

describe('a search of the user directory', () => {
  it('finds by name and by user id, in part and whatever the case', async () => {
    const alice = await known('maria', 'Ålice Cooper')
    const found = { user_id: alice.userId, display_name: 'Ålice Cooper' }
    for (const term of ['ålice', 'ÅLICE', 'coop', 'cooper ål', 'MARIA', '@maria', 'aria', alice.userId]) {
      expect((await search(eve, term)).results, term).toEqual([found])
    }
    for (const term of ['cooper bob', 'maria:elsewhere', 'test.local', 'ma%ia', 'm_ria']) {
      expect((await search(eve, term)).results, term).toEqual([])
    }
  })

  it('tells the avatar', async () => {
    const user = await known('pictured', 'Pictured')
    await user.done('PUT', `/profile/${encodeURIComponent(user.userId)}/avatar_url`, {
      avatar_url: 'mxc://test.local/picture',
    })
    expect((await search(eve, 'pictured')).results).toEqual([
      { user_id: user.userId, display_name: 'Pictured', avatar_url: 'mxc://test.local/picture' },
    ])
  })

  it('finds those who share a private room, and other people do not', async () => {
    const hidden = await named('hidden', 'Hidden One')
    const friend = await newClient(server, 'friend')
    expect((await search(friend, 'hidden')).userIds).toEqual([])
    const roomId = await hidden.createRoom({ invite: [friend.userId] })
    // An invite is not yet a room in common.
    expect((await search(friend, 'hidden')).userIds).toEqual([])
    await friend.join(roomId)
    expect((await search(friend, 'hidden')).userIds).toEqual([hidden.userId])
    expect((await search(eve, 'hidden')).userIds).toEqual([])
    await friend.leave(roomId)
    expect((await search(friend, 'hidden')).userIds).toEqual([])
  })

  it('finds those in rooms that all may read, once the room is closed no more', async () => {
    const reader = await named('reader', 'Reader')
    const roomId = await reader.createRoom({
      initial_state: [
        { type: 'm.room.history_visibility', content: { history_visibility: 'world_readable' } },
      ],
    })
    await expect.poll(async () => (await search(eve, 'reader')).userIds, toldByAlarm).toEqual([reader.userId])
    await reader.setState(roomId, 'm.room.history_visibility', { history_visibility: 'shared' })
    await expect.poll(async () => (await search(eve, 'reader')).userIds, toldByAlarm).toEqual([])
  })

  it('knows nothing of names that were given to one room alone', async () => {
    const alice = await known('discreet', 'Discreet')
    const bob = await newClient(server, 'bobby')
    const roomId = await bob.createRoom({ invite: [alice.userId] })
    await alice.join(roomId)
    const content = { membership: 'join', displayname: 'Freddy' }
    expect((await alice.setState(roomId, 'm.room.member', content, alice.userId)).status).toBe(200)
    for (const searcher of [bob, eve]) {
      expect((await search(searcher, 'freddy')).results).toEqual([])
      expect((await search(searcher, 'discreet')).results).toEqual([
        { user_id: alice.userId, display_name: 'Discreet' },
      ])
    }
  })

  it('gives no more than asked for and says so, the best first', async () => {
    const [c, b, a] = [
      await known('limit3', 'An Echo'),
      await known('limit2', 'Echoes'),
      await known('limit1', 'Echo'),
    ]
    expect(await search(eve, 'echo')).toMatchObject({
      userIds: [a.userId, b.userId, c.userId],
      limited: false,
    })
    expect(await search(eve, 'echo', { limit: 2 })).toMatchObject({
      userIds: [a.userId, b.userId],
      limited: true,
    })
    expect(await search(eve, 'echo', { limit: 0 })).toMatchObject({ userIds: [], limited: true })
  })

  it('does not find who was deactivated', async () => {
    const gone = await known('leaver', 'Leaver')
    expect((await search(eve, 'leaver')).userIds).toEqual([gone.userId])
    await gone.done('POST', '/account/deactivate', {
      auth: {
        type: 'm.login.password',
        identifier: { type: 'm.id.user', user: gone.userId },
        password: 'password of leaver',
      },
    })
    expect((await search(eve, 'leaver')).userIds).toEqual([])
  })

  it('takes long terms of many words', async () => {
    expect((await search(eve, 'é '.repeat(100))).results).toEqual([])
    expect((await search(eve, 'x'.repeat(256))).results).toEqual([])
  })

  it('is refused without a term, with a wrong one, and without a session', async () => {
    expect(await eve.call('POST', path, {})).toEqual(refusal(400, 'M_MISSING_PARAM'))
    expect(await eve.call('POST', path, { search_term: 1 })).toEqual(refusal(400, 'M_BAD_JSON'))
    expect(await eve.call('POST', path, { search_term: 'a', limit: -1 })).toEqual(refusal(400, 'M_BAD_JSON'))
    expect(await eve.call('POST', path, { search_term: 'x'.repeat(257) })).toEqual(refusal(400, 'M_BAD_JSON'))
    const { status } = await server.request('POST', `/_matrix/client/v3${path}`, {
      body: { search_term: 'a' },
    })
    expect(status).toBe(401)
  })

  it('writes nothing', async () => {
    const cost = await server.measure(() => search(eve, 'alice'))
    expect(cost).toMatchObject({ doRowsWritten: 0, d1RowsWritten: 0 })
  })
})
