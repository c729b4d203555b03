// Media of one server, shown to users of the other.

import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { newClient, type RoomClient } from '../../support/room-client.ts'
import { textOf } from '../../support/text-of.ts'
import type { JsonObject } from '../../../src/matrix/json.ts'
import { metadata, picture } from '../../media/images.ts'
import { type Pair, type Server, startPair } from './pair.ts'

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
  ['our server', () => [alice, pair.hearth, bob, pair.synapse] as const],
  ['Synapse', () => [bob, pair.synapse, alice, pair.hearth] as const],
])('what is uploaded to %s is, for users of the other,', (_, sides) => {
  let owner: RoomClient
  let home: Server
  let viewer: RoomClient
  let elsewhere: Server
  beforeAll(() => {
    ;[owner, home, viewer, elsewhere] = sides()
  })

  /** Gives the server name and media id. */
  async function upload(bytes: Uint8Array, type: string, name: string): Promise<string> {
    const answer = await home.fetch(`/_matrix/media/v3/upload?filename=${encodeURIComponent(name)}`, {
      method: 'POST',
      headers: { Authorization: `Bearer ${owner.token}`, 'Content-Type': type },
      // A copy, as it might otherwise be memory that threads share.
      body: Uint8Array.from(bytes),
    })
    expect(answer.status).toBe(200)
    const uri = textOf(await answer.json<JsonObject>(), 'content_uri')
    expect(uri).toMatch(`mxc://${home.serverName}/`)
    return uri.replace('mxc://', '')
  }

  const get = (path: string, token = viewer.token) =>
    elsewhere.fetch(`/_matrix/client/v1/media/${path}`, { headers: { Authorization: `Bearer ${token}` } })

  it('downloaded as it is, with its type and name', async () => {
    const bytes = Uint8Array.from({ length: 300_000 }, (__, index) => (index * 7919) % 251)
    const media = await upload(bytes, 'application/octet-stream', 'Glühwürmchen.bin')
    // Again from what was kept.
    for (const path of [media, media, `${media}/other.bin`]) {
      const answer = await get(`download/${path}`)
      expect(answer.status).toBe(200)
      expect(answer.headers.get('content-type')).toBe('application/octet-stream')
      const disposition = answer.headers.get('content-disposition') ?? ''
      expect(disposition).toMatch(/^attachment;/)
      const name = path === media ? /utf-8''Gl%C3%BChw%C3%BCrmchen\.bin/i : /other\.bin/
      expect(disposition).toMatch(name)
      expect(new Uint8Array(await answer.arrayBuffer())).toEqual(bytes)
    }
  })

  it('shown as a thumbnail', async () => {
    const media = await upload(await picture('png', 400, 200), 'image/png', 'halves.png')
    const answer = await get(`thumbnail/${media}?width=32&height=32&method=scale`)
    expect(answer.status).toBe(200)
    const { width, height } = await metadata(new Uint8Array(await answer.arrayBuffer()))
    // How large is the server's choice.
    expect(width).toBeLessThan(400)
    expect(width / height).toBe(2)
  })

  it('not for those who say nobody they are', async () => {
    const media = await upload(new TextEncoder().encode('private'), 'text/plain', 'private.txt')
    const answer = await elsewhere.fetch(`/_matrix/client/v1/media/download/${media}`)
    expect(answer.status).toBe(401)
    expect(await answer.json()).toMatchObject({ errcode: 'M_MISSING_TOKEN' })
  })

  it('not there if it never was', async () => {
    const answer = await get(`download/${home.serverName}/never`)
    expect(answer.status).toBe(404)
    expect(await answer.json()).toMatchObject({ errcode: 'M_NOT_FOUND' })
  })
})
