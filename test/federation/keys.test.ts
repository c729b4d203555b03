// Keys between two servers of ours: asked for, claimed, kept, and told of when they change.

import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { KeyQueryAnswer } from '../../src/hub/query-keys.ts'
import type { UserId } from '../../src/matrix/event.ts'
import { type JsonObject, objectProperty } from '../../src/matrix/json.ts'
import { signJson } from '../../src/matrix/signing.ts'
import { makeAuthority } from '../support/certificates.ts'
import { oneTimeKeys, signingKeys, signingKeysUpload, testDevice } from '../support/device-keys.ts'
import { type FederatedServer, startFederatedServer } from '../support/federated-server.ts'
import { newClient, type RoomClient, roomClient } from '../support/room-client.ts'
import { textOf } from '../support/text-of.ts'

const authority = makeAuthority()
let one: FederatedServer
let two: FederatedServer
beforeAll(async () => {
  ;[one, two] = await Promise.all([
    startFederatedServer(authority, 'one.test'),
    // Two shards: users of the other one are strangers to each.
    startFederatedServer(authority, 'two.test', { vars: { HUB_SHARDS: '2' } }),
  ])
})
afterAll(() => Promise.all([one.stop(), two.stop()]))

let users = 0
const client = async (server: FederatedServer) => {
  users += 1
  return await newClient(server, `user${users}`)
}

async function eventually<T>(look: () => Promise<T | undefined>): Promise<T> {
  for (let tries = 0; ; tries += 1) {
    const found = await look()
    if (found !== undefined) return found
    if (tries > 200) throw new Error('it never came')
    await new Promise((passed) => setTimeout(passed, 50))
  }
}

/** A user with keys on each server, in a room of the first. */
async function acquainted() {
  const [alice, bob] = [await client(one), await client(two)]
  const roomId = await alice.createRoom({ preset: 'public_chat' })
  const device = testDevice(alice)
  await alice.done('POST', '/keys/upload', { device_keys: device.deviceKeys })
  await join(bob, roomId)
  await eventually(async () => ((await query(bob, alice)) ? true : undefined))
  return { alice, bob, roomId, device }
}

async function join(user: RoomClient, roomId: string): Promise<void> {
  await user.done('POST', `/join/${encodeURIComponent(roomId)}?via=${one.serverName}`, {})
}

const ask = (asker: RoomClient, user: RoomClient) =>
  asker.done('POST', '/keys/query', { device_keys: { [user.userId]: [] } })

async function query(asker: RoomClient, user: RoomClient): Promise<JsonObject | undefined> {
  return objectProperty(objectProperty(await ask(asker, user), 'device_keys'), user.userId)
}

async function since(user: RoomClient): Promise<string> {
  return textOf(await user.done('GET', '/sync'), 'next_batch')
}

/** Syncs on until device lists name somebody. */
async function deviceLists(user: RoomClient, from: string) {
  let token = from
  return await eventually(async () => {
    const answer = await user.done('GET', `/sync?since=${token}&timeout=500`)
    token = textOf(answer, 'next_batch')
    return answer.device_lists
  })
}

/** Whether the second server has the keys of a user and need not ask for them again. */
async function kept(of: RoomClient) {
  const answers = await Promise.all(
    [0, 1].map(async (shard) => {
      const hub = await two.hub(shard)
      const text = await hub.queryKeys({ users: [], remote: [of.userId as UserId] })
      return (JSON.parse(text) as KeyQueryAnswer).remote[0]
    }),
  )
  // Only the shard of a user who asks and shares a room keeps it.
  const shared = answers.filter((answer) => answer?.shared)
  return { fresh: shared.some((answer) => answer?.fresh) }
}

/** Makes a server send EDUs to the second one. */
const send = (from: FederatedServer, edus: JsonObject[]) =>
  from.request('POST', '/__call', {
    body: {
      destination: two.serverName,
      method: 'PUT',
      path: `/_matrix/federation/v1/send/edu${Date.now()}${Math.random()}`,
      content: { origin: from.serverName, origin_server_ts: Date.now(), pdus: [], edus },
      timeoutMs: 10_000,
    },
  })

const update = (user: RoomClient, fields: JsonObject) => ({
  edu_type: 'm.device_list_update',
  content: { user_id: user.userId, device_id: 'FORGED', stream_id: 9_000_000, prev_id: [], ...fields },
})

async function login(server: FederatedServer, user: RoomClient, deviceId: string): Promise<RoomClient> {
  const { body } = await server.request('POST', '/_matrix/client/v3/login', {
    body: {
      type: 'm.login.password',
      identifier: { type: 'm.id.user', user: user.userId },
      password: `password of ${user.userId.slice(1, user.userId.indexOf(':'))}`,
      device_id: deviceId,
    },
  })
  return roomClient(server, { userId: user.userId, deviceId, token: textOf(body, 'access_token') })
}

describe('keys of another server’s users', () => {
  it('are asked for with the names of their devices, and cross-signing keys with what may be seen', async () => {
    const [alice, bob] = [await client(one), await client(two)]
    const device = testDevice(alice)
    await alice.done('POST', '/keys/upload', { device_keys: device.deviceKeys })
    await alice.done('PUT', `/devices/${alice.deviceId}`, { display_name: 'phone' })
    const keys = signingKeys(alice.userId)
    await alice.done('POST', '/keys/device_signing/upload', signingKeysUpload(keys))
    const answer = await ask(bob, alice)
    expect(answer).toMatchObject({
      failures: {},
      device_keys: {
        [alice.userId]: {
          [alice.deviceId]: { ...device.deviceKeys, unsigned: { device_display_name: 'phone' } },
        },
      },
      master_keys: { [alice.userId]: keys.master.object },
      self_signing_keys: { [alice.userId]: keys.selfSigning.object },
      user_signing_keys: {},
    })
  })

  it('are claimed once, and fallback keys as they are', async () => {
    const [alice, bob] = [await client(one), await client(two)]
    const device = testDevice(alice)
    const [otk, fallback] = [oneTimeKeys(device, ['a']), oneTimeKeys(device, ['f'], { fallback: true })]
    await alice.done('POST', '/keys/upload', { one_time_keys: otk, fallback_keys: fallback })
    const claim = () =>
      bob.done('POST', '/keys/claim', {
        one_time_keys: { [alice.userId]: { [alice.deviceId]: 'signed_curve25519' } },
      })
    for (const expected of [otk, fallback, fallback]) {
      expect(await claim()).toEqual({
        one_time_keys: { [alice.userId]: { [alice.deviceId]: expected } },
        failures: {},
      })
    }
  })

  it('of servers that cannot be reached are failures, beside those that can', async () => {
    const { alice, bob } = await acquainted()
    const gone = '@someone:nobody.test:1'
    const answer = await bob.done('POST', '/keys/query', {
      timeout: 3000,
      device_keys: { [alice.userId]: [], [gone]: [] },
    })
    expect(Object.keys(answer.failures as JsonObject)).toEqual(['nobody.test:1'])
    expect(Object.keys(answer.device_keys as JsonObject)).toEqual([alice.userId])
    const claimed = await bob.done('POST', '/keys/claim', { one_time_keys: { [gone]: { D: 'x' } } })
    expect(claimed).toMatchObject({ one_time_keys: {}, failures: { 'nobody.test:1': {} } })
  })

  it('are kept while a room is shared, and brought up to date by what their server tells', async () => {
    const { alice, bob } = await acquainted()
    await eventually(async () => ((await kept(alice)).fresh ? true : undefined))
    const from = await since(bob)
    const second = await login(one, alice, 'SECOND')
    await second.done('POST', '/keys/upload', { device_keys: testDevice(second).deviceKeys })
    expect(await deviceLists(bob, from)).toEqual({ changed: [alice.userId], left: [] })
    expect(Object.keys((await query(bob, alice)) ?? {}).toSorted()).toEqual(
      [alice.deviceId, 'SECOND'].toSorted(),
    )
    expect((await kept(alice)).fresh).toBe(true)
    const then = await since(bob)
    await second.done('POST', '/logout', {})
    expect(await deviceLists(bob, then)).toEqual({ changed: [alice.userId], left: [] })
    expect(Object.keys((await query(bob, alice)) ?? {})).toEqual([alice.deviceId])
  })

  it('of a dehydrated device are told of, with what makes it one, and that it is gone', async () => {
    const { alice, bob } = await acquainted()
    const from = await since(bob)
    const path = '/../unstable/org.matrix.msc3814.v1/dehydrated_device'
    const { deviceKeys } = testDevice({ userId: alice.userId, deviceId: 'DRY' })
    await alice.done('PUT', path, {
      device_id: 'DRY',
      device_data: { algorithm: 'm.dehydration.v2' },
      device_keys: { ...deviceKeys, dehydrated: true },
    })
    expect(await deviceLists(bob, from)).toEqual({ changed: [alice.userId], left: [] })
    expect(await query(bob, alice)).toMatchObject({ DRY: { dehydrated: true } })
    expect((await kept(alice)).fresh).toBe(true)
    const then = await since(bob)
    await alice.done('DELETE', path)
    expect(await deviceLists(bob, then)).toEqual({ changed: [alice.userId], left: [] })
    expect(Object.keys((await query(bob, alice)) ?? {})).toEqual([alice.deviceId])
  })

  it('that were signed, or are other cross-signing keys, are told of', async () => {
    const { alice, bob, device } = await acquainted()
    const from = await since(bob)
    const keys = signingKeys(alice.userId)
    await alice.done('POST', '/keys/device_signing/upload', signingKeysUpload(keys))
    expect(await deviceLists(bob, from)).toEqual({ changed: [alice.userId], left: [] })
    expect(await ask(bob, alice)).toMatchObject({ master_keys: { [alice.userId]: keys.master.object } })
    const then = await since(bob)
    const { keyId, signing } = keys.selfSigning
    const signed = signJson(device.deviceKeys, alice.userId, keyId, signing)
    await alice.done('POST', '/keys/signatures/upload', { [alice.userId]: { [alice.deviceId]: signed } })
    expect(await deviceLists(bob, then)).toEqual({ changed: [alice.userId], left: [] })
    expect(await query(bob, alice)).toMatchObject({ [alice.deviceId]: { signatures: signed.signatures } })
  })

  it('can be signed by those who verify them, for themselves', async () => {
    const { alice, bob } = await acquainted()
    const [theirs, own] = [signingKeys(alice.userId), signingKeys(bob.userId)]
    await alice.done('POST', '/keys/device_signing/upload', signingKeysUpload(theirs))
    await bob.done('POST', '/keys/device_signing/upload', signingKeysUpload(own))
    const signed = signJson(theirs.master.object, bob.userId, own.userSigning.keyId, own.userSigning.signing)
    const failures = await eventually(async () => {
      const body = { [alice.userId]: { [theirs.master.publicKey]: signed } }
      const answer = await bob.done('POST', '/keys/signatures/upload', body)
      return Object.keys(answer.failures as JsonObject).length === 0 ? answer.failures : undefined
    })
    expect(failures).toEqual({})
    expect(await ask(bob, alice)).toMatchObject({ master_keys: { [alice.userId]: signed } })
    expect(JSON.stringify(await ask(alice, alice))).not.toContain(own.userSigning.keyId)
  })
})

describe('who shares a room with users of another server', () => {
  it('is told when they come and go, and gets no keys from before they came back', async () => {
    const { alice, bob, roomId } = await acquainted()
    const from = await since(bob)
    await alice.leave(roomId)
    expect(await deviceLists(bob, from)).toEqual({ changed: [], left: [alice.userId] })
    // Nobody tells of this.
    const second = await login(one, alice, 'AWAY')
    await second.done('POST', '/keys/upload', { device_keys: testDevice(second).deviceKeys })
    expect(Object.keys((await query(bob, alice)) ?? {})).toContain('AWAY')
    const then = await since(bob)
    await alice.join(roomId)
    expect(await deviceLists(bob, then)).toEqual({ changed: [alice.userId], left: [] })
    expect(Object.keys((await query(bob, alice)) ?? {})).toContain('AWAY')
  })

  it('is told of users of the same server in another shard', async () => {
    const people = [await client(two), await client(two), await client(two), await client(two)]
    const [first, ...others] = people
    if (!first) throw new Error('nobody')
    const roomId = await first.createRoom({ preset: 'public_chat' })
    for (const other of others) await other.join(roomId)
    for (const watcher of people) {
      for (const user of people.filter((person) => person !== watcher)) {
        const from = await since(watcher)
        await user.done('POST', '/keys/upload', { device_keys: testDevice(user).deviceKeys })
        const lists = await deviceLists(watcher, from)
        expect(lists).toEqual({ changed: [user.userId], left: [] })
      }
    }
    const last = others.at(-1)
    const from = await since(first)
    await last?.leave(roomId)
    expect(await deviceLists(first, from)).toEqual({ changed: [], left: [last?.userId] })
  })
})

describe('an update of another server', () => {
  it('about a user who is not its own changes nothing', async () => {
    const { alice, bob } = await acquainted()
    const carol = await client(two)
    await carol.join(await bob.createRoom({ preset: 'public_chat' }))
    const from = await since(bob)
    const forged = testDevice({ userId: carol.userId, deviceId: 'FORGED' }).deviceKeys
    await send(one, [
      update(carol, { keys: forged }),
      { edu_type: 'm.signing_key_update', content: { user_id: carol.userId } },
    ])
    const { device_lists } = await bob.done('GET', `/sync?since=${from}`)
    expect(device_lists).toBeUndefined()
    expect(await query(bob, carol)).toEqual({})
    expect(Object.keys((await query(bob, alice)) ?? {})).toEqual([alice.deviceId])
  })

  it('that does not go on from the last makes the list be fetched again', async () => {
    const { alice, bob } = await acquainted()
    await query(bob, alice)
    const from = await since(bob)
    const forged = testDevice({ userId: alice.userId, deviceId: 'FORGED' }).deviceKeys
    await send(one, [update(alice, { keys: forged, prev_id: [8_999_999] })])
    expect(await deviceLists(bob, from)).toEqual({ changed: [alice.userId], left: [] })
    expect((await kept(alice)).fresh).toBe(false)
    // What the server itself says counts, not the update.
    expect(Object.keys((await query(bob, alice)) ?? {})).toEqual([alice.deviceId])
  })

  it('of another form is ignored', async () => {
    const { alice, bob } = await acquainted()
    const from = await since(bob)
    await send(one, [
      update(alice, { stream_id: 'one' }),
      update(alice, { device_id: 5 }),
      { edu_type: 'm.device_list_update', content: {} },
      { edu_type: 'm.signing_key_update', content: { user_id: 'nobody' } },
    ])
    expect((await bob.done('GET', `/sync?since=${from}`)).device_lists).toBeUndefined()
  })
})

describe('other servers', () => {
  const call = async (path: string, content?: JsonObject) => {
    const { body } = await two.request('POST', '/__call', {
      body: {
        destination: one.serverName,
        method: content ? 'POST' : 'GET',
        path: `/_matrix/federation/v1/user/${path}`,
        timeoutMs: 10_000,
        ...(content ? { content } : {}),
      },
    })
    return body
  }

  it('get a device list with its number', async () => {
    const alice = await client(one)
    const { deviceKeys } = testDevice(alice)
    await alice.done('POST', '/keys/upload', { device_keys: deviceKeys })
    expect(await call(`devices/${encodeURIComponent(alice.userId)}`)).toMatchObject({
      status: 200,
      body: {
        user_id: alice.userId,
        stream_id: expect.any(Number),
        devices: [{ device_id: alice.deviceId, keys: deviceKeys }],
      },
    })
    expect(await call(`devices/${encodeURIComponent(`@nobody:${one.serverName}`)}`)).toMatchObject({
      status: 404,
    })
  })

  it('ask for our own users alone, and never see user-signing keys', async () => {
    const alice = await client(one)
    await alice.done('POST', '/keys/device_signing/upload', signingKeysUpload(signingKeys(alice.userId)))
    const answer = await call('keys/query', { device_keys: { [alice.userId]: [] } })
    expect(answer).toMatchObject({ status: 200, body: { master_keys: { [alice.userId]: {} } } })
    expect(JSON.stringify(answer)).not.toContain('user_signing')
    const stranger = '@someone:else.test'
    expect(await call('keys/query', { device_keys: { [stranger]: [] } })).toMatchObject({ status: 400 })
    expect(await call('keys/claim', { one_time_keys: { [stranger]: { D: 'x' } } })).toMatchObject({
      status: 400,
    })
    expect(await call(`devices/${encodeURIComponent(stranger)}`)).toMatchObject({ status: 400 })
  })
})
