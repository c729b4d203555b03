// Cross-signing keys and signatures.

import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type JsonObject, objectProperty } from '../../src/matrix/json.ts'
import { signJson } from '../../src/matrix/signing.ts'
import { signingKey, signingKeys, signingKeysUpload, testDevice } from '../support/device-keys.ts'
import { newClient, refusal, type RoomClient } from '../support/room-client.ts'
import { startServer, type TestServer } from '../support/server.ts'
import { textOf } from '../support/text-of.ts'

let server: TestServer
beforeAll(async () => {
  server = await startServer()
})
afterAll(() => server.stop())

let users = 0
async function client(): Promise<RoomClient> {
  users += 1
  return await newClient(server, `signer${users}`)
}

const path = '/keys/device_signing/upload'
const query = (asker: RoomClient, user: RoomClient) =>
  asker.done('POST', '/keys/query', { device_keys: { [user.userId]: [] } })
const sign = (user: RoomClient, keys: JsonObject) => user.done('POST', '/keys/signatures/upload', keys)

async function passwordAuth(user: RoomClient, body: JsonObject): Promise<JsonObject> {
  const challenge = await user.call('POST', path, body)
  expect(challenge).toMatchObject({ status: 401, body: { flows: [{ stages: ['m.login.password'] }] } })
  return {
    type: 'm.login.password',
    identifier: { type: 'm.id.user', user: user.userId },
    password: `password of ${user.userId.slice(1, user.userId.indexOf(':'))}`,
    session: textOf(challenge.body, 'session'),
  }
}

async function withKeys() {
  const user = await client()
  const device = testDevice(user)
  await user.done('POST', '/keys/upload', { device_keys: device.deviceKeys })
  const keys = signingKeys(user.userId)
  await user.done('POST', path, signingKeysUpload(keys))
  return { user, device, keys }
}

describe('cross-signing keys', () => {
  it('are shown to all but the user-signing key, which its user alone sees', async () => {
    const { user, keys } = await withKeys()
    const bob = await client()
    expect(await query(user, user)).toMatchObject({
      master_keys: { [user.userId]: keys.master.object },
      self_signing_keys: { [user.userId]: keys.selfSigning.object },
      user_signing_keys: { [user.userId]: keys.userSigning.object },
    })
    const seen = await query(bob, user)
    expect(seen).toMatchObject({
      master_keys: { [user.userId]: keys.master.object },
      self_signing_keys: { [user.userId]: keys.selfSigning.object },
    })
    expect(seen.user_signing_keys).toEqual({})
  })

  it('MSC3967: come for the first time, and once more, without authentication; others with it', async () => {
    const { user, keys } = await withKeys()
    const again = await server.measure(() => user.done('POST', path, signingKeysUpload(keys)))
    expect(again.doRowsWritten).toBe(0)
    expect((await user.call('POST', path, { master_key: keys.master.object })).status).toBe(200)
    const other = signingKeysUpload(signingKeys(user.userId))
    const auth = await passwordAuth(user, other)
    expect(await query(user, user)).toMatchObject({ master_keys: { [user.userId]: keys.master.object } })
    await user.done('POST', path, { ...other, auth })
    expect(await query(user, user)).toMatchObject({ master_keys: { [user.userId]: other.master_key } })
    expect((await user.call('POST', path, { ...other, auth })).status).toBe(200)
  })

  it('of an earlier master key end with it', async () => {
    const { user } = await withKeys()
    const body = { master_key: signingKey(user.userId, 'master').object }
    await user.done('POST', path, { ...body, auth: await passwordAuth(user, body) })
    expect(await query(user, user)).toMatchObject({ self_signing_keys: {}, user_signing_keys: {} })
  })

  it('and those of devices end with the account', async () => {
    const { user } = await withKeys()
    const bob = await client()
    const password = `password of ${user.userId.slice(1, user.userId.indexOf(':'))}`
    const identifier = { type: 'm.id.user', user: user.userId }
    await user.done('POST', '/account/deactivate', {
      auth: { type: 'm.login.password', identifier, password },
    })
    expect(await query(bob, user)).toMatchObject({
      device_keys: { [user.userId]: {} },
      master_keys: {},
      self_signing_keys: {},
    })
  })

  it('must be signed by the master key, which must be there', async () => {
    const alice = await client()
    const keys = signingKeys(alice.userId)
    const { master, selfSigning } = keys
    expect(await alice.call('POST', path, {})).toEqual(refusal(400, 'M_MISSING_PARAM'))
    expect(await alice.call('POST', path, { self_signing_key: selfSigning.object })).toEqual(
      refusal(400, 'M_MISSING_PARAM'),
    )
    const unsigned = signingKey(alice.userId, 'self_signing', signingKey(alice.userId, 'master')).object
    expect(await alice.call('POST', path, { master_key: master.object, self_signing_key: unsigned })).toEqual(
      refusal(400, 'M_INVALID_SIGNATURE'),
    )
    expect((await query(alice, alice)).master_keys).toEqual({})
  })

  it.each<[string, (key: JsonObject) => JsonObject]>([
    ['another user', (key) => ({ ...key, user_id: '@other:test.local' })],
    ['another usage', (key) => ({ ...key, usage: ['self_signing'] })],
    ['two keys', (key) => ({ ...key, keys: { ...objectProperty(key, 'keys'), 'ed25519:a': 'a' } })],
    ['a key under another name', (key) => ({ ...key, keys: { 'ed25519:a': 'b' } })],
  ])('for %s are refused', async (_, change) => {
    const alice = await client()
    const master_key = change(signingKeys(alice.userId).master.object)
    expect(await alice.call('POST', path, { master_key })).toEqual(refusal(400, 'M_INVALID_PARAM'))
  })

  it('never share an id with a device', async () => {
    const { user, keys } = await withKeys()
    const login = await server.request('POST', '/_matrix/client/v3/login', {
      body: {
        type: 'm.login.password',
        identifier: { type: 'm.id.user', user: user.userId },
        password: `password of ${user.userId.slice(1, user.userId.indexOf(':'))}`,
        device_id: keys.selfSigning.publicKey,
      },
    })
    expect(login).toEqual(refusal(403, 'M_FORBIDDEN'))
    const bob = await client()
    const { object, publicKey } = signingKey(bob.userId, 'master')
    await server.request('POST', '/_matrix/client/v3/login', {
      body: {
        type: 'm.login.password',
        identifier: { type: 'm.id.user', user: bob.userId },
        password: `password of ${bob.userId.slice(1, bob.userId.indexOf(':'))}`,
        device_id: publicKey,
      },
    })
    expect(await bob.call('POST', path, { master_key: object })).toEqual(refusal(403, 'M_FORBIDDEN'))
  })
})

describe('signatures', () => {
  it('by the self-signing key are added to a device for all to see', async () => {
    const { user, device, keys } = await withKeys()
    const bob = await client()
    const { selfSigning } = keys
    const signed = signJson(device.deviceKeys, user.userId, selfSigning.keyId, selfSigning.signing)
    const since = textOf(await user.done('GET', '/sync'), 'next_batch')
    expect(await sign(user, { [user.userId]: { [user.deviceId]: signed } })).toEqual({ failures: {} })
    expect(await query(bob, user)).toMatchObject({
      device_keys: { [user.userId]: { [user.deviceId]: { signatures: signed.signatures } } },
    })
    expect((await user.done('GET', `/sync?since=${since}`)).device_lists).toEqual({
      changed: [user.userId],
      left: [],
    })
    // The same keys uploaded again keep it; the same signature writes nothing.
    await user.done('POST', '/keys/upload', { device_keys: device.deviceKeys })
    const again = await server.measure(() => sign(user, { [user.userId]: { [user.deviceId]: signed } }))
    expect(again.doRowsWritten).toBe(0)
    expect(await query(bob, user)).toMatchObject({
      device_keys: { [user.userId]: { [user.deviceId]: { signatures: signed.signatures } } },
    })
  })

  it('by a device are added to the master key', async () => {
    const { user, device, keys } = await withKeys()
    const signed = signJson(keys.master.object, user.userId, `ed25519:${user.deviceId}`, device.signing)
    expect(await sign(user, { [user.userId]: { [keys.master.publicKey]: signed } })).toEqual({ failures: {} })
    expect(await query(await client(), user)).toMatchObject({ master_keys: { [user.userId]: signed } })
  })

  it('on the master key of another are for the one who signed alone', async () => {
    const [one, two] = [await withKeys(), await withKeys()]
    const { userSigning } = one.keys
    const signed = signJson(two.keys.master.object, one.user.userId, userSigning.keyId, userSigning.signing)
    const since = textOf(await one.user.done('GET', '/sync'), 'next_batch')
    const body = { [two.user.userId]: { [two.keys.master.publicKey]: signed } }
    expect(await sign(one.user, body)).toEqual({ failures: {} })
    expect(await query(one.user, two.user)).toMatchObject({ master_keys: { [two.user.userId]: signed } })
    for (const other of [two.user, await client()]) {
      expect(JSON.stringify(await query(other, two.user))).not.toContain(userSigning.keyId)
    }
    // The signer's other devices are told.
    expect((await one.user.done('GET', `/sync?since=${since}`)).device_lists).toEqual({
      changed: [two.user.userId],
      left: [],
    })
  })

  it('that are wrong, or on other keys than those uploaded, fail one by one', async () => {
    const [one, two] = [await withKeys(), await withKeys()]
    const { selfSigning, userSigning } = one.keys
    const own = one.user.userId
    const wrong = signJson(one.device.deviceKeys, own, selfSigning.keyId, two.keys.selfSigning.signing)
    const byUserSigning = signJson(one.device.deviceKeys, own, userSigning.keyId, userSigning.signing)
    const changed = signJson(
      { ...two.keys.master.object, extra: 1 },
      own,
      userSigning.keyId,
      userSigning.signing,
    )
    const good = signJson(two.keys.master.object, own, userSigning.keyId, userSigning.signing)
    const fail = async (user: string, key: string, object: JsonObject | string) => {
      const { failures } = await sign(one.user, { [user]: { [key]: object } })
      return objectProperty(objectProperty(failures as JsonObject, user), key)?.errcode
    }
    expect(await fail(own, one.user.deviceId, wrong)).toBe('M_INVALID_SIGNATURE')
    expect(await fail(own, one.user.deviceId, byUserSigning)).toBe('M_INVALID_SIGNATURE')
    expect(await fail(own, 'UNKNOWN', wrong)).toBe('M_NOT_FOUND')
    expect(await fail(two.user.userId, two.keys.master.publicKey, changed)).toBe('M_INVALID_PARAM')
    expect(await fail('@nobody:test.local', 'key', good)).toBe('M_NOT_FOUND')
    expect(await fail(own, one.user.deviceId, 'text')).toBe('M_BAD_JSON')
    const { failures } = await sign(one.user, {
      [own]: { [one.user.deviceId]: wrong },
      [two.user.userId]: { [two.keys.master.publicKey]: good },
    })
    expect(Object.keys(failures as JsonObject)).toEqual([own])
    expect(await query(one.user, two.user)).toMatchObject({ master_keys: { [two.user.userId]: good } })
  })
})
