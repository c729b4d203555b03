// Application services that act as their users. Specification: application service API, "Identity assertion".

import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { actingClient, asTokenOf, registered, registerGhost } from '../support/acting-client.ts'
import { oneTimeKeys, testDevice } from '../support/device-keys.ts'
import { newClient, refusal, type RoomClient } from '../support/room-client.ts'
import { startServer, type TestServer } from '../support/server.ts'
import { textOf } from '../support/text-of.ts'

const bot = '@_irc_bot:test.local'
const whoami = '/account/whoami'

let server: TestServer
let ghost: string
let acting: RoomClient
let alice: RoomClient
beforeAll(async () => {
  server = await startServer({
    vars: {
      // As on Workers: each request looks its user up.
      SESSION_CACHE: 'off',
      ...registered('irc', { rate_limited: false }),
      ...registered('xmpp'),
      // Looks after the same users, without keeping others from them.
      ...registered('puppet', { namespaces: { users: [{ exclusive: false, regex: '@_irc_.*' }] } }),
    },
  })
  ghost = await registerGhost(server, 'irc', 'bob')
  acting = actingClient(server, 'irc', { user_id: ghost })
  alice = await newClient(server, 'alice')
})
afterAll(() => server.stop())

describe('an application service', () => {
  it('acts as its sender, which need not be registered', async () => {
    expect(await actingClient(server, 'irc').call('GET', whoami)).toMatchObject({
      status: 200,
      body: { user_id: bot },
    })
    await actingClient(server, 'irc').done('PUT', `/profile/${bot}/displayname`, { displayname: 'IRC' })
    expect(await alice.call('GET', `/profile/${bot}`)).toMatchObject({ body: { displayname: 'IRC' } })
    expect(
      await server.request('POST', '/_matrix/client/v3/login', {
        body: { type: 'm.login.password', identifier: { type: 'm.id.user', user: bot }, password: '' },
      }),
    ).toEqual(refusal(403, 'M_FORBIDDEN'))
  })

  it('makes its sender once, however many requests come at first', async () => {
    const answers = await Promise.all(
      Array.from({ length: 5 }, () => actingClient(server, 'xmpp').call('GET', whoami)),
    )
    expect(answers.map(({ status }) => status)).toEqual([200, 200, 200, 200, 200])
  })

  it('acts as the user that its query names, with its token in the header or in the query', async () => {
    const { body } = await acting.call('GET', whoami)
    expect(body).toEqual({ user_id: ghost })
    const query = new URLSearchParams({ access_token: asTokenOf('irc'), user_id: ghost })
    const answer = await server.request('GET', `/_matrix/client/v3${whoami}?${query.toString()}`)
    expect(answer).toMatchObject({ status: 200, body: { user_id: ghost } })
  })

  it('makes rooms, invites, joins, talks and reads as its users do', async () => {
    const roomId = await acting.createRoom({ name: 'Bridge', invite: [alice.userId] })
    expect((await alice.join(roomId)).status).toBe(200)
    await actingClient(server, 'irc').done('GET', whoami)
    await acting.act('invite', roomId, bot)
    const joined = await actingClient(server, 'irc').join(roomId)
    expect(joined.status).toBe(200)
    const eventId = await acting.send(roomId, { msgtype: 'm.text', body: 'hello' })
    const { body: event } = await alice.event(roomId, eventId)
    expect(event).toMatchObject({ sender: ghost, content: { body: 'hello' } })
    const { body } = await acting.inRoom('GET', roomId, 'members')
    expect(JSON.stringify(body)).toContain(alice.userId)
  })

  it('is shown in the user directory as others are', async () => {
    await acting.done('PUT', `/profile/${ghost}/displayname`, { displayname: 'Bob of IRC' })
    const { body } = await acting.call('GET', `/profile/${ghost}`)
    expect(body).toMatchObject({ displayname: 'Bob of IRC' })
    const found = await alice.done('POST', '/user_directory/search', { search_term: 'Bob of IRC' })
    expect(JSON.stringify(found)).toContain(ghost)
  })
})

describe('without a device', () => {
  it('sync has no messages to devices and no counts of keys', async () => {
    const phone = await acting.call('PUT', '/devices/INBOX', {})
    expect(phone.status).toBe(201)
    await alice.done('PUT', '/sendToDevice/m.test/inbox', { messages: { [ghost]: { INBOX: { n: 1 } } } })
    const first = await acting.done('GET', '/sync')
    expect(first).not.toHaveProperty('to_device')
    expect(first).not.toHaveProperty('device_one_time_keys_count')
    // They are still there for the device itself.
    const device = actingClient(server, 'irc', { user_id: ghost, device_id: 'INBOX' })
    expect(await device.done('GET', '/sync')).toMatchObject({
      to_device: { events: [{ type: 'm.test', content: { n: 1 } }] },
    })
  })

  it('a sync that waits is woken', async () => {
    const roomId = await acting.createRoom()
    const since = textOf(await acting.done('GET', '/sync'), 'next_batch')
    const waiting = acting.done('GET', `/sync?since=${since}&timeout=20000`)
    await acting.send(roomId, { body: 'news', msgtype: 'm.text' })
    expect(JSON.stringify(await waiting)).toContain('news')
  })

  it('a sync that waits ends when the account is closed', async () => {
    const userId = await registerGhost(server, 'irc', 'waiting')
    const client = actingClient(server, 'irc', { user_id: userId })
    const since = textOf(await client.done('GET', '/sync'), 'next_batch')
    const waiting = client.call('GET', `/sync?since=${since}&timeout=20000`)
    await client.done('POST', '/account/deactivate', {})
    expect(await waiting).toEqual(refusal(403, 'M_USER_DEACTIVATED'))
  })

  it('a delayed event is scheduled once for the same transaction', async () => {
    const roomId = await acting.createRoom()
    const schedule = () =>
      acting.inRoom('PUT', roomId, 'send/m.test/late?org.matrix.msc4140.delay=60000', { body: 'x' })
    const [first, again] = [await schedule(), await schedule()]
    expect(first.status).toBe(200)
    expect(again.body).toEqual(first.body)
  })

  it('rooms shared with others are listed, who are named after the user it acts as', async () => {
    const roomId = await acting.createRoom({ preset: 'public_chat' })
    await alice.join(roomId)
    const query = new URLSearchParams({ user_id: ghost })
    query.append('user_id', alice.userId)
    const token = asTokenOf('irc')
    const shared = await server.request('GET', `/_matrix/client/v1/mutual_rooms?${query.toString()}`, {
      token,
    })
    expect(shared.body['joined']).toContain(roomId)
  })

  it('the old streams of events work too', async () => {
    expect((await acting.call('GET', '/initialSync')).status).toBe(200)
    expect((await acting.call('GET', '/events?timeout=0')).status).toBe(200)
  })

  it.each([
    ['POST', '/keys/upload', {}],
    ['POST', '/keys/upload/ABC', {}],
    ['PUT', '/sendToDevice/m.test/t1', { messages: {} }],
    ['POST', '/logout', {}],
    [
      'POST',
      '/pushers/set',
      {
        kind: 'http',
        app_id: 'app',
        pushkey: 'key',
        app_display_name: 'App',
        device_display_name: 'Phone',
        lang: 'en',
        data: { url: 'https://push.example/_matrix/push/v1/notify' },
      },
    ],
    ['POST', '/../v4/sync', {}],
  ])('MSC4326: %s %s is refused, as it is of devices', async (method, path, body) => {
    const answer = await acting.call(method, path, body)
    expect(answer).toEqual(refusal(400, 'M_MISSING_PARAM'))
    expect(answer.body['error']).toContain('device_id')
  })

  it('transaction ids are those of the application service: not those of devices, nor of others', async () => {
    // A device of that name is another thing than the application service.
    await acting.call('PUT', '/devices/irc', {})
    const roomId = await acting.createRoom()
    const send = async (client: RoomClient) => {
      const { body } = await client.inRoom('PUT', roomId, 'send/m.room.message/same', { body: 'x' })
      return textOf(body, 'event_id')
    }
    const device = actingClient(server, 'irc', { user_id: ghost, device_id: 'irc' })
    const other = actingClient(server, 'puppet', { user_id: ghost })
    const [first, again, ofDevice] = [await send(acting), await send(acting), await send(device)]
    const [ofOther, ofDeviceAgain] = [await send(other), await send(device)]
    expect(again).toBe(first)
    expect(ofDeviceAgain).toBe(ofDevice)
    expect(new Set([first, ofDevice, ofOther]).size).toBe(3)
    // Nobody but the device is told which transaction it was.
    expect((await acting.event(roomId, first)).body['unsigned']).not.toHaveProperty('transaction_id')
    expect((await device.event(roomId, ofDevice)).body).toMatchObject({
      unsigned: { transaction_id: 'same' },
    })
  })

  it('presence is set and shown', async () => {
    await acting.done('PUT', `/presence/${ghost}/status`, { presence: 'online', status_msg: 'bridged' })
    expect(await acting.call('GET', `/presence/${ghost}/status`)).toMatchObject({
      status: 200,
      body: { presence: 'online', status_msg: 'bridged' },
    })
  })
})

describe('MSC4326: as a device', () => {
  beforeAll(async () => {
    expect((await acting.call('PUT', '/devices/PHONE', { display_name: 'phone' })).status).toBe(201)
  })

  it('of the user that the query names, whoami says so', async () => {
    const phone = actingClient(server, 'irc', { user_id: ghost, device_id: 'PHONE' })
    expect((await phone.call('GET', whoami)).body).toEqual({ user_id: ghost, device_id: 'PHONE' })
    const unstable = actingClient(server, 'irc', {
      user_id: ghost,
      'org.matrix.msc3202.device_id': 'PHONE',
    })
    expect((await unstable.call('GET', whoami)).body).toEqual({ user_id: ghost, device_id: 'PHONE' })
  })

  it('of the sender, where no user is named', async () => {
    const sender = actingClient(server, 'irc', { device_id: 'BOTDEVICE' })
    expect(await sender.call('GET', whoami)).toEqual(refusal(400, 'M_UNKNOWN_DEVICE'))
    expect((await actingClient(server, 'irc').call('PUT', '/devices/BOTDEVICE', {})).status).toBe(201)
    expect((await sender.call('GET', whoami)).body).toEqual({ user_id: bot, device_id: 'BOTDEVICE' })
  })

  it.each([
    ['device_id', 'M_UNKNOWN_DEVICE'],
    ['org.matrix.msc3202.device_id', 'ORG.MATRIX.MSC4326.M_UNKNOWN_DEVICE'],
  ])('%s of another user, of none and of nothing is refused', async (name, errcode) => {
    for (const deviceId of [alice.deviceId, 'NOBODYS', '', 'x'.repeat(300)]) {
      const client = actingClient(server, 'irc', { user_id: ghost, [name]: deviceId })
      expect(await client.call('GET', whoami)).toEqual(refusal(400, errcode))
    }
    const sender = actingClient(server, 'irc', { [name]: 'PHONE' })
    expect(await sender.call('GET', whoami)).toEqual(refusal(400, errcode))
  })

  it('that is deleted meanwhile is none', async () => {
    await acting.call('PUT', '/devices/SHORT', {})
    const short = actingClient(server, 'irc', { user_id: ghost, device_id: 'SHORT' })
    await short.done('POST', '/logout')
    expect(await short.call('GET', whoami)).toEqual(refusal(400, 'M_UNKNOWN_DEVICE'))
    // The others are still there.
    const { body } = await acting.call('GET', '/devices')
    expect(JSON.stringify(body)).toContain('PHONE')
  })

  it('that is dehydrated is none: nobody acts as that', async () => {
    const device = testDevice({ userId: ghost, deviceId: 'DRY' })
    await acting.done('PUT', '/../unstable/org.matrix.msc3814.v1/dehydrated_device', {
      device_id: 'DRY',
      device_data: { algorithm: 'org.example' },
      device_keys: { ...device.deviceKeys, dehydrated: true },
    })
    const dry = actingClient(server, 'irc', { user_id: ghost, device_id: 'DRY' })
    expect(await dry.call('GET', whoami)).toEqual(refusal(400, 'M_UNKNOWN_DEVICE'))
  })

  it('keys are uploaded, and given to those who claim them', async () => {
    const device = testDevice({ userId: ghost, deviceId: 'PHONE' })
    const phone = actingClient(server, 'irc', { user_id: ghost, device_id: 'PHONE' })
    const uploaded = await phone.done('POST', '/keys/upload', {
      device_keys: device.deviceKeys,
      one_time_keys: oneTimeKeys(device, ['1']),
    })
    expect(uploaded).toEqual({ one_time_key_counts: { signed_curve25519: 1 } })
    const claimed = await alice.done('POST', '/keys/claim', {
      one_time_keys: { [ghost]: { PHONE: 'signed_curve25519' } },
    })
    expect(claimed).toMatchObject({ one_time_keys: { [ghost]: { PHONE: oneTimeKeys(device, []) } } })
    await phone.done('PUT', '/sendToDevice/m.test/t', { messages: { [ghost]: { PHONE: { n: 2 } } } })
    expect(await phone.done('POST', '/../v4/sync', {})).toHaveProperty('pos')
  })

  it('it is seen', async () => {
    const before = (await acting.done('GET', '/devices/PHONE'))['last_seen_ts']
    await actingClient(server, 'irc', { user_id: ghost, device_id: 'PHONE' }).done('GET', whoami)
    const after = (await acting.done('GET', '/devices/PHONE'))['last_seen_ts']
    expect(Number(after)).toBeGreaterThan(Number(before))
  })

  it('means nothing from those who have logged in', async () => {
    const answer = await alice.call('GET', `${whoami}?device_id=PHONE&org.matrix.msc3202.device_id=PHONE`)
    expect(answer.body).toEqual({ user_id: alice.userId, device_id: alice.deviceId })
  })
})

describe('timestamp massaging', () => {
  const time = 1_111_111_111_111

  async function eventAt(method: string, rest: string, content = {}) {
    const roomId = await acting.createRoom()
    const { status, body } = await acting.inRoom(method, roomId, rest, content)
    expect(status, JSON.stringify(body)).toBe(200)
    return (await acting.event(roomId, textOf(body, 'event_id'))).body
  }

  it.each([
    ['a message', 'send/m.room.message/massaged', { body: 'then', msgtype: 'm.text' }],
    ['state', 'state/m.room.topic', { topic: 'then' }],
    [
      'a member',
      `state/m.room.member/${encodeURIComponent('@_irc_bob:test.local')}`,
      { membership: 'leave' },
    ],
    ['an invite', `state/m.room.member/${encodeURIComponent('@alice:test.local')}`, { membership: 'invite' }],
    ['a ban', `state/m.room.member/${encodeURIComponent('@alice:test.local')}`, { membership: 'ban' }],
  ])('gives %s the time that it has elsewhere', async (_, rest, content) => {
    expect(await eventAt('PUT', `${rest}?ts=${time}`, content)).toMatchObject({ origin_server_ts: time })
  })

  it('does not change the order of the room', async () => {
    const roomId = await acting.createRoom()
    await acting.send(roomId, { body: 'now', msgtype: 'm.text' })
    await acting.inRoom('PUT', roomId, `send/m.room.message/old?ts=0`, {
      body: 'long ago',
      msgtype: 'm.text',
    })
    const { body } = await acting.inRoom('GET', roomId, 'messages?dir=b&limit=2')
    expect(body).toMatchObject({
      chunk: [{ content: { body: 'long ago' }, origin_server_ts: 0 }, { content: { body: 'now' } }],
    })
  })

  it.each(['', 'now', '1.5', '-1', '9007199254740992', '99999999999999999999'])(
    'refuses %j, which no event can have',
    async (ts) => {
      const roomId = await acting.createRoom()
      for (const rest of [
        'send/m.room.message/wrong',
        'state/m.room.topic',
        `state/m.room.member/${ghost}`,
      ]) {
        const answer = await acting.inRoom('PUT', roomId, `${rest}?ts=${ts}`, { membership: 'join' })
        expect(answer).toEqual(refusal(400, 'M_INVALID_PARAM'))
        expect(answer.body['error']).toContain('ts')
      }
    },
  )

  it('gives no time at which nobody believes our signature yet: that event and all after it would be lost', async () => {
    const roomId = await acting.createRoom()
    const day = 24 * 60 * 60 * 1000
    const at = (ts: number) => acting.inRoom('PUT', roomId, `send/m.room.message/at${ts}?ts=${ts}`, {})
    expect(await at(Date.now() + day + 60_000)).toEqual(refusal(400, 'M_INVALID_PARAM'))
    expect(await at(Number.MAX_SAFE_INTEGER)).toEqual(refusal(400, 'M_INVALID_PARAM'))
    // Other networks' clocks may be ahead.
    expect((await at(Date.now() + 60 * 60_000)).status).toBe(200)
  })

  it('refuses delayed events, which have their own time', async () => {
    const roomId = await acting.createRoom()
    const query = `org.matrix.msc4140.delay=10000&ts=${time}`
    expect(await acting.inRoom('PUT', roomId, `send/m.test/late?${query}`, {})).toEqual(
      refusal(400, 'M_INVALID_PARAM'),
    )
  })

  it('is for application services: nothing comes of it for others, nor at other endpoints', async () => {
    const roomId = await alice.createRoom()
    const { body } = await alice.inRoom('PUT', roomId, `send/m.room.message/mine?ts=${time}`, { body: 'x' })
    const event = (await alice.event(roomId, textOf(body, 'event_id'))).body
    expect(event['origin_server_ts']).not.toBe(time)
    const ofGhost = await acting.createRoom()
    const said = await acting.send(ofGhost, { body: 'x' })
    const redact = await acting.inRoom('PUT', ofGhost, `redact/${encodeURIComponent(said)}/r?ts=${time}`, {})
    const redaction = (await acting.event(ofGhost, textOf(redact.body, 'event_id'))).body
    expect(redaction['origin_server_ts']).not.toBe(time)
  })
})
