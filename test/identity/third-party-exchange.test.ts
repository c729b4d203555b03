// Invites by e-mail from the one who invites to the one who joins: two servers of ours and an identity server between them.

import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { encodeBase64 } from '../../src/matrix/base64.ts'
import type { JsonObject } from '../../src/matrix/json.ts'
import { signJson } from '../../src/matrix/signing.ts'
import { failure, type FakeIdentityServer, type Reply } from '../support/fake-identity-server.ts'
import { type FakeKey, fakeKey } from '../support/fake-homeserver.ts'
import type { FederatedServer } from '../support/federated-server.ts'
import { type IdentitySetting, startIdentitySetting } from '../support/identity-setting.ts'
import { newClient, refusal, type RoomClient } from '../support/room-client.ts'
import { textOf } from '../support/text-of.ts'

let setting: IdentitySetting
let one: FederatedServer
let two: FederatedServer
let identity: FakeIdentityServer
let alice: RoomClient
beforeAll(async () => {
  setting = await startIdentitySetting('one.test')
  ;({ server: one, identity } = setting)
  two = await setting.anotherServer('two.test')
  alice = await newClient(one, 'alice')
})
beforeEach(() => identity.reset())
afterAll(() => setting.stop())

const carols = { medium: 'email', address: 'carol@example.org' }
const byEmail = () => ({ ...identity.credentials, ...carols })
let users = 0
const newCarol = (at: FederatedServer) => newClient(at, `carol${(users += 1)}`)

/** A room of alice's into which she has invited the address. */
async function roomWithInvite(options: JsonObject = {}): Promise<string> {
  const roomId = await alice.createRoom(options)
  expect((await alice.inRoom('POST', roomId, 'invite', byEmail())).status).toBe(200)
  return roomId
}

/** Carol says at the identity server, through her homeserver, that the address is hers. */
async function bind(carol: RoomClient): Promise<void> {
  const session = { sid: 'carol_at_example.org', client_secret: 'secret' }
  await carol.done('POST', '/account/3pid/bind', {
    ...session,
    ...identity.credentials,
  })
}

/** The identity server tells Carol's homeserver of all invites that waited. */
async function onbind(at: FederatedServer, method = 'PUT') {
  const [binding] = identity.bindings
  if (!binding) throw new Error('nothing is bound')
  const body = { ...binding, invites: identity.invitesFor(binding) }
  const answer = await at.request(method, '/_matrix/federation/v1/3pid/onbind', { body })
  return { status: answer.status, body: answer.body }
}

const membership = async (roomId: string, carol: RoomClient) =>
  (await alice.state(roomId, 'm.room.member', carol.userId))?.['membership']
const asked = () => identity.paths()
const done = { status: 200, body: {} }

const places: [string, () => FederatedServer][] = [
  ['the server of who invited', () => one],
  ['another server', () => two],
]

describe.each(places)('somebody invited by e-mail who then signs up at %s', (_, place) => {
  test.each(['PUT', 'POST'])(
    'is invited once the address is theirs (told by %s), and joins',
    async (method) => {
      const roomId = await roomWithInvite({ name: 'Emporium' })
      const carol = await newCarol(place())
      await bind(carol)
      expect(await onbind(place(), method)).toEqual(done)
      expect(await alice.state(roomId, 'm.room.member', carol.userId)).toMatchObject({
        membership: 'invite',
        third_party_invite: { display_name: 'f...@b...', signed: { mxid: carol.userId } },
      })
      const sync = await carol.done('GET', '/sync')
      expect(JSON.stringify((sync['rooms'] as JsonObject)['invite'])).toContain('Emporium')
      expect((await carol.join(roomId)).status).toBe(200)
      await expect.poll(() => membership(roomId, carol), { timeout: 10_000 }).toBe('join')
      // Whoever let them in has asked whether the key still counts.
      expect(asked().filter((path) => path === '/pubkey/isvalid')).toHaveLength(1)
      expect(JSON.stringify(await alice.call('GET', `/rooms/${roomId}/state`))).not.toContain('carol@')
    },
  )

  test('is told that the room is for the two of them alone', async () => {
    const roomId = await alice.createRoom({ is_direct: true, invite_3pid: [byEmail()] })
    const carol = await newCarol(place())
    await bind(carol)
    expect(await onbind(place())).toEqual(done)
    expect(await alice.state(roomId, 'm.room.member', carol.userId)).toMatchObject({
      membership: 'invite',
      is_direct: true,
    })
  })

  test('is not invited where the key has been revoked', async () => {
    const roomId = await roomWithInvite()
    identity.revoked.add(encodeBase64(identity.longTerm.key.publicKey))
    const carol = await newCarol(place())
    await bind(carol)
    // There is nothing to try again.
    expect(await onbind(place())).toEqual(done)
    expect(await membership(roomId, carol)).toBeUndefined()
  })

  const doubtful: [string, Reply][] = [
    ['says something else', { body: { valid: 'true' } }],
    ['says nothing', { body: {} }],
  ]
  test.each(doubtful)('is not invited where the identity server %s about the key', async (_what, reply) => {
    const roomId = await roomWithInvite()
    identity.replies.set('/pubkey/isvalid', () => reply)
    const carol = await newCarol(place())
    await bind(carol)
    expect(await onbind(place())).toEqual(done)
    expect(await membership(roomId, carol)).toBeUndefined()
  })

  const silent: [string, Reply][] = [
    ['does not know', failure(404, 'M_NOT_FOUND')],
    ['leads elsewhere', { status: 302, headers: { Location: 'https://identity.test/valid' } }],
    ['answers a text', { body: 'valid' }],
  ]
  test.each(silent)('may be told of again where the identity server %s', async (_what, reply) => {
    const roomId = await roomWithInvite()
    identity.replies.set('/pubkey/isvalid', () => reply)
    const carol = await newCarol(place())
    await bind(carol)
    expect((await onbind(place())).status).toBe(502)
    expect(await membership(roomId, carol)).toBeUndefined()
    identity.replies.clear()
    expect(await onbind(place())).toEqual(done)
    expect(await membership(roomId, carol)).toBe('invite')
  })

  test('is let in where the event names no place to ask about the key, and not where it is none', async () => {
    const key = encodeBase64(identity.longTerm.key.publicKey)
    const urls = {
      t1: undefined,
      t2: 'http://identity.test/valid',
      t3: 'valid',
      t4: 'https://a:b@identity.test/',
    }
    const roomId = await alice.createRoom()
    const carol = await newCarol(place())
    for (const [token, url] of Object.entries(urls)) {
      const content = {
        display_name: 'c...',
        public_key: key,
        ...(url === undefined ? {} : { key_validity_url: url }),
      }
      await alice.setState(roomId, 'm.room.third_party_invite', content, token)
    }
    const claim = (token: string) => join(carol, roomId, { token }, identity.longTerm)
    for (const token of ['t2', 't3', 't4']) expect(await claim(token)).toEqual(refusal(403, 'M_FORBIDDEN'))
    expect(await membership(roomId, carol)).toBeUndefined()
    expect((await claim('t1')).status).toBe(200)
  })

  describe('and has the proof signed', () => {
    test('joins with it', async () => {
      const roomId = await roomWithInvite()
      const carol = await newCarol(place())
      const answer = await join(carol, roomId)
      expect(answer).toMatchObject({ status: 200, body: { room_id: roomId } })
      await expect.poll(() => membership(roomId, carol), { timeout: 10_000 }).toBe('join')
      expect(asked().at(-1)).toBe('/pubkey/ephemeral/isvalid')
      // The proof is part of the invite alone.
      expect(Object.keys((await alice.state(roomId, 'm.room.member', carol.userId)) ?? {})).not.toContain(
        'third_party_signed',
      )
      // In the room it proves nothing more, and does no harm.
      expect((await join(carol, roomId)).status).toBe(200)
    })

    test('joins with it by the path of rooms as well', async () => {
      const roomId = await roomWithInvite()
      const carol = await newCarol(place())
      const body = { third_party_signed: proof(carol) }
      expect((await carol.inRoom('POST', roomId, 'join', body)).status).toBe(200)
    })

    const refusals: [string, (carol: RoomClient) => Parameters<typeof proof>][] = [
      ['for another token', (carol) => [carol, { token: 'other' }]],
      ['of somebody else', (carol) => [carol, { mxid: '@eve:two.test' }]],
      ['in the name of somebody else', (carol) => [carol, { sender: `@eve:${one.serverName}` }]],
      ['by another key', (carol) => [carol, {}, fakeKey('ed25519:other')]],
    ]
    test.each(refusals)('does not join with one %s', async (_what, make) => {
      const roomId = await roomWithInvite()
      const carol = await newCarol(place())
      const answer = await carol.join(roomId, { third_party_signed: proof(...make(carol)) })
      expect(answer).toEqual(refusal(403, 'M_FORBIDDEN'))
      expect(await membership(roomId, carol)).toBeUndefined()
    })

    test('does not join with one that was changed, used before, or whose key was revoked', async () => {
      const roomId = await roomWithInvite()
      const carol = await newCarol(place())
      const changed = { ...proof(carol), more: true }
      expect(await carol.join(roomId, { third_party_signed: changed })).toEqual(refusal(403, 'M_FORBIDDEN'))
      expect((await join(carol, roomId)).status).toBe(200)
      await carol.leave(roomId)
      await expect.poll(() => membership(roomId, carol), { timeout: 10_000 }).toBe('leave')
      expect(await join(carol, roomId)).toEqual(refusal(403, 'M_FORBIDDEN'))
      identity.revoked.add(encodeBase64(identity.ephemeral.key.publicKey))
      expect(await join(await newCarol(place()), roomId)).toEqual(refusal(403, 'M_FORBIDDEN'))
    })

    const senseless: [unknown, string][] = [
      [null, 'M_INVALID_PARAM'],
      ['proof', 'M_INVALID_PARAM'],
      [{}, 'M_MISSING_PARAM'],
      [{ sender: '@a:b', mxid: '@a:b', token: 7, signatures: {} }, 'M_INVALID_PARAM'],
      [{ sender: '@a:b', mxid: '@a:b', token: 't', signatures: { a: 'b' } }, 'M_INVALID_PARAM'],
      [{ sender: 'alice', mxid: '@a:b', token: 't', signatures: {} }, 'M_INVALID_PARAM'],
    ]
    test.each(senseless)('is refused with %j', async (value, errcode) => {
      const carol = await newCarol(place())
      const answer = await carol.join('!a:one.test', { third_party_signed: value as JsonObject })
      expect(answer).toEqual(refusal(400, errcode))
    })
  })
})

/** What the identity server signs for somebody who has followed the link in the mail: it has handed out the key for it. */
function proof(carol: RoomClient, changes: JsonObject = {}, key: FakeKey = identity.ephemeral): JsonObject {
  const token = identity.stored[0] ? textOf(identity.stored[0], 'token') : ''
  const signed = { mxid: carol.userId, sender: alice.userId, token, ...changes }
  return signJson(signed, identity.name, key.keyId, key.key)
}

function join(carol: RoomClient, roomId: string, changes: JsonObject = {}, key?: FakeKey) {
  return carol.join(roomId, { third_party_signed: proof(carol, changes, key) })
}
