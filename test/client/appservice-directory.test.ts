// Rooms that application services publish for their networks. Application service API, "Published room directories".

import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { JsonObject } from '../../src/matrix/json.ts'
import { startAppservice, type TestAppservice } from '../support/appservice.ts'
import { type AskingServer, askingServer, federation } from '../support/asking-server.ts'
import { newClient, refusal, type RoomClient } from '../support/room-client.ts'
import { startServer, type TestServer } from '../support/server.ts'
import { textOf } from '../support/text-of.ts'

let bridge: TestAppservice
let other: TestAppservice
let server: TestServer
let alice: RoomClient
let remote: AskingServer
let open: string
let libera: string
let oftc: string
let anyIrc: string
beforeAll(async () => {
  bridge = await startAppservice('bridge')
  other = await startAppservice('other')
  server = await startServer({
    vars: { ...bridge.vars({ protocols: ['irc'] }), ...other.vars({ protocols: ['irc'] }) },
  })
  remote = await askingServer(server, 'remote.test')
  alice = await newClient(server, 'alice')
  open = await alice.createRoom({ visibility: 'public', name: 'open' })
  libera = await alice.createRoom({ preset: 'public_chat', name: 'on libera' })
  oftc = await alice.createRoom({ preset: 'public_chat', name: 'on oftc' })
  anyIrc = await alice.createRoom({ preset: 'public_chat', name: 'on any' })
  await alice.createRoom({ preset: 'public_chat', name: 'in no directory' })
  for (const [network, roomId] of [
    ['libera', libera],
    ['oftc', oftc],
    ['irc', anyIrc],
  ] as const) {
    expect((await list(network, roomId, bridge.asToken)).status).toBe(200)
  }
  expect((await list('libera', open, other.asToken)).status).toBe(200)
})
afterAll(async () => {
  await server.stop()
  await Promise.all([bridge.stop(), other.stop()])
})

const list = (network: string, roomId: string, token: string, body: JsonObject = { visibility: 'public' }) =>
  server.request(
    'PUT',
    `/_matrix/client/v3/directory/list/appservice/${encodeURIComponent(network)}/${encodeURIComponent(roomId)}`,
    { token, body },
  )

const idsOf = (body: JsonObject) =>
  (body['chunk'] as JsonObject[]).map((room) => textOf(room, 'room_id')).toSorted()
const ids = async (body: JsonObject) => idsOf(await alice.done('POST', '/publicRooms', body))
const network = (instance: string, more: JsonObject = {}) =>
  ids({ third_party_instance_id: instance, ...more })

describe('the directory', () => {
  it('has the rooms of the server alone, unless a network is asked for', async () => {
    expect(await ids({})).toEqual([open])
    expect(await ids({ include_all_networks: false })).toEqual([open])
    expect(idsOf(await alice.done('GET', '/publicRooms'))).toEqual([open])
  })

  it('of a network has the rooms that its application service publishes there, or for all networks of the protocol', async () => {
    expect(await network('bridge|irc|libera')).toEqual([libera, anyIrc].toSorted())
    expect(await network('bridge|irc|oftc')).toEqual([oftc, anyIrc].toSorted())
    expect(await network('other|irc|libera')).toEqual([open])
    expect(await network('bridge|irc|libera', { filter: { generic_search_term: 'ON LIBERA' } })).toEqual([
      libera,
    ])
  })

  it('is empty for networks that nobody reaches', async () => {
    for (const unknown of ['libera', 'nobody|irc|libera', 'bridge|gitter|libera', '', '|||']) {
      expect(await network(unknown), unknown).toEqual([])
    }
  })

  it('has all of them where that is asked for, page by page', async () => {
    const all = [open, libera, oftc, anyIrc].toSorted()
    expect(await ids({ include_all_networks: true })).toEqual(all)
    const seen: string[] = []
    let since: JsonObject = {}
    for (let pages = 0; pages < 4; pages++) {
      const page = await alice.done('POST', '/publicRooms', {
        include_all_networks: true,
        limit: 1,
        ...since,
      })
      expect(page['total_room_count_estimate']).toBe(4)
      seen.push(...idsOf(page))
      since = { since: page['next_batch'] ?? '' }
    }
    expect(seen.toSorted()).toEqual(all)
    const both = { include_all_networks: true, third_party_instance_id: 'bridge|irc|oftc' }
    expect(await alice.call('POST', '/publicRooms', both)).toEqual(refusal(400, 'M_INVALID_PARAM'))
  })

  it('is the same for other servers', async () => {
    const path = `${federation}/v1/publicRooms`
    const asked = async (query: Record<string, string>) =>
      await remote.ask('GET', `${path}?${new URLSearchParams(query).toString()}`)
    expect(idsOf((await asked({})).body)).toEqual([open])
    expect(idsOf((await asked({ third_party_instance_id: 'bridge|irc|oftc' })).body)).toEqual(
      [oftc, anyIrc].toSorted(),
    )
    expect(idsOf((await asked({ include_all_networks: 'true' })).body).length).toBe(4)
    expect(await asked({ include_all_networks: 'maybe' })).toEqual(refusal(400, 'M_INVALID_PARAM'))
    const posted = await remote.ask('POST', path, { third_party_instance_id: 'bridge|irc|libera' })
    expect(idsOf(posted.body)).toEqual([libera, anyIrc].toSorted())
  })
})

describe('publishing for a network', () => {
  it('may be done twice, and taken back by the one who did it', async () => {
    const roomId = await alice.createRoom({ preset: 'public_chat' })
    await list('efnet', roomId, bridge.asToken)
    await list('efnet', roomId, bridge.asToken)
    expect(await network('bridge|irc|efnet')).toContain(roomId)
    await list('efnet', roomId, other.asToken, { visibility: 'private' })
    expect(await network('bridge|irc|efnet')).toContain(roomId)
    await list('efnet', roomId, bridge.asToken, { visibility: 'private' })
    await list('efnet', roomId, bridge.asToken, { visibility: 'private' })
    expect(await network('bridge|irc|efnet')).not.toContain(roomId)
  })

  it('is for application services alone', async () => {
    expect(await list('libera', open, alice.token)).toEqual(refusal(403, 'M_FORBIDDEN'))
    expect(await list('libera', open, bridge.hsToken)).toEqual(refusal(401, 'M_UNKNOWN_TOKEN'))
    const unnamed = await server.request(
      'PUT',
      `/_matrix/client/v3/directory/list/appservice/libera/${encodeURIComponent(open)}`,
      { body: { visibility: 'public' } },
    )
    expect(unnamed).toEqual(refusal(401, 'M_MISSING_TOKEN'))
    expect(await network('bridge|irc|libera')).not.toContain(open)
  })

  it('is refused where it makes no sense', async () => {
    expect(await list('libera', 'no room', bridge.asToken)).toEqual(refusal(400, 'M_INVALID_PARAM'))
    expect(await list('x'.repeat(256), open, bridge.asToken)).toEqual(refusal(400, 'M_INVALID_PARAM'))
    expect(await list('libera', open, bridge.asToken, {})).toEqual(refusal(400, 'M_MISSING_PARAM'))
    expect(await list('libera', open, bridge.asToken, { visibility: 'x' })).toEqual(
      refusal(400, 'M_BAD_JSON'),
    )
  })
})
