// Suspending and locking accounts, and whois: by administrators, of whom, and what follows.

import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { newClient, refusal, type RoomClient } from '../support/room-client.ts'
import { startServer, type TestServer } from '../support/server.ts'

let server: TestServer
let admin: RoomClient
let alice: RoomClient
let bob: RoomClient
beforeAll(async () => {
  server = await startServer()
  admin = await newClient(server, 'admin')
  alice = await newClient(server, 'alice')
  bob = await newClient(server, 'bob')
  await newClient(server, 'admin2')
  const db = await server.mf.getD1Database('DB')
  await db.prepare("UPDATE users SET admin = 1 WHERE user_id LIKE '@admin%'").run()
})
afterAll(() => server.stop())

const v1 = '/../v1/admin'
const of = (userId: string) => encodeURIComponent(userId)

describe.each([
  ['suspend', 'suspended'],
  ['lock', 'locked'],
])('MSC4323: %s', (path, field) => {
  const get = (by: RoomClient, userId: string) => by.call('GET', `${v1}/${path}/${of(userId)}`)
  const put = (by: RoomClient, userId: string, value: unknown) =>
    by.call('PUT', `${v1}/${path}/${of(userId)}`, { [field]: value as boolean })

  test('is seen and set', async () => {
    expect((await get(admin, bob.userId)).body).toEqual({ [field]: false })
    expect((await put(admin, bob.userId, true)).body).toEqual({ [field]: true })
    expect((await get(admin, bob.userId)).body).toEqual({ [field]: true })
    expect((await put(admin, bob.userId, false)).body).toEqual({ [field]: false })
  })

  test('is for administrators alone, who learn nothing otherwise', async () => {
    for (const userId of [bob.userId, '@nobody:test.local', '@x:elsewhere.test', 'x']) {
      expect(await get(alice, userId), userId).toEqual(refusal(403, 'M_FORBIDDEN'))
      expect(await put(alice, userId, true), userId).toEqual(refusal(403, 'M_FORBIDDEN'))
    }
  })

  test('is not for oneself, nor for other administrators', async () => {
    expect(await put(admin, admin.userId, true)).toEqual(refusal(403, 'M_FORBIDDEN'))
    expect(await put(admin, '@admin2:test.local', true)).toEqual(refusal(403, 'M_FORBIDDEN'))
    expect(await get(admin, '@admin2:test.local')).toEqual(refusal(403, 'M_FORBIDDEN'))
  })

  test('needs a user of this server, and a truth', async () => {
    expect(await get(admin, '@x:elsewhere.test')).toEqual(refusal(400, 'M_INVALID_PARAM'))
    expect(await get(admin, 'x')).toEqual(refusal(400, 'M_INVALID_PARAM'))
    expect(await get(admin, '@nobody:test.local')).toEqual(refusal(404, 'M_NOT_FOUND'))
    expect(await put(admin, bob.userId, 'yes')).toEqual(refusal(400, 'M_BAD_JSON'))
    expect(await admin.call('PUT', `${v1}/${path}/${of(bob.userId)}`, {})).toEqual(
      refusal(400, 'M_MISSING_PARAM'),
    )
  })

  test('is there under its unstable name', async () => {
    const unstable = `/../unstable/uk.timedout.msc4323/admin/${path}/${of(bob.userId)}`
    expect((await admin.call('GET', unstable)).body).toEqual({ [field]: false })
  })
})

test('MSC3823: a suspended user reads, but does not send; and does again afterwards', async () => {
  const roomId = await alice.createRoom()
  const message = { msgtype: 'm.text', body: 'x' }
  await admin.done('PUT', `${v1}/suspend/${of(alice.userId)}`, { suspended: true })
  expect(await alice.inRoom('PUT', roomId, 'send/m.room.message/1', message)).toEqual(
    refusal(403, 'M_USER_SUSPENDED'),
  )
  expect((await alice.inRoom('GET', roomId, 'messages?dir=b')).status).toBe(200)
  await admin.done('PUT', `${v1}/suspend/${of(alice.userId)}`, { suspended: false })
  expect((await alice.inRoom('PUT', roomId, 'send/m.room.message/2', message)).status).toBe(200)
})

test('MSC3939: a locked user is out at once, also of a poll, and keeps the session', async () => {
  const first = await alice.done('GET', '/sync')
  const poll = alice.call('GET', `/sync?timeout=20000&since=${first['next_batch'] as string}`)
  await new Promise((waited) => setTimeout(waited, 300))
  await admin.done('PUT', `${v1}/lock/${of(alice.userId)}`, { locked: true })
  expect((await alice.call('GET', '/account/whoami')).body).toMatchObject({
    errcode: 'M_USER_LOCKED',
    soft_logout: true,
  })
  await admin.done('PUT', `${v1}/lock/${of(alice.userId)}`, { locked: false })
  expect((await alice.call('GET', '/account/whoami')).status).toBe(200)
  // The poll went on or was refused, depending on which came first; it did not hang.
  expect([200, 401]).toContain((await poll).status)
}, 40_000)

test('administrators are told what they may do, and nobody else', async () => {
  const moderation = async (who: RoomClient) => {
    const { capabilities } = await who.done('GET', '/capabilities')
    return (capabilities as Record<string, unknown>)['m.account_moderation']
  }
  expect(await moderation(admin)).toEqual({ suspend: true, lock: true })
  expect(await moderation(bob)).toBeUndefined()
})

test('whois tells of one’s own devices, and administrators of others’', async () => {
  const whois = (by: RoomClient, userId: string) => by.call('GET', `/admin/whois/${of(userId)}`)
  const expected = {
    status: 200,
    body: {
      user_id: bob.userId,
      devices: { [bob.deviceId]: { sessions: [{ connections: [{ last_seen: expect.any(Number) }] }] } },
    },
  }
  expect(await whois(bob, bob.userId)).toMatchObject(expected)
  expect(await whois(admin, bob.userId)).toMatchObject(expected)
  expect(await whois(alice, bob.userId)).toEqual(refusal(403, 'M_FORBIDDEN'))
  expect(await whois(alice, '@nobody:test.local')).toEqual(refusal(403, 'M_FORBIDDEN'))
  expect(await whois(admin, '@nobody:test.local')).toEqual(refusal(404, 'M_NOT_FOUND'))
})
