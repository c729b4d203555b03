// Attack: an application service acts outside of its namespace, or somebody acts as an application service.

import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { actingClient, asTokenOf, registered, registerGhost } from '../support/acting-client.ts'
import { newClient, refusal, roomClient, type RoomClient } from '../support/room-client.ts'
import { startServer, type TestServer } from '../support/server.ts'
import { textOf } from '../support/text-of.ts'

const whoami = '/account/whoami'

let dataDir: string
let server: TestServer
let alice: RoomClient
let admin: RoomClient
let ghost: string
beforeAll(async () => {
  dataDir = await mkdtemp(join(tmpdir(), 'hearth-test-'))
  // The session cache is on, as on one's own machine: what is kept must be dropped in time.
  server = await startServer({ dataDir, vars: { ...registered('irc'), ...registered('xmpp') } })
  alice = await newClient(server, 'alice')
  admin = await newClient(server, 'admin')
  const db = await server.mf.getD1Database('DB')
  await db.prepare("UPDATE users SET admin = 1 WHERE user_id LIKE '@admin%'").run()
  ghost = await registerGhost(server, 'irc', 'ghost')
  await registerGhost(server, 'xmpp', 'ghost')
})
afterAll(async () => {
  await server.stop()
  await rm(dataDir, { recursive: true, force: true })
})

const acting = (userId: string) => actingClient(server, 'irc', { user_id: userId })

describe('an application service does not act as', () => {
  test.each([
    ['a user of this server', '@alice:test.local'],
    ['its administrator', '@admin:test.local'],
    ['a user of another application service', '@_xmpp_ghost:test.local'],
    ['the sender of another', '@_xmpp_bot:test.local'],
    ['a user of another server, whose name would be in its namespace', '@_irc_ghost:elsewhere.test'],
    ['one who has its namespace further behind', '@alice_@_irc_ghost:test.local'],
    ['one of its namespace who is not registered', '@_irc_nobody:test.local'],
    ['its own user in other letters', '@_IRC_ghost:test.local'],
    ['its own user on a port', '@_irc_ghost:test.local:8448'],
  ])('%s', async (_, userId) => {
    expect(await acting(userId).call('GET', whoami)).toEqual(refusal(403, 'M_FORBIDDEN'))
    expect(await acting(userId).call('PUT', '/devices/STOLEN', {})).toEqual(refusal(403, 'M_FORBIDDEN'))
  })

  test.each(['', '_irc_ghost', '@_irc_ghost', '!room:test.local', '@', '@_irc_ghost:'])(
    '%j, which is no user id',
    async (userId) => {
      expect(await acting(userId).call('GET', whoami)).toEqual(refusal(400, 'M_INVALID_PARAM'))
    },
  )

  test('a second user, whichever way the query is written', async () => {
    const query = `user_id=${encodeURIComponent(ghost)}&user_id=${encodeURIComponent(alice.userId)}`
    const token = asTokenOf('irc')
    const first = await server.request('GET', `/_matrix/client/v3${whoami}?${query}`, { token })
    expect(first.body).toMatchObject({ user_id: ghost })
    const inBody = await acting(ghost).call('POST', '/createRoom', {
      user_id: alice.userId,
      creation_content: { creator: alice.userId },
    })
    const { body } = await acting(ghost).inRoom('GET', textOf(inBody.body, 'room_id'), 'joined_members')
    expect(JSON.stringify(body)).not.toContain(alice.userId)
  })

  test('the user of a path', async () => {
    const profile = `/profile/${alice.userId}/displayname`
    expect(await acting(ghost).call('PUT', profile, { displayname: 'x' })).toEqual(
      refusal(403, 'M_FORBIDDEN'),
    )
    expect(await acting(ghost).call('GET', `/user/${alice.userId}/account_data/m.direct`)).toEqual(
      refusal(403, 'M_FORBIDDEN'),
    )
  })

  test('an administrator', async () => {
    const lock = `/../v1/admin/lock/${encodeURIComponent(alice.userId)}`
    for (const client of [actingClient(server, 'irc'), acting(ghost)]) {
      expect(await client.call('PUT', lock, { locked: true })).toEqual(refusal(403, 'M_FORBIDDEN'))
    }
  })
})

describe('nobody acts as an application service', () => {
  test('by naming a user beside a token of their own', async () => {
    for (const userId of [ghost, admin.userId, '@_irc_bot:test.local']) {
      const answer = await alice.call('GET', `${whoami}?user_id=${encodeURIComponent(userId)}`)
      expect(answer.body).toMatchObject({ user_id: alice.userId })
    }
  })

  test('by the token of this server, by the hash of the other, or by the name', async () => {
    for (const token of ['hs_token_of_irc', 'irc', '_irc_bot', '', `${asTokenOf('irc')} `, 'as_token_of_']) {
      const query = new URLSearchParams({ access_token: token, user_id: ghost })
      const answer = await server.request('GET', `/_matrix/client/v3${whoami}?${query.toString()}`)
      expect(answer).toEqual(refusal(401, 'M_UNKNOWN_TOKEN'))
    }
  })

  test('by its type of login, or of authentication, without its token', async () => {
    const body = {
      type: 'm.login.application_service',
      identifier: { type: 'm.id.user', user: ghost },
    }
    const login = '/_matrix/client/v3/login'
    expect(await server.request('POST', login, { body, token: alice.token })).toEqual(
      refusal(401, 'M_UNKNOWN_TOKEN'),
    )
    expect((await alice.call('PUT', '/devices/NEW', {})).status).toBe(404)
    const auth = { type: 'm.login.application_service' }
    const deletion = await alice.call('POST', '/delete_devices', { devices: [alice.deviceId], auth })
    expect(deletion.status).toBe(401)
    expect((await alice.call('GET', whoami)).status).toBe(200)
  })

  test('at the time that they like', async () => {
    const roomId = await alice.createRoom()
    const { body } = await alice.inRoom('PUT', roomId, 'send/m.test/1?ts=1', {})
    const event = await alice.event(roomId, textOf(body, 'event_id'))
    expect(event.body['origin_server_ts']).not.toBe(1)
  })
})

describe('at once, an application service ceases to act as a user', () => {
  const set = (userId: string, what: 'lock' | 'suspend', value: boolean) =>
    admin.done('PUT', `/../v1/admin/${what}/${encodeURIComponent(userId)}`, {
      [what === 'lock' ? 'locked' : 'suspended']: value,
    })

  test('who is locked', async () => {
    const userId = await registerGhost(server, 'irc', 'locked')
    expect((await acting(userId).call('GET', whoami)).status).toBe(200)
    await set(userId, 'lock', true)
    expect(await acting(userId).call('GET', whoami)).toEqual(refusal(401, 'M_USER_LOCKED'))
    await set(userId, 'lock', false)
    expect((await acting(userId).call('GET', whoami)).status).toBe(200)
  })

  test('who is suspended, in what those may not do', async () => {
    const userId = await registerGhost(server, 'irc', 'suspended')
    const roomId = await acting(userId).createRoom()
    await set(userId, 'suspend', true)
    expect(await acting(userId).call('POST', '/createRoom', {})).toEqual(refusal(403, 'M_USER_SUSPENDED'))
    expect(await acting(userId).inRoom('PUT', roomId, 'send/m.test/1', {})).toEqual(
      refusal(403, 'M_USER_SUSPENDED'),
    )
    expect((await acting(userId).call('GET', whoami)).status).toBe(200)
  })

  test('whose account is closed, also as the device that it had', async () => {
    const userId = await registerGhost(server, 'irc', 'closed')
    await acting(userId).call('PUT', '/devices/PHONE', {})
    const phone = actingClient(server, 'irc', { user_id: userId, device_id: 'PHONE' })
    expect((await phone.call('GET', whoami)).status).toBe(200)
    await acting(userId).done('POST', '/account/deactivate', {})
    for (const client of [phone, acting(userId)]) {
      expect(await client.call('GET', whoami)).toEqual(refusal(403, 'M_USER_DEACTIVATED'))
    }
  })
})

test('an application service that is not registered any more is nobody, and its users are out of reach', async () => {
  expect((await acting(ghost).call('GET', whoami)).status).toBe(200)
  await server.stop()
  server = await startServer({ dataDir, vars: registered('xmpp') })
  for (const query of [{}, { user_id: ghost }, { user_id: alice.userId }]) {
    expect(await actingClient(server, 'irc', query).call('GET', whoami)).toEqual(
      refusal(401, 'M_UNKNOWN_TOKEN'),
    )
  }
  const other = actingClient(server, 'xmpp', { user_id: ghost })
  expect(await other.call('GET', whoami)).toEqual(refusal(403, 'M_FORBIDDEN'))
  // Those who had logged in still are.
  expect((await roomClient(server, alice).call('GET', whoami)).status).toBe(200)
})

test('tokens of application services are in no log', () => {
  expect(server.logs.join('\n')).not.toMatch(/as_token_of|hs_token_of/)
})
