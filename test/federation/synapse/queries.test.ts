// What a server asks another one for: profiles, aliases, public rooms.

import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { JsonObject } from '../../../src/matrix/json.ts'
import { newClient, refusal, type RoomClient } from '../../support/room-client.ts'
import { textOf } from '../../support/text-of.ts'
import { agree, eventually, joinVia, type Pair, sees, type Server, startPair } from './pair.ts'

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

describe.each([
  ['our server', () => [alice, bob, pair.hearth] as const],
  ['Synapse', () => [bob, alice, pair.synapse] as const],
])('%s tells a user of the other', (_, sides) => {
  let host: RoomClient
  let guest: RoomClient
  let server: Server
  beforeAll(() => {
    ;[host, guest, server] = sides()
  })

  it('the profile of a user, as it is and as it is then', async () => {
    const set = (field: string, value: string) =>
      host.done('PUT', `/profile/${host.userId}/${field}`, { [field]: value })
    await set('displayname', 'Vesta')
    await set('avatar_url', `mxc://${server.serverName}/flame`)
    expect(await guest.done('GET', `/profile/${host.userId}`)).toMatchObject({
      displayname: 'Vesta',
      avatar_url: `mxc://${server.serverName}/flame`,
    })
    expect(await guest.done('GET', `/profile/${host.userId}/displayname`)).toEqual({ displayname: 'Vesta' })

    const roomId = await host.createRoom({ preset: 'public_chat' })
    await joinVia(guest, roomId, server)
    await sees(host, roomId, guest, 'join')
    await set('displayname', 'Hestia')
    await eventually('the new name in the room', async () => {
      const member = await guest.state(roomId, 'm.room.member', host.userId)
      return member?.['displayname'] === 'Hestia' || undefined
    })
    await guest.done('PUT', `/profile/${guest.userId}/displayname`, { displayname: 'Guest' })
    await eventually('the name of the guest', async () => {
      const member = await host.state(roomId, 'm.room.member', guest.userId)
      return member?.['displayname'] === 'Guest' || undefined
    })
    await agree(host, guest, roomId)
  })

  it('that there is no such user', async () => {
    const answer = await guest.call('GET', `/profile/@nobody:${server.serverName}`)
    expect(answer).toEqual(refusal(404, 'M_NOT_FOUND'))
  })

  it('where an alias leads, by which to join', async () => {
    const roomId = await host.createRoom({ preset: 'public_chat', room_alias_name: 'käse' })
    const alias = `#käse:${server.serverName}`
    expect(await guest.aliasTarget(alias)).toMatchObject({
      status: 200,
      body: { room_id: roomId, servers: [server.serverName] },
    })
    expect(await guest.join(alias)).toMatchObject({ status: 200, body: { room_id: roomId } })
    await sees(host, roomId, guest, 'join')
    await agree(host, guest, roomId)
  })

  it('that there is no such alias', async () => {
    expect(await guest.aliasTarget(`#none:${server.serverName}`)).toEqual(refusal(404, 'M_NOT_FOUND'))
  })

  it('which public rooms it has, page by page and by a word in them', async () => {
    const names = ['Ash', 'Birch', 'Cedar']
    const ids: string[] = []
    for (const name of names) {
      ids.push(await host.createRoom({ preset: 'public_chat', visibility: 'public', name, topic: 'trees' }))
    }
    const where = `server=${encodeURIComponent(server.serverName)}`
    const found: JsonObject[] = []
    let since = ''
    for (let pages = 0; pages < 20; pages += 1) {
      const page = await guest.done('GET', `/publicRooms?${where}&limit=2${since}`)
      const chunk = page['chunk'] as JsonObject[]
      expect(chunk.length).toBeLessThanOrEqual(2)
      found.push(...chunk)
      if (page['next_batch'] === undefined) break
      since = `&since=${encodeURIComponent(textOf(page, 'next_batch'))}`
    }
    expect(found.map((room) => room['room_id'])).toEqual(expect.arrayContaining(ids))
    const searched = await guest.done('POST', `/publicRooms?${where}`, {
      filter: { generic_search_term: 'birch' },
    })
    expect(searched['chunk']).toMatchObject([
      { room_id: ids[1], name: 'Birch', topic: 'trees', num_joined_members: 1, join_rule: 'public' },
    ])
  })
})
