import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { encodeBase64 } from '../../src/matrix/base64.ts'
import type { JsonObject, JsonValue } from '../../src/matrix/json.ts'
import { failure, type FakeIdentityServer, type Reply } from '../support/fake-identity-server.ts'
import type { FederatedServer } from '../support/federated-server.ts'
import { type IdentitySetting, startIdentitySetting } from '../support/identity-setting.ts'
import { textOf } from '../support/text-of.ts'
import { newClient, refusal, type RoomClient } from '../support/room-client.ts'

let setting: IdentitySetting
let server: FederatedServer
let identity: FakeIdentityServer
let alice: RoomClient
let bob: RoomClient
beforeAll(async () => {
  setting = await startIdentitySetting()
  ;({ server, identity } = setting)
  alice = await newClient(server, 'alice')
  bob = await newClient(server, 'bob')
})
beforeEach(() => identity.reset())
afterAll(() => setting.stop())

const carol = { medium: 'email', address: 'carol@example.org' }
const byEmail = (changes: JsonObject = {}): JsonObject => ({
  ...identity.credentials,
  ...carol,
  ...changes,
})
const invite = (roomId: string, changes: JsonObject = {}, user = alice) =>
  user.inRoom('POST', roomId, 'invite', byEmail(changes))
const paths = () => identity.paths()
const done = expect.objectContaining({ status: 200, body: {} })

/** What the room says of addresses that were invited: token and content of each. */
async function invitedAddresses(roomId: string): Promise<[string, JsonObject][]> {
  const { body } = await alice.call('GET', `/rooms/${encodeURIComponent(roomId)}/state`)
  const events = body as unknown as JsonObject[]
  return events
    .filter(({ type }) => type === 'm.room.third_party_invite')
    .map(({ state_key, content }) => [state_key as string, content as JsonObject])
}

describe('inviting somebody by e-mail', () => {
  test('MSC2134: invites the user whose address it is, found by its hash', async () => {
    const roomId = await alice.createRoom()
    identity.bindings.push({ ...carol, mxid: bob.userId })
    expect(await invite(roomId, { address: 'Carol@Example.org', reason: 'Come in' })).toEqual(done)
    expect(await alice.state(roomId, 'm.room.member', bob.userId)).toMatchObject({
      membership: 'invite',
      reason: 'Come in',
    })
    expect(paths()).toEqual(['/hash_details', '/lookup'])
    expect(identity.asked.map(({ authorization }) => authorization)).toEqual(['Bearer token', 'Bearer token'])
    expect(identity.asked[1]?.body).toEqual({
      algorithm: 'sha256',
      pepper: 'matrixrocks',
      addresses: ['8tKbIM8ECZCrzWaEDwSJrS5_l9pNMEEMYFGYNe1qx5M'],
    })
    expect(await invitedAddresses(roomId)).toEqual([])
  })

  test('invites the address where nobody is known to own it', async () => {
    const roomId = await alice.createRoom()
    expect(await invite(roomId)).toEqual(done)
    const [stored] = identity.stored
    const [[token, content] = [], ...others] = await invitedAddresses(roomId)
    expect(others).toEqual([])
    expect(token).toBe(stored?.['token'])
    const validity = `https://${identity.name}/_matrix/identity/v2/pubkey`
    const key = (at: 'longTerm' | 'ephemeral') => encodeBase64(identity[at].key.publicKey)
    expect(content).toEqual({
      display_name: 'f...@b...',
      public_key: key('longTerm'),
      key_validity_url: `${validity}/isvalid`,
      public_keys: [
        { public_key: key('longTerm'), key_validity_url: `${validity}/isvalid` },
        { public_key: key('ephemeral'), key_validity_url: `${validity}/ephemeral/isvalid` },
      ],
    })
    // The address is nowhere in the room.
    expect(JSON.stringify(content)).not.toContain('carol')
  })

  test('tells the identity server what it may tell the invited', async () => {
    await alice.call('PUT', `/profile/${alice.userId}/displayname`, { displayname: 'Alice' })
    await alice.call('PUT', `/profile/${alice.userId}/avatar_url`, { avatar_url: 'mxc://hearth.test/alice' })
    const roomId = await alice.createRoom({
      name: 'Emporium',
      preset: 'public_chat',
      room_alias_name: 'emporium',
      creation_content: { type: 'm.space' },
      initial_state: [{ type: 'm.room.avatar', content: { url: 'mxc://hearth.test/room' } }],
    })
    expect(await invite(roomId)).toEqual(done)
    expect(identity.asked.at(-1)).toEqual({
      path: '/store-invite',
      authorization: 'Bearer token',
      body: {
        ...carol,
        room_id: roomId,
        sender: alice.userId,
        room_alias: `#emporium:${server.serverName}`,
        room_avatar_url: 'mxc://hearth.test/room',
        room_join_rules: 'public',
        room_name: 'Emporium',
        room_type: 'm.space',
        sender_display_name: 'Alice',
        sender_avatar_url: 'mxc://hearth.test/alice',
      },
    })
  })

  test('leaves out what the room has not', async () => {
    const roomId = await bob.createRoom()
    expect(await invite(roomId, {}, bob)).toEqual(done)
    expect(identity.asked.at(-1)?.body).toEqual({
      ...carol,
      room_id: roomId,
      sender: bob.userId,
      room_join_rules: 'invite',
    })
  })

  test('invites the user where the identity server finds out only then', async () => {
    const roomId = await alice.createRoom()
    identity.replies.set('/store-invite', () => failure(400, 'M_THREEPID_IN_USE', { mxid: bob.userId }))
    expect(await invite(roomId)).toEqual(done)
    expect(await alice.state(roomId, 'm.room.member', bob.userId)).toMatchObject({ membership: 'invite' })
  })

  test('asks nobody for those who may not invite', async () => {
    const roomId = await alice.createRoom({ preset: 'public_chat' })
    expect(await invite(roomId, {}, bob)).toEqual(refusal(403, 'M_FORBIDDEN'))
    await bob.join(roomId)
    expect(await invite(roomId, {}, bob)).toEqual(refusal(403, 'M_FORBIDDEN'))
    expect(await invite('!nowhere:hearth.test')).toEqual(refusal(403, 'M_FORBIDDEN'))
    expect(identity.asked).toEqual([])
  })

  test('is refused for who is in the room already, does not exist or wants no invites', async () => {
    const roomId = await alice.createRoom({ preset: 'public_chat' })
    await bob.join(roomId)
    identity.bindings.push({ ...carol, mxid: bob.userId })
    expect(await invite(roomId)).toEqual(refusal(403, 'M_FORBIDDEN'))
    identity.bindings = [{ ...carol, mxid: `@nobody:${server.serverName}` }]
    expect(await invite(roomId)).toEqual(refusal(404, 'M_NOT_FOUND'))
    const hermit = await newClient(server, 'hermit')
    const blocking = `/user/${hermit.userId}/account_data/m.invite_permission_config`
    await hermit.done('PUT', blocking, { default_action: 'block' })
    identity.bindings = [{ ...carol, mxid: hermit.userId }]
    expect(await invite(roomId)).toEqual(refusal(403, 'M_INVITE_BLOCKED'))
  })

  test.each(['id_server', 'id_access_token', 'medium', 'address'])('is refused without %s', async (name) => {
    const roomId = await alice.createRoom()
    const { [name]: _, ...body } = byEmail()
    const answer = await alice.inRoom('POST', roomId, 'invite', body)
    expect(answer).toEqual(refusal(400, 'M_MISSING_PARAM'))
    expect(answer.body['error']).toContain(name)
    expect(identity.asked).toEqual([])
  })

  const senseless: [string, JsonObject][] = [
    ['an identity server that is a URL', { id_server: 'https://identity.test' }],
    ['an identity server that is a number', { id_server: 7 }],
    ['a token that no header carries', { id_access_token: 'a b' }],
    ['a medium that nobody knows', { medium: 'pigeon' }],
    ['an address that is none', { address: 'carol' }],
    ['a phone number with a plus', { medium: 'msisdn', address: '+4912345' }],
    ['a user besides', { user_id: '@bob:hearth.test' }],
  ]
  test.each(senseless)('is refused with %s', async (_, changes) => {
    const roomId = await alice.createRoom()
    expect(await invite(roomId, changes)).toEqual(refusal(400, 'M_INVALID_PARAM'))
    expect(identity.asked).toEqual([])
  })

  test('is not for suspended users', async () => {
    const user = await newClient(server, 'suspended')
    const roomId = await user.createRoom()
    const db = await server.mf.getD1Database('DB')
    await db.prepare('UPDATE users SET suspended = 1 WHERE user_id = ?').bind(user.userId).run()
    const again = await server.request('POST', '/_matrix/client/v3/login', {
      body: {
        type: 'm.login.password',
        identifier: { type: 'm.id.user', user: 'suspended' },
        password: 'password of suspended',
      },
    })
    const answer = await server.request('POST', `/_matrix/client/v3/rooms/${roomId}/invite`, {
      token: textOf(again.body, 'access_token'),
      body: byEmail(),
    })
    expect(answer).toEqual(refusal(403, 'M_USER_SUSPENDED'))
    expect(identity.asked).toEqual([])
  })
})

describe('looking up whose an address is', () => {
  let roomId = ''
  beforeAll(async () => {
    roomId = await alice.createRoom()
  })

  test('MSC2134: asks for the pepper again where it was replaced, once', async () => {
    identity.replies.set('/lookup', () => {
      identity.replies.delete('/lookup')
      identity.pepper = 'new'
      return undefined
    })
    expect(await invite(roomId)).toEqual(done)
    expect(paths()).toEqual(['/hash_details', '/lookup', '/hash_details', '/lookup', '/store-invite'])
    identity.reset()
    identity.replies.set('/lookup', () => failure(400, 'M_INVALID_PEPPER'))
    expect(await invite(roomId)).toEqual(refusal(502, 'M_CONNECTION_FAILED'))
    expect(paths()).toEqual(['/hash_details', '/lookup', '/hash_details', '/lookup'])
  })

  test('MSC2134: goes in the clear only where nothing else is offered', async () => {
    identity.algorithms = ['none', 'sha512']
    expect(await invite(roomId)).toEqual(done)
    expect(identity.asked[1]?.body).toEqual({
      algorithm: 'none',
      pepper: 'matrixrocks',
      addresses: ['carol@example.org email'],
    })
  })

  const details: [string, Reply][] = [
    ['no algorithm known here', { body: { lookup_pepper: 'a', algorithms: ['md5'] } }],
    ['algorithms that are none', { body: { lookup_pepper: 'a', algorithms: 'sha256' } }],
    ['no algorithms', { body: { lookup_pepper: 'a' } }],
    ['a pepper that is none', { body: { lookup_pepper: 7, algorithms: ['sha256'] } }],
    ['a list', { body: [] }],
  ]
  test.each(details)('fails by details of %s', async (_, reply) => {
    identity.replies.set('/hash_details', () => reply)
    expect(await invite(roomId)).toEqual(refusal(502, 'M_CONNECTION_FAILED'))
    expect(paths()).toEqual(['/hash_details'])
  })

  const hash = '8tKbIM8ECZCrzWaEDwSJrS5_l9pNMEEMYFGYNe1qx5M'
  const mappings: [string, JsonValue][] = [
    ['who is no user', { mappings: { [hash]: 'bob' } }],
    ['who is a number', { mappings: { [hash]: 7 } }],
    ['nobody at all', {}],
    ['a list', { mappings: [] }],
  ]
  test.each(mappings)('fails by an answer that names %s', async (_, body) => {
    identity.replies.set('/lookup', () => ({ body }))
    expect(await invite(roomId)).toEqual(refusal(502, 'M_CONNECTION_FAILED'))
  })

  test('takes nobody for the user whose hash was not asked for', async () => {
    identity.replies.set('/lookup', () => ({
      body: { mappings: { other: bob.userId, constructor: bob.userId } },
    }))
    expect(await invite(roomId)).toEqual(done)
    expect(paths()).toContain('/store-invite')
  })
})

describe('what an identity server refuses', () => {
  let roomId = ''
  beforeAll(async () => {
    roomId = await alice.createRoom()
  })
  const refusals: [Reply, number, string][] = [
    [failure(403, 'M_TERMS_NOT_SIGNED'), 403, 'M_TERMS_NOT_SIGNED'],
    [failure(401, 'M_UNAUTHORIZED'), 401, 'M_UNAUTHORIZED'],
    [failure(401, 'M_UNKNOWN_TOKEN'), 401, 'M_UNAUTHORIZED'],
    [failure(400, 'M_UNRECOGNIZED'), 400, 'M_UNRECOGNIZED'],
    [failure(500, 'M_EMAIL_SEND_ERROR'), 502, 'M_EMAIL_SEND_ERROR'],
    [{ status: 500 }, 502, 'M_UNKNOWN'],
  ]
  describe.each(['/hash_details', '/lookup', '/store-invite'])('at %s', (path) => {
    test.each(refusals)('MSC2140: %j is handed on', async (reply, status, errcode) => {
      const known = await invitedAddresses(roomId)
      identity.replies.set(path, () => reply)
      expect(await invite(roomId)).toEqual(refusal(status, errcode))
      expect(await invitedAddresses(roomId)).toEqual(known)
    })
  })

  test('says nothing where an address is taken by nobody', async () => {
    identity.replies.set('/store-invite', () => failure(400, 'M_THREEPID_IN_USE'))
    expect(await invite(roomId)).toEqual(refusal(400, 'M_THREEPID_IN_USE'))
    identity.replies.set('/store-invite', () => failure(400, 'M_THREEPID_IN_USE', { mxid: 'bob' }))
    expect(await invite(roomId)).toEqual(refusal(400, 'M_THREEPID_IN_USE'))
  })
})

describe('a hostile identity server', () => {
  let roomId = ''
  beforeAll(async () => {
    roomId = await alice.createRoom()
  })
  const key = { public_key: 'A'.repeat(43), key_validity_url: 'https://identity.test/valid' }
  const stored = { token: 'abc', display_name: 'c...', public_keys: [key] }
  const answers: [string, JsonValue][] = [
    ['without a token', { ...stored, token: 7 }],
    ['with an empty token', { ...stored, token: '' }],
    ['with a token of other characters', { ...stored, token: 'a b' }],
    ['with a token that is too long', { ...stored, token: 'a'.repeat(256) }],
    ['without a name', { ...stored, display_name: null }],
    ['with too long a name', { ...stored, display_name: 'a'.repeat(2000) }],
    ['without keys', { ...stored, public_keys: [] }],
    ['with keys that are no list', { ...stored, public_keys: key }],
    ['with a key that is none', { ...stored, public_keys: [key, { ...key, public_key: 'abc' }] }],
    ['with a key without a URL', { ...stored, public_keys: [{ public_key: key.public_key }] }],
    ['with too many keys', { ...stored, public_keys: Array.from({ length: 11 }, () => key) }],
    ['that is a list', []],
    ['that is a text', 'stored'],
  ]
  test.each(answers)('keeps an invite by an answer %s, and nothing is sent', async (_, body) => {
    identity.replies.set('/store-invite', () => ({ body }))
    expect(await invite(roomId)).toEqual(refusal(502, 'M_CONNECTION_FAILED'))
    expect(await invitedAddresses(roomId)).toEqual([])
  })

  test('does not get the address into the room', async () => {
    const leaky = await alice.createRoom()
    identity.replies.set('/store-invite', () => ({ body: { ...stored, display_name: 'Carol@example.org!' } }))
    expect(await invite(leaky)).toEqual(done)
    expect(await invitedAddresses(leaky)).toEqual([
      ['abc', { ...key, display_name: 'c...@e...', public_keys: [key] }],
    ])
  })

  test('is not read to the end', async () => {
    identity.route('/hash_details', (_, response) => {
      response.writeHead(200, { 'Content-Type': 'application/json' })
      response.end(`{"lookup_pepper":"${'a'.repeat(100_000)}","algorithms":["sha256"]}`)
    })
    expect(await invite(roomId)).toEqual(refusal(502, 'M_CONNECTION_FAILED'))
  })

  test('is not waited for', async () => {
    identity.route('/hash_details', (_, response) => {
      response.writeHead(200, { 'Content-Type': 'application/json' })
      response.on('error', () => undefined)
      // A byte a second, without end.
      const drip = async () => {
        while (!response.closed) {
          response.write(' ')
          await sleep(1000)
        }
      }
      void drip()
    })
    expect(await invite(roomId)).toEqual(refusal(504, 'M_CONNECTION_TIMEOUT'))
  }, 60_000)

  test.each([301, 302, 303, 307, 308])('is not followed elsewhere by status %i', async (status) => {
    const location = `https://${identity.name}/_matrix/identity/v2/elsewhere`
    let reached = false
    identity.route('/elsewhere', (_, response) => {
      reached = true
      response.end('{}')
    })
    identity.replies.set('/hash_details', () => ({ status, headers: { Location: location } }))
    expect(await invite(roomId)).toEqual(refusal(502, 'M_UNKNOWN'))
    expect(reached).toBe(false)
  })

  test.each(['{', '\u0000', '{"lookup_pepper":"\\ud800"', ''])(
    'that answers %j is told apart',
    async (text) => {
      identity.route('/hash_details', (_, response) => response.end(text))
      expect(await invite(roomId)).toEqual(refusal(502, 'M_CONNECTION_FAILED'))
    },
  )

  test('that is not there is reported', async () => {
    expect(await invite(roomId, { id_server: 'nobody.test:9' })).toEqual(refusal(502, 'M_CONNECTION_FAILED'))
  })
})

describe('creating a room with invites by e-mail', () => {
  const create = (options: JsonObject, changes: JsonObject = {}) =>
    alice.call('POST', '/createRoom', { invite_3pid: [byEmail(changes)], ...options })
  const joinedRooms = async () => (await alice.done('GET', '/joined_rooms'))['joined_rooms']

  test.each(['1', '11', '12'])('invites users and addresses in version %s', async (version) => {
    identity.bindings.push({ medium: 'email', address: 'bob@example.org', mxid: bob.userId })
    const answer = await alice.done('POST', '/createRoom', {
      room_version: version,
      name: 'New',
      is_direct: true,
      invite_3pid: [
        byEmail(),
        byEmail({ address: 'bob@example.org' }),
        byEmail({ address: 'CAROL@example.org' }),
      ],
    })
    const roomId = answer['room_id'] as string
    // One look-up for all, and each address once.
    expect(paths()).toEqual(['/hash_details', '/lookup', '/store-invite'])
    expect(identity.asked.at(-1)?.body).toMatchObject({
      ...carol,
      room_id: roomId,
      sender: alice.userId,
      room_name: 'New',
      room_join_rules: 'invite',
    })
    expect(await alice.state(roomId, 'm.room.member', bob.userId)).toMatchObject({
      membership: 'invite',
      is_direct: true,
    })
    const [invited] = await invitedAddresses(roomId)
    expect(invited?.[0]).toBe(identity.stored[0]?.['token'])
    expect((await bob.join(roomId)).status).toBe(200)
  })

  test('gives those who are users the power of a trusted private chat', async () => {
    identity.bindings.push({ ...carol, mxid: bob.userId })
    const old = await create({ preset: 'trusted_private_chat', room_version: '11' })
    const levels = await alice.state(old.body['room_id'] as string, 'm.room.power_levels')
    expect(levels?.['users']).toEqual({ [alice.userId]: 100, [bob.userId]: 100 })
    const { body } = await create({ preset: 'trusted_private_chat', room_version: '12' })
    const made = await alice.state(body['room_id'] as string, 'm.room.create')
    expect(made?.['additional_creators']).toEqual([bob.userId])
  })

  test('invites the user where the identity server finds out only then', async () => {
    identity.replies.set('/store-invite', () => failure(400, 'M_THREEPID_IN_USE', { mxid: bob.userId }))
    const { body } = await create({ invite: [bob.userId] })
    const roomId = body['room_id'] as string
    expect(await alice.state(roomId, 'm.room.member', bob.userId)).toMatchObject({ membership: 'invite' })
    const other = (await create({})).body['room_id'] as string
    expect((await bob.join(other)).status).toBe(200)
  })

  const failing: [string, Reply, number, string][] = [
    ['/hash_details', failure(403, 'M_TERMS_NOT_SIGNED'), 403, 'M_TERMS_NOT_SIGNED'],
    ['/lookup', failure(401, 'M_UNAUTHORIZED'), 401, 'M_UNAUTHORIZED'],
  ]
  test.each(failing)('makes nothing where %s answers %j', async (path, reply, status, errcode) => {
    const before = await joinedRooms()
    identity.replies.set(path, () => reply)
    expect(await create({ room_alias_name: 'free' })).toEqual(refusal(status, errcode))
    expect(await joinedRooms()).toEqual(before)
    expect(await alice.aliasTarget(`#free:${server.serverName}`)).toEqual(refusal(404, 'M_NOT_FOUND'))
  })

  test('has made it before anybody is told of it', async () => {
    const status: Promise<number>[] = []
    identity.route('/store-invite', (_, response, text) => {
      const { room_id: roomId } = JSON.parse(text) as { room_id: string }
      const made = alice.inRoom('GET', roomId, 'state').then((answer) => answer.status)
      status.push(made)
      void made.finally(() => response.writeHead(500).end('{}'))
    })
    expect(await create({})).toEqual(refusal(502, 'M_UNKNOWN'))
    expect(await Promise.all(status)).toEqual([200])
  })

  test('invites all others where one cannot be, and says so', async () => {
    const [failing, dora] = ['frank@example.org', 'dora@example.org']
    identity.replies.set('/store-invite', ({ body }) =>
      body['address'] === failing ? failure(403, 'M_TERMS_NOT_SIGNED') : undefined,
    )
    const addresses = [failing, carol.address, dora].map((address) => byEmail({ address }))
    const answer = await create({
      room_alias_name: 'partly',
      invite: [bob.userId],
      invite_3pid: addresses,
    })
    expect(answer).toEqual(refusal(403, 'M_TERMS_NOT_SIGNED'))
    const [roomId] = identity.stored.map(({ room_id: id }) => id as string)
    expect(identity.stored.map(({ address }) => address as string).toSorted()).toEqual([carol.address, dora])
    // Whoever was told of the room finds it.
    const tokens = identity.stored.map(({ token }) => token as string).toSorted()
    const invited = await invitedAddresses(roomId ?? '')
    expect(invited.map(([token]) => token).toSorted()).toEqual(tokens)
    expect((await bob.join(`#partly:${server.serverName}`)).body).toEqual({ room_id: roomId })
  })

  const impossible: [string, JsonObject, string][] = [
    [
      'whose creator could not name it',
      { room_version: '11', name: 'x', power_level_content_override: { users: {} } },
      'M_INVALID_ROOM_STATE',
    ],
    [
      'whose creator may not invite',
      { room_version: '11', power_level_content_override: { invite: 101 } },
      'M_INVALID_ROOM_STATE',
    ],
    [
      'in which the policy server is one that is none',
      {
        initial_state: [
          {
            type: 'm.room.policy',
            content: { via: 'SERVER', public_keys: { ed25519: 'A'.repeat(43) } },
          },
        ],
      },
      'M_INVALID_ROOM_STATE',
    ],
  ]
  test.each(impossible)('writes to nobody about a room %s', async (_, options, errcode) => {
    const request = JSON.parse(JSON.stringify(options).replace('SERVER', server.serverName)) as JsonObject
    expect(await create(request)).toEqual(refusal(400, errcode))
    expect(paths()).toEqual(['/hash_details', '/lookup'])
  })

  const senseless: [string, JsonValue, string][] = [
    ['is no list', {}, 'M_BAD_JSON'],
    ['holds a text', ['carol'], 'M_BAD_JSON'],
    ['says nothing', [{}], 'M_MISSING_PARAM'],
    ['lacks a token', [{ ...carol, id_server: 'identity.test' }], 'M_MISSING_PARAM'],
    ['is too long', Array.from({ length: 11 }, () => ({})), 'M_BAD_JSON'],
  ]
  test.each(senseless)('is refused where invite_3pid %s', async (_, list, errcode) => {
    expect(await create({ invite_3pid: list })).toEqual(refusal(400, errcode))
  })
})
