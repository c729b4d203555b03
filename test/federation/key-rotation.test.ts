// Replacing the key that a server signs with: other servers accept what both keys have signed.

import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import type { ServerKeys } from '../../src/keys/server-keys.ts'
import { type JsonObject, objectProperty } from '../../src/matrix/json.ts'
import { makeAuthority } from '../support/certificates.ts'
import { type FederatedServer, startFederatedServer } from '../support/federated-server.ts'
import { newClient, refusal, roomClient, type RoomClient } from '../support/room-client.ts'
import { pagedEvents } from '../support/room-copies.ts'

const authority = makeAuthority()
// Whoever has asked for keys within the last ten seconds does not ask again.
const vars = { SENDER_BACK_OFF_SECONDS: '2', SESSION_CACHE: 'off' }
let dataDir: string
let one: FederatedServer
let two: FederatedServer
let alice: RoomClient
let bob: RoomClient

beforeAll(async () => {
  dataDir = await mkdtemp(join(tmpdir(), 'hearth-keys-'))
  one = await startFederatedServer(authority, 'one.test', { dataDir, vars })
  two = await startFederatedServer(authority, 'two.test', { vars })
  alice = await newClient(one, 'alice')
  bob = await newClient(two, 'bob')
})
afterAll(async () => {
  await Promise.all([one.stop(), two.stop()])
  await rm(dataDir, { recursive: true, force: true })
})

const joinVia = (user: RoomClient, roomId: string) =>
  user.done('POST', `/join/${encodeURIComponent(roomId)}?server_name=${one.serverName}`, {})
const say = (user: RoomClient, roomId: string, body: string) => user.send(roomId, { msgtype: 'm.text', body })

async function serverKeys(): Promise<DurableObjectStub<ServerKeys>> {
  const namespace = await one.mf.getDurableObjectNamespace('SERVER_KEYS')
  // Miniflare's own types know nothing of the class behind a binding.
  return namespace.get(namespace.idFromName('server-keys')) as unknown as DurableObjectStub<ServerKeys>
}

async function signingKeyOf(roomId: string, eventId: string): Promise<string[]> {
  const pdu = JSON.parse(await (await one.room(roomId)).pduText(eventId)) as JsonObject
  return Object.keys(objectProperty(objectProperty(pdu, 'signatures'), one.serverName) ?? {})
}

it('what was signed before and after is accepted, also by a server that comes later', async () => {
  const roomId = await alice.createRoom({ preset: 'public_chat', room_version: '11' })
  await joinVia(bob, roomId)
  const before = await say(alice, roomId, 'before')
  const oldKey = (await (await serverKeys()).signingKey()).keyId
  await vi.waitFor(async () => expect(await pagedEvents(bob, roomId)).toContain(before), { timeout: 40_000 })

  await (await serverKeys()).rotate({ publishedBefore: 0, overlap: 0 })
  // Rooms keep the key that they sign with for some minutes while they are loaded.
  await one.crash()
  one = await startFederatedServer(authority, 'one.test', { dataDir, vars, tlsPort: one.tlsPort })
  alice = roomClient(one, alice)
  const after = await say(alice, roomId, 'after')
  const newKey = (await (await serverKeys()).signingKey()).keyId
  expect(newKey).not.toBe(oldKey)
  expect(await signingKeyOf(roomId, before)).toEqual([oldKey])
  expect(await signingKeyOf(roomId, after)).toEqual([newKey])
  await vi.waitFor(async () => expect(await pagedEvents(bob, roomId)).toContain(after), { timeout: 40_000 })

  // It has never seen the old key in use.
  const { body } = await one.request('GET', '/_matrix/key/v2/server')
  expect(Object.keys(objectProperty(body, 'verify_keys') ?? {})).toEqual([newKey])
  expect(Object.keys(objectProperty(body, 'old_verify_keys') ?? {})).toEqual([oldKey])
  const three = await startFederatedServer(authority, 'three.test')
  const carol = await newClient(three, 'carol')
  await joinVia(carol, roomId)
  const last = await say(carol, roomId, 'last')
  await vi.waitFor(async () => expect(await pagedEvents(alice, roomId)).toContain(last), { timeout: 40_000 })
  await vi.waitFor(
    async () =>
      expect(await pagedEvents(carol, roomId)).toEqual(expect.arrayContaining([before, after, last])),
    { timeout: 40_000 },
  )
  await three.stop()
}, 90_000)

describe('an admin', () => {
  const path = '/_hearth/admin/v1/keys'

  it('alone may replace the key', async () => {
    for (const [method, uri] of [
      ['GET', path],
      ['POST', `${path}/rotate`],
    ] as const) {
      expect(await two.request(method, uri)).toEqual(refusal(401, 'M_MISSING_TOKEN'))
      expect(await two.request(method, uri, { token: bob.token })).toEqual(refusal(403, 'M_FORBIDDEN'))
    }
  })

  it('sees when the new key signs, and the old one expires; twice is once', async () => {
    const db = await two.mf.getD1Database('DB')
    await db.prepare('UPDATE users SET admin = 1').run()
    const ask = async (method: string, uri: string) =>
      (await two.request<{ keys: JsonObject[] }>(method, uri, { token: bob.token })).body.keys
    const [first] = await ask('GET', path)
    expect(first).toMatchObject({ signs_from: 0, expired_ts: null })
    const now = Date.now()
    const keys = await ask('POST', `${path}/rotate`)
    expect(keys).toMatchObject([{ expired_ts: null }, { key_id: first?.['key_id'] }])
    expect(Number(keys[0]?.['signs_from'])).toBeGreaterThan(now + 9 * 60_000)
    expect(Number(keys[1]?.['expired_ts'])).toBeGreaterThan(now + 24 * 3_600_000)
    expect(await ask('POST', `${path}/rotate`)).toEqual(keys)
  })
})
