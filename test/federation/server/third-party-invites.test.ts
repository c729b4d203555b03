import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { encodeBase64 } from '../../../src/matrix/base64.ts'
import { countersignEvent } from '../../../src/matrix/event-signature.ts'
import type { JsonObject } from '../../../src/matrix/json.ts'
import { roomVersion } from '../../../src/matrix/room-version.ts'
import { signJson } from '../../../src/matrix/signing.ts'
import { makeAuthority } from '../../support/certificates.ts'
import {
  type FakeHomeserver,
  fakeKey,
  signedRequest,
  startFakeHomeserver,
} from '../../support/fake-homeserver.ts'
import { type FakeIdentityServer, startFakeIdentityServer } from '../../support/fake-identity-server.ts'
import { type FederatedServer, startFederatedServer } from '../../support/federated-server.ts'
import { newClient, refusal, type RoomClient } from '../../support/room-client.ts'

const authority = makeAuthority()
let identity: FakeIdentityServer
let server: FederatedServer
let second: FederatedServer
let remote: FakeHomeserver
let alice: RoomClient
beforeAll(async () => {
  ;[identity, server, second, remote] = await Promise.all([
    startFakeIdentityServer(authority),
    startFederatedServer(authority, 'hearth.test'),
    startFederatedServer(authority, 'second.test'),
    startFakeHomeserver(authority, 'remote.test'),
  ])
  alice = await newClient(server, 'alice')
})
beforeEach(() => identity.reset())
afterAll(async () => {
  await Promise.all([identity.stop(), remote.stop(), server.stop(), second.stop()])
})

/** A room with an invite of an e-mail address, whose token is `t`. */
async function roomWithInvite(options: JsonObject = {}, more: JsonObject = {}) {
  const roomId = await alice.createRoom({ room_version: '10', ...options })
  const content = {
    display_name: 'b...',
    key_validity_url: validityUrl(),
    public_key: encodeBase64(identity.longTerm.key.publicKey),
    ...more,
  }
  expect((await alice.setState(roomId, 'm.room.third_party_invite', content, 't')).status).toBe(200)
  return roomId
}

const bob = () => `@bob:${remote.serverName}`

const validityUrl = () => `https://${identity.name}/_matrix/identity/v2/pubkey/isvalid`

function proof(mxid: string, token = 't', key = identity.longTerm): JsonObject {
  return signJson({ mxid, token }, 'identity.test', key.keyId, key.key)
}

async function exchange(roomId: string, changes: JsonObject = {}, signed: JsonObject = proof(bob())) {
  const content = {
    type: 'm.room.member',
    room_id: roomId,
    sender: alice.userId,
    state_key: bob(),
    content: { membership: 'invite', third_party_invite: { display_name: 'b...', signed } },
    ...changes,
  }
  const uri = `/_matrix/federation/v1/exchange_third_party_invite/${encodeURIComponent(roomId)}`
  const { authorization, body } = signedRequest(remote.signer, server.serverName, { uri, content })
  const response = await server.fetch(uri, {
    method: 'PUT',
    headers: { Authorization: authorization, 'Content-Type': 'application/json' },
    ...(body === undefined ? {} : { body }),
  })
  return { status: response.status, body: await response.json<JsonObject>() }
}

describe('exchanging a third-party invite', () => {
  test('makes an invite that the other server is asked to sign', async () => {
    const roomId = await roomWithInvite()
    const rules = roomVersion('10')
    if (!rules) throw new Error('no version 10')
    remote.route(`/_matrix/federation/v2/invite/${encodeURIComponent(roomId)}/*`, (_, response, text) => {
      const { event } = JSON.parse(text) as { event: JsonObject }
      const signed = countersignEvent(event, rules, remote.serverName, remote.key.keyId, remote.key.key)
      response.writeHead(200, { 'Content-Type': 'application/json' }).end(JSON.stringify({ event: signed }))
    })
    expect(await exchange(roomId)).toEqual({ status: 200, body: {} })
    expect(await alice.state(roomId, 'm.room.member', bob())).toMatchObject({
      membership: 'invite',
      third_party_invite: { display_name: 'b...', signed: { mxid: bob(), token: 't' } },
    })
  })

  const refusals: [string, () => [JsonObject, JsonObject?], ReturnType<typeof refusal>][] = [
    [
      'with a proof by another key',
      () => [{}, proof(bob(), 't', fakeKey('ed25519:other'))],
      refusal(403, 'M_FORBIDDEN'),
    ],
    ['with a proof for somebody else', () => [{}, proof('@eve:remote.test')], refusal(403, 'M_FORBIDDEN')],
    ['with an unknown token', () => [{}, proof(bob(), 'unknown')], refusal(403, 'M_FORBIDDEN')],
    [
      'of a user of another server',
      () => [{ state_key: '@bob:other.test' }],
      refusal(400, 'M_INVALID_PARAM'),
    ],
    ['by a user of another server', () => [{ sender: '@rita:other.test' }], refusal(400, 'M_INVALID_PARAM')],
    ['of another room', () => [{ room_id: '!other:hearth.test' }], refusal(400, 'M_INVALID_PARAM')],
    [
      'that is another membership',
      () => [{ content: { membership: 'join' } }],
      refusal(400, 'M_INVALID_PARAM'),
    ],
    ['that is another event', () => [{ type: 'm.room.topic' }], refusal(400, 'M_INVALID_PARAM')],
    ['without a proof', () => [{ content: { membership: 'invite' } }], refusal(400, 'M_MISSING_PARAM')],
  ]
  test.each(refusals)('is refused %s', async (_, make, expected) => {
    const roomId = await roomWithInvite()
    expect(await exchange(roomId, ...make())).toEqual(expected)
    expect(await alice.state(roomId, 'm.room.member', bob())).toBeUndefined()
  })

  test('is refused to a server that the ACL shuts out, and in rooms that are not here', async () => {
    const roomId = await roomWithInvite()
    await alice.setState(roomId, 'm.room.server_acl', { allow: [server.serverName, 'hearth.test'] })
    expect(await exchange(roomId)).toEqual(refusal(403, 'M_FORBIDDEN'))
    expect(await exchange('!nowhere:hearth.test')).toEqual(refusal(404, 'M_NOT_FOUND'))
  })
})

describe('an identity server that tells whose an address is', () => {
  let users = 0
  const newUser = (at: FederatedServer) => newClient(at, `bound${(users += 1)}`)

  const bound = (roomId: string, userId: string, changes: JsonObject = {}): JsonObject => ({
    medium: 'email',
    address: 'b@example.org',
    mxid: userId,
    room_id: roomId,
    sender: alice.userId,
    signed: proof(userId),
    ...changes,
  })

  async function onbind(
    at: FederatedServer,
    userId: string,
    invites: JsonObject[],
    changes: JsonObject = {},
  ) {
    const body = { medium: 'email', address: 'b@example.org', mxid: userId, invites, ...changes }
    return await at.request('PUT', '/_matrix/federation/v1/3pid/onbind', { body })
  }
  const done = expect.objectContaining({ status: 200, body: {} })

  const membership = async (roomId: string, userId: string) =>
    (await alice.state(roomId, 'm.room.member', userId))?.['membership']

  test('has a user of the inviting server invited', async () => {
    const roomId = await roomWithInvite()
    const carol = await newUser(server)
    expect(await onbind(server, carol.userId, [bound(roomId, carol.userId)])).toEqual(done)
    expect(await alice.state(roomId, 'm.room.member', carol.userId)).toEqual({
      membership: 'invite',
      third_party_invite: { display_name: 'b...', signed: proof(carol.userId) },
    })
    expect((await carol.join(roomId)).status).toBe(200)
  })

  test('has one invited by a server that is in the room, in the name of who asked', async () => {
    const roomId = await roomWithInvite({ preset: 'public_chat' })
    const resident = await newUser(second)
    const carol = await newUser(second)
    const join = `/join/${encodeURIComponent(roomId)}?server_name=${server.serverName}`
    await resident.done('POST', join, {})
    const asked = server.logs.length
    expect(await onbind(second, carol.userId, [bound(roomId, carol.userId)])).toEqual(done)
    expect(await resident.state(roomId, 'm.room.member', carol.userId)).toMatchObject({
      membership: 'invite',
    })
    // The server of who asked learns of it like all others.
    await expect.poll(() => membership(roomId, carol.userId), { timeout: 10_000 }).toBe('invite')
    expect(server.logs.slice(asked).filter((line) => line.includes('refused'))).toEqual([])
    expect((await carol.join(roomId)).status).toBe(200)
    await expect.poll(() => membership(roomId, carol.userId), { timeout: 10_000 }).toBe('join')
  })

  test('has one invited by the server of who asked, where theirs is not in the room', async () => {
    const roomId = await roomWithInvite()
    const carol = await newUser(second)
    expect(await onbind(second, carol.userId, [bound(roomId, carol.userId)])).toEqual(done)
    expect(await alice.state(roomId, 'm.room.member', carol.userId)).toMatchObject({
      membership: 'invite',
      third_party_invite: { display_name: 'b...', signed: { mxid: carol.userId, token: 't' } },
    })
    const { body } = await carol.call('GET', '/sync')
    expect(Object.keys((body['rooms'] as { invite: JsonObject }).invite)).toEqual([roomId])
    expect((await carol.join(roomId)).status).toBe(200)
    expect(await membership(roomId, carol.userId)).toBe('join')
  })

  const unproven: [string, (userId: string) => JsonObject][] = [
    ['signed by another key', (userId) => ({ signed: proof(userId, 't', fakeKey('ed25519:other')) })],
    ['for an unknown token', (userId) => ({ signed: proof(userId, 'unknown') })],
    ['signed before it was changed', (userId) => ({ signed: { ...proof(`${userId}x`), mxid: userId } })],
    ['in the name of somebody else', () => ({ sender: `@eve:${server.serverName}` })],
  ]
  test.each(unproven)('brings nobody into a room by a proof %s', async (_, changes) => {
    const roomId = await roomWithInvite()
    for (const at of [server, second]) {
      const { userId } = await newUser(at)
      await onbind(at, userId, [bound(roomId, userId, changes(userId))])
      expect(await membership(roomId, userId)).toBeUndefined()
    }
  })

  test('cannot take anybody out of a room, nor back into one they have left', async () => {
    for (const at of [server, second]) {
      const roomId = await roomWithInvite()
      const carol = await newUser(at)
      const again = () => onbind(at, carol.userId, [bound(roomId, carol.userId)])
      await again()
      await carol.join(roomId)
      await again()
      expect(await membership(roomId, carol.userId)).toBe('join')
      await carol.leave(roomId)
      await expect.poll(() => membership(roomId, carol.userId), { timeout: 10_000 }).toBe('leave')
      await again()
      expect(await membership(roomId, carol.userId)).toBe('leave')
    }
  })

  test('is asked to try again where the server of who asked does not answer', async () => {
    const { userId } = await newUser(server)
    const down = bound('!a:down.test', userId, { sender: '@a:down.test:1' })
    expect(await onbind(server, userId, [down])).toEqual(refusal(502, 'M_CONNECTION_FAILED'))
  })

  test('is told what makes no sense', async () => {
    const { userId } = await newUser(server)
    const room = '!a:hearth.test'
    const fine = bound(room, userId)
    const stranger = `@nobody:${server.serverName}`
    const requests: [Parameters<typeof onbind>[1], JsonObject[], JsonObject, number, string][] = [
      [userId, [], { invites: 'none' }, 400, 'M_BAD_JSON'],
      [userId, [{}], {}, 400, 'M_MISSING_PARAM'],
      [userId, Array.from({ length: 51 }, () => fine), {}, 400, 'M_BAD_JSON'],
      [userId, [{ ...fine, room_id: 'a' }], {}, 400, 'M_INVALID_PARAM'],
      [userId, [{ ...fine, sender: 'a' }], {}, 400, 'M_INVALID_PARAM'],
      [userId, [{ ...fine, mxid: stranger }], {}, 400, 'M_INVALID_PARAM'],
      [userId, [{ ...fine, signed: proof(stranger) }], {}, 400, 'M_INVALID_PARAM'],
      [
        userId,
        [{ ...fine, signed: { mxid: userId, token: 't', signatures: {} } }],
        {},
        400,
        'M_INVALID_PARAM',
      ],
      [userId, [{ ...fine, signed: { mxid: userId, token: 't' } }], {}, 400, 'M_MISSING_PARAM'],
      [bob(), [], {}, 400, 'M_INVALID_PARAM'],
      ['nobody', [], {}, 400, 'M_INVALID_PARAM'],
      [stranger, [], {}, 404, 'M_NOT_FOUND'],
    ]
    for (const [mxid, invites, changes, status, errcode] of requests) {
      expect(await onbind(server, mxid, invites, changes)).toEqual(refusal(status, errcode))
    }
    expect(await onbind(server, userId, [])).toEqual(done)
    const huge = { medium: 'a'.repeat(2_000_000) }
    expect(await onbind(server, userId, [], huge)).toEqual(refusal(413, 'M_TOO_LARGE'))
  })
})
