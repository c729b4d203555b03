import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import type { JsonObject } from '../../src/matrix/json.ts'
import { failure, type FakeIdentityServer, type Reply } from '../support/fake-identity-server.ts'
import type { FederatedServer } from '../support/federated-server.ts'
import { type IdentitySetting, startIdentitySetting } from '../support/identity-setting.ts'
import { textOf } from '../support/text-of.ts'
import { newClient, refusal, type RoomClient } from '../support/room-client.ts'

let setting: IdentitySetting
let server: FederatedServer
let identity: FakeIdentityServer
let other: FakeIdentityServer
let alice: RoomClient
let users = 0
const newUser = () => newClient(server, `user${(users += 1)}`)
beforeAll(async () => {
  setting = await startIdentitySetting()
  ;({ server, identity } = setting)
  other = await setting.anotherIdentityServer('other-identity.test')
  const { body } = await server.request('GET', '/_matrix/key/v2/server')
  const keys = body['verify_keys'] as Record<string, { key: string }>
  for (const one of [identity, other]) {
    one.homeserverKeys.set(
      server.serverName,
      Object.fromEntries(Object.entries(keys).map(([id, { key }]) => [id, key])),
    )
  }
})
beforeEach(async () => {
  identity.reset()
  other.reset()
  alice = await newUser()
})
afterAll(() => setting.stop())

const session = (changes: JsonObject = {}): JsonObject => ({
  ...identity.credentials,
  sid: 'alice_at_example.org',
  client_secret: 'd0nt-T3ll',
  ...changes,
})
const email = { medium: 'email', address: 'alice@example.org' }
const bind = (changes: JsonObject = {}, user = alice) =>
  user.call('POST', '/account/3pid/bind', session(changes))
const unbind = (body: JsonObject = email, user = alice) => user.call('POST', '/account/3pid/unbind', body)
const unbound = (result: string) => ({ status: 200, body: { id_server_unbind_result: result } })
const outcome = ({ status, body }: { status: number; body: JsonObject }) => ({ status, body })
const paths = (at = identity) => at.paths()

describe('binding an identifier', () => {
  test('MSC2140: is done by the identity server, which knows the client by its own token', async () => {
    expect(outcome(await bind())).toEqual({ status: 200, body: {} })
    expect(identity.bindings).toEqual([{ ...email, mxid: alice.userId }])
    expect(identity.asked).toEqual([
      {
        path: '/3pid/bind',
        authorization: 'Bearer token',
        body: { sid: 'alice_at_example.org', client_secret: 'd0nt-T3ll', mxid: alice.userId },
      },
    ])
    // It is no contact of the account.
    expect((await alice.call('GET', '/account/3pid')).body).toEqual({ threepids: [] })
  })

  test('can be repeated, and done by two users with one identifier', async () => {
    const bob = await newUser()
    for (const user of [alice, alice, bob]) expect((await bind({}, user)).status).toBe(200)
  })

  test('has an old name', async () => {
    const answer = await alice.call('POST', '/account/3pid', { three_pid_creds: session() })
    expect(outcome(answer)).toEqual({ status: 200, body: {} })
    expect(identity.bindings).toEqual([{ ...email, mxid: alice.userId }])
    expect(await alice.call('POST', '/account/3pid', session())).toEqual(refusal(400, 'M_MISSING_PARAM'))
  })

  const refused: [string, Reply, number, string][] = [
    ['terms that are not signed (MSC2140)', failure(403, 'M_TERMS_NOT_SIGNED'), 403, 'M_TERMS_NOT_SIGNED'],
    ['a token that it does not know', failure(401, 'M_UNAUTHORIZED'), 401, 'M_UNAUTHORIZED'],
    ['no such session', failure(404, 'M_NO_VALID_SESSION'), 404, 'M_NO_VALID_SESSION'],
    ['a session not validated', failure(400, 'M_SESSION_NOT_VALIDATED'), 400, 'M_SESSION_NOT_VALIDATED'],
    ['a session that is over', failure(400, 'M_SESSION_EXPIRED'), 400, 'M_SESSION_EXPIRED'],
    ['an errcode of its own', failure(400, 'ORG.EXAMPLE.OTHER'), 400, 'M_UNKNOWN'],
    ['what would end the session here', failure(401, 'M_UNKNOWN_TOKEN'), 401, 'M_UNAUTHORIZED'],
    ['a lock that is not ours', failure(403, 'M_USER_LOCKED'), 403, 'M_UNKNOWN'],
    ['a fault of its own', failure(500, 'M_UNKNOWN'), 502, 'M_UNKNOWN'],
    ['no Matrix error', { status: 404, body: { error: 'no' } }, 502, 'M_UNKNOWN'],
    ['an errcode that is none', { status: 400, body: { errcode: 7 } }, 502, 'M_UNKNOWN'],
    ['success without JSON', { body: 'fine' }, 502, 'M_CONNECTION_FAILED'],
    ['success without what was bound', { body: { mxid: 'x', medium: 7 } }, 502, 'M_CONNECTION_FAILED'],
  ]
  test.each(refused)('fails by %s', async (_, reply, status, errcode) => {
    identity.replies.set('/3pid/bind', () => reply)
    const answer = await bind()
    expect(answer).toEqual(refusal(status, errcode))
    expect(Object.keys(answer.body).toSorted()).toEqual(['errcode', 'error'])
    // Nothing is remembered.
    expect(outcome(await unbind())).toEqual(unbound('no-support'))
  })

  test('says when to try again where the identity server says so', async () => {
    identity.replies.set('/3pid/bind', () => failure(429, 'M_LIMIT_EXCEEDED', { retry_after_ms: 2500 }))
    const answer = await bind()
    expect(answer).toEqual(refusal(429, 'M_LIMIT_EXCEEDED'))
    expect(answer.body['retry_after_ms']).toBe(2500)
    expect(answer.headers.get('Retry-After')).toBe('3')
    identity.replies.set('/3pid/bind', () => failure(429, 'M_LIMIT_EXCEEDED', { retry_after_ms: 'soon' }))
    expect((await bind()).headers.get('Retry-After')).toBe('10')
  })

  const senseless: [string, JsonObject, string][] = [
    ['a secret of other characters', { client_secret: 'a b' }, 'M_INVALID_PARAM'],
    ['an empty secret', { client_secret: '' }, 'M_INVALID_PARAM'],
    ['a session id of more than 255 characters', { sid: 'a'.repeat(256) }, 'M_INVALID_PARAM'],
    ['a session id that is a number', { sid: 7 }, 'M_INVALID_PARAM'],
    ['an identity server that is a URL', { id_server: 'https://identity.test' }, 'M_INVALID_PARAM'],
    ['an identity server with a path', { id_server: 'identity.test/path' }, 'M_INVALID_PARAM'],
    ['an identity server with a password', { id_server: 'a:b@identity.test' }, 'M_INVALID_PARAM'],
    ['a token that no header can carry', { id_access_token: 'a\r\nb' }, 'M_INVALID_PARAM'],
    ['an empty token', { id_access_token: '' }, 'M_INVALID_PARAM'],
  ]
  test.each(senseless)('is refused with %s', async (_, changes, errcode) => {
    expect(await bind(changes)).toEqual(refusal(400, errcode))
    expect(identity.asked).toEqual([])
  })

  test.each(['sid', 'client_secret', 'id_server', 'id_access_token'])(
    'is refused without %s',
    async (name) => {
      const { [name]: _, ...body } = session()
      const answer = await alice.call('POST', '/account/3pid/bind', body)
      expect(answer).toEqual(refusal(400, 'M_MISSING_PARAM'))
      expect(answer.body['error']).toContain(name)
    },
  )

  test('needs an account', async () => {
    const answer = await server.request('POST', '/_matrix/client/v3/account/3pid/bind', { body: session() })
    expect(answer).toEqual(refusal(401, 'M_MISSING_TOKEN'))
    const guest = await server.request('POST', '/_matrix/client/v3/register?kind=guest', { body: {} })
    const token = textOf(guest.body, 'access_token')
    const byGuest = await server.request('POST', '/_matrix/client/v3/account/3pid/bind', {
      token,
      body: session(),
    })
    expect(byGuest).toEqual(refusal(403, 'M_GUEST_ACCESS_FORBIDDEN'))
  })

  test('ends at ten, so that all can be unbound', async () => {
    for (let n = 0; n < 10; n++) expect((await bind({ sid: `a${n}_at_example.org` })).status).toBe(200)
    expect(await bind()).toEqual(refusal(403, 'M_THREEPID_DENIED'))
    expect(outcome(await unbind({ medium: 'email', address: 'a1@example.org' }))).toEqual(unbound('success'))
    expect((await bind()).status).toBe(200)
  })
})

test('MSC2140: registering binds nothing, whatever clients of old ask for', async () => {
  const answer = await server.request('POST', '/_matrix/client/v3/register', {
    body: {
      username: 'binder',
      password: 'password of binder',
      bind_email: true,
      bind_msisdn: true,
      auth: { type: 'm.login.dummy' },
    },
  })
  expect(answer.status).toBe(200)
  expect([...identity.asked, ...other.asked]).toEqual([])
})

describe('unbinding an identifier', () => {
  test('MSC2140: goes to where it was bound, signed by this server, without a token', async () => {
    await bind()
    expect(outcome(await unbind())).toEqual(unbound('success'))
    expect(identity.bindings).toEqual([])
    const [, asked] = identity.asked
    expect(asked).toMatchObject({ path: '/3pid/unbind', body: { mxid: alice.userId, threepid: email } })
    expect(asked?.authorization).toMatch(
      /^X-Matrix origin="hearth\.test:\d+",destination="identity\.test:\d+",/,
    )
    // It is forgotten then.
    expect(outcome(await unbind())).toEqual(unbound('no-support'))
    expect(paths()).toEqual(['/3pid/bind', '/3pid/unbind'])
  })

  test('goes to every place where it was bound', async () => {
    await bind()
    await bind({ id_server: other.name })
    expect(outcome(await unbind())).toEqual(unbound('success'))
    expect([...identity.bindings, ...other.bindings]).toEqual([])
  })

  test('finds the address whatever case it is written in', async () => {
    await bind({ sid: 'Alice_at_Example.org' })
    expect(outcome(await unbind())).toEqual(unbound('success'))
    // By the name that the identity server has for it.
    expect(identity.bindings).toEqual([])
  })

  test('goes to the server that the client names, also where this one knows of nothing', async () => {
    identity.bindings.push({ ...email, mxid: alice.userId })
    expect(outcome(await unbind({ ...email, id_server: identity.name }))).toEqual(unbound('success'))
    expect(identity.bindings).toEqual([])
    await bind()
    await bind({ id_server: other.name })
    expect(outcome(await unbind({ ...email, id_server: other.name }))).toEqual(unbound('success'))
    expect(identity.bindings).toHaveLength(1)
    expect(outcome(await unbind())).toEqual(unbound('success'))
    expect(paths(other)).toEqual(['/3pid/bind', '/3pid/unbind'])
  })

  test('is verified also by identity servers that name themselves in the old way', async () => {
    identity.destinationName = 'destination_is'
    await bind()
    expect(outcome(await unbind())).toEqual(unbound('success'))
    expect(paths()).toEqual(['/3pid/bind', '/3pid/unbind', '/3pid/unbind'])
  })

  test.each([400, 404, 501])(
    'is not supported where status %i comes without a Matrix error',
    async (status) => {
      await bind()
      for (const body of [undefined, 'no', { error: 'no' }]) {
        identity.replies.set('/3pid/unbind', () => ({ status, ...(body === undefined ? {} : { body }) }))
        expect(outcome(await unbind())).toEqual(unbound('no-support'))
      }
      // It is still bound, and may be unbound one day.
      identity.replies.clear()
      expect(outcome(await unbind())).toEqual(unbound('success'))
    },
  )

  const refused: [Reply, number, string][] = [
    [failure(403, 'M_TERMS_NOT_SIGNED'), 403, 'M_TERMS_NOT_SIGNED'],
    [failure(403, 'M_FORBIDDEN'), 403, 'M_FORBIDDEN'],
    [failure(400, 'M_INVALID_PARAM'), 400, 'M_INVALID_PARAM'],
    [failure(404, 'M_NOT_FOUND'), 404, 'M_NOT_FOUND'],
    [failure(501, 'M_UNRECOGNIZED'), 502, 'M_UNRECOGNIZED'],
    [{ status: 403, body: 'no' }, 502, 'M_UNKNOWN'],
    [{ status: 500, body: {} }, 502, 'M_UNKNOWN'],
  ]
  test.each(refused)('hands the error %j on', async (reply, status, errcode) => {
    await bind()
    identity.replies.set('/3pid/unbind', () => reply)
    expect(await unbind()).toEqual(refusal(status, errcode))
    identity.replies.clear()
    expect(outcome(await unbind())).toEqual(unbound('success'))
  })

  test('does not touch what others have bound', async () => {
    await bind()
    const bob = await newUser()
    expect(outcome(await unbind(email, bob))).toEqual(unbound('no-support'))
    expect(await unbind({ ...email, id_server: 'nobody.test:9' }, bob)).toEqual(
      refusal(502, 'M_CONNECTION_FAILED'),
    )
    expect(outcome(await unbind())).toEqual(unbound('success'))
  })

  const senseless: [JsonObject, string][] = [
    [{ medium: 'email' }, 'M_MISSING_PARAM'],
    [{ address: 'alice@example.org' }, 'M_MISSING_PARAM'],
    [{ medium: 'pigeon', address: 'alice' }, 'M_INVALID_PARAM'],
    [{ medium: 'email', address: 'alice' }, 'M_INVALID_PARAM'],
    [{ medium: 'msisdn', address: '+49123' }, 'M_INVALID_PARAM'],
    [{ ...email, id_server: 'a b' }, 'M_INVALID_PARAM'],
    [{ ...email, id_server: 7 }, 'M_BAD_JSON'],
    [{ ...email, address: 7 }, 'M_BAD_JSON'],
  ]
  test.each(senseless)('is refused for %j', async (body, errcode) => {
    expect(await unbind(body)).toEqual(refusal(400, errcode))
  })
})

describe('deleting an identifier from the account', () => {
  const remove = (more: JsonObject = {}) =>
    alice.call('POST', '/account/3pid/delete', { ...email, address: 'Alice@Example.org', ...more })

  test('unbinds it where it was bound', async () => {
    await bind()
    expect(outcome(await remove())).toEqual(unbound('success'))
    expect(identity.bindings).toEqual([])
    expect(outcome(await remove())).toEqual(unbound('no-support'))
  })

  test('is done whatever the identity server says', async () => {
    await bind()
    identity.replies.set('/3pid/unbind', () => failure(403, 'M_FORBIDDEN'))
    expect(outcome(await remove())).toEqual(unbound('no-support'))
    expect(await remove({ id_server: 'a b' })).toEqual(refusal(400, 'M_INVALID_PARAM'))
  })
})

describe('deactivating an account', () => {
  const deactivate = (user: RoomClient, changes: JsonObject = {}) => {
    const [localpart] = user.userId.slice(1).split(':')
    const auth = {
      type: 'm.login.password',
      identifier: { type: 'm.id.user', user: localpart ?? '' },
      password: `password of ${localpart}`,
    }
    return user.call('POST', '/account/deactivate', { auth, ...changes })
  }

  test('MSC2140: unbinds everything, each where it was bound', async () => {
    await bind()
    await bind({ sid: 'a_at_example.org' })
    await bind({ id_server: other.name })
    expect(outcome(await deactivate(alice))).toEqual(unbound('success'))
    expect([...identity.bindings, ...other.bindings]).toEqual([])
    const db = await server.mf.getD1Database('DB')
    const row = await db
      .prepare('SELECT count(*) AS kept FROM identity_bindings WHERE user_id = ?')
      .bind(alice.userId)
      .first()
    expect(row).toEqual({ kept: 0 })
  })

  test('unbinds everything at the server that the client names', async () => {
    await bind()
    other.bindings.push({ ...email, mxid: alice.userId })
    expect(outcome(await deactivate(alice, { id_server: other.name }))).toEqual(unbound('success'))
    expect(other.bindings).toEqual([])
  })

  test('unbinds the contacts of the account as well where the client names the server', async () => {
    const db = await server.mf.getD1Database('DB')
    await db
      .prepare(
        "INSERT INTO threepids (medium, address, user_id, validated_at, added_at) VALUES ('email', ?, ?, 1, 1)",
      )
      .bind('contact@example.org', alice.userId)
      .run()
    other.bindings.push({ medium: 'email', address: 'contact@example.org', mxid: alice.userId })
    expect(outcome(await deactivate(alice, { id_server: other.name }))).toEqual(unbound('success'))
    expect(other.bindings).toEqual([])
  })

  test('is successful where there is nothing to unbind', async () => {
    expect(outcome(await deactivate(alice, { id_server: other.name }))).toEqual(unbound('success'))
    expect(other.asked).toEqual([])
  })

  test.each([failure(403, 'M_FORBIDDEN'), { status: 404, body: 'no' }])(
    'succeeds and says so where %j is all that the identity server says',
    async (reply) => {
      await bind()
      identity.replies.set('/3pid/unbind', () => reply)
      expect(outcome(await deactivate(alice))).toEqual(unbound('no-support'))
      expect(await alice.call('GET', '/account/whoami')).toEqual(refusal(401, 'M_UNKNOWN_TOKEN'))
    },
  )

  test('is refused with an identity server that is none, and then nothing is done', async () => {
    expect(await deactivate(alice, { id_server: 'a b' })).toEqual(refusal(400, 'M_INVALID_PARAM'))
    expect((await alice.call('GET', '/account/whoami')).status).toBe(200)
  })
})
