import { afterAll, beforeAll, describe, expect, test } from 'vitest'
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
import { type FederatedServer, startFederatedServer } from '../../support/federated-server.ts'
import { newClient, refusal, type RoomClient } from '../../support/room-client.ts'

const authority = makeAuthority()
const identityKey = fakeKey('ed25519:identity')
let server: FederatedServer
let remote: FakeHomeserver
let alice: RoomClient
beforeAll(async () => {
  server = await startFederatedServer(authority, 'hearth.test')
  remote = await startFakeHomeserver(authority, 'remote.test')
  alice = await newClient(server, 'alice')
})
afterAll(async () => {
  await remote.stop()
  await server.stop()
})

/** A room with an invite of an e-mail address, whose token is `t`. */
async function roomWithInvite() {
  const roomId = await alice.createRoom({ room_version: '10' })
  const content = {
    display_name: 'b...',
    key_validity_url: 'https://identity.test/valid',
    public_key: encodeBase64(identityKey.key.publicKey),
  }
  expect((await alice.setState(roomId, 'm.room.third_party_invite', content, 't')).status).toBe(200)
  return roomId
}

const bob = () => `@bob:${remote.serverName}`

function proof(mxid: string, token = 't', key = identityKey): JsonObject {
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
