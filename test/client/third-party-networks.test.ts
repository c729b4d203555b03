// Third-party networks, which application services reach. Client-server API, "Third-party Networks".

import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { instanceId, parseInstanceId } from '../../src/appservice/network-instance.ts'
import type { JsonValue } from '../../src/matrix/json.ts'
import { startAppservice, type TestAppservice } from '../support/appservice.ts'
import { newClient, refusal, type RoomClient } from '../support/room-client.ts'
import { startServer, type TestServer } from '../support/server.ts'

describe('without application services', () => {
  let server: TestServer
  let alice: RoomClient
  beforeAll(async () => {
    server = await startServer()
    alice = await newClient(server, 'alice')
  })
  afterAll(() => server.stop())

  test('there are no protocols, users and locations', async () => {
    expect(await alice.call('GET', '/thirdparty/protocols')).toMatchObject({ status: 200, body: {} })
    for (const path of [
      'protocol/irc',
      'location/irc',
      'user/irc',
      'location?alias=%23a:b',
      'user?userid=@a:b',
    ]) {
      expect(await alice.call('GET', `/thirdparty/${path}`), path).toEqual(refusal(404, 'M_NOT_FOUND'))
    }
    for (const path of ['location', 'user']) {
      expect(await alice.call('GET', `/thirdparty/${path}`), path).toEqual(refusal(400, 'M_MISSING_PARAM'))
    }
    expect((await server.request('GET', '/_matrix/client/v3/thirdparty/protocols')).status).toBe(401)
  })
})

const protocol = (network: string, changes: Record<string, JsonValue> = {}): JsonValue => ({
  user_fields: ['network', 'nickname'],
  location_fields: ['network', 'channel'],
  icon: 'mxc://test.local/icon',
  field_types: { network: { regexp: '.+', placeholder: network } },
  instances: [{ desc: network, network_id: network, fields: { network } }],
  ...changes,
})

describe('with application services', () => {
  let server: TestServer
  let alice: RoomClient
  let one: TestAppservice
  let two: TestAppservice
  let other: TestAppservice
  beforeAll(async () => {
    one = await startAppservice('one')
    two = await startAppservice('two')
    other = await startAppservice('other')
    server = await startServer({
      vars: {
        ...one.vars({ protocols: ['irc', 'broken'] }),
        ...two.vars({ protocols: ['irc'] }),
        ...other.vars(),
        // One that is never told, though it says that it reaches a network.
        APPSERVICE_MUTE: JSON.stringify({
          ...one.registration({
            id: 'mute',
            sender_localpart: 'mute',
            url: null,
            protocols: ['irc', 'none'],
          }),
          as_token: 'mute',
        }),
      },
    })
    alice = await newClient(server, 'alice')
  })
  afterEach(() => {
    for (const bridge of [one, two, other]) {
      bridge.reply = () => undefined
      bridge.requests.length = 0
    }
  })
  afterAll(async () => {
    await server.stop()
    await Promise.all([one, two, other].map((bridge) => bridge.stop()))
  })

  const answerFor = (path: string, body: JsonValue) => (request: { path: string }) =>
    request.path === `/_matrix/app/v1/thirdparty/${path}` ? { status: 200, body } : undefined
  const asked = (bridge: TestAppservice) =>
    bridge.requests.filter(({ path }) => path.startsWith('/_matrix/app/v1/thirdparty/'))
  const irc = (alias: string, channel: string) => ({ alias, protocol: 'irc', fields: { channel } })

  test('protocols have the networks of all that reach them, with ids of their own, and are remembered', async () => {
    one.reply = answerFor('protocol/irc', protocol('libera'))
    two.reply = answerFor('protocol/irc', protocol('oftc', { hidden: 'not for clients' }))
    const body = await alice.done('GET', '/thirdparty/protocols')
    const expected = {
      user_fields: ['network', 'nickname'],
      location_fields: ['network', 'channel'],
      icon: 'mxc://test.local/icon',
      field_types: { network: { regexp: '.+', placeholder: 'libera' } },
      instances: [
        {
          desc: 'libera',
          network_id: 'libera',
          fields: { network: 'libera' },
          instance_id: 'one|irc|libera',
        },
        { desc: 'oftc', network_id: 'oftc', fields: { network: 'oftc' }, instance_id: 'two|irc|oftc' },
      ],
    }
    // What none of them describes is no protocol for clients.
    expect(body).toEqual({ irc: expected })
    expect(await alice.done('GET', '/thirdparty/protocol/irc')).toEqual(expected)
    expect(await alice.call('GET', '/thirdparty/protocol/broken')).toEqual(refusal(404, 'M_NOT_FOUND'))
    expect(await alice.call('GET', '/thirdparty/protocol/none')).toEqual(refusal(404, 'M_NOT_FOUND'))
    expect(await alice.call('GET', '/thirdparty/protocol/__proto__')).toEqual(refusal(404, 'M_NOT_FOUND'))
    expect(
      asked(one)
        .map(({ path }) => path)
        .toSorted(),
    ).toEqual(['/_matrix/app/v1/thirdparty/protocol/broken', '/_matrix/app/v1/thirdparty/protocol/irc'])
    expect([asked(two).length, asked(other).length]).toEqual([1, 0])
  })

  test('places and users are found by fields, which are passed on, by those that reach the network', async () => {
    one.reply = answerFor('location/irc', [irc('#a:test.local', '#a')])
    two.reply = answerFor('location/irc', [irc('#b:test.local', '#b')])
    const found = await alice.call(
      'GET',
      '/thirdparty/location/irc?network=libera&channel=%23a&access_token=x',
    )
    expect(found.body).toEqual([irc('#a:test.local', '#a'), irc('#b:test.local', '#b')])
    expect(asked(one)[0]?.query).toEqual({ network: 'libera', channel: '#a' })
    expect(asked(other)).toEqual([])
    const users = [{ userid: '@_irc_x:test.local', protocol: 'irc', fields: { nickname: 'x' } }]
    two.reply = answerFor('user/irc', users)
    expect((await alice.call('GET', '/thirdparty/user/irc?nickname=x')).body).toEqual(users)
  })

  test('what an application service says of whom it acts for is no field, though users may have one of that name', async () => {
    const username = '_other_x'
    await server.request('POST', '/_matrix/client/v3/register', {
      token: other.asToken,
      body: { type: 'm.login.application_service', username, inhibit_login: true },
    })
    const path = `/_matrix/client/v3/thirdparty/user/irc?user_id=@${username}:test.local&nickname=x`
    await server.request('GET', path, { token: other.asToken })
    await server.request('GET', path, { token: alice.token })
    const queries = asked(two).map(({ query }) => query)
    expect(queries).toEqual([{ nickname: 'x' }, { nickname: 'x', user_id: `@${username}:test.local` }])
  })

  test('one that fails, or makes no sense, does not keep the others from answering', async () => {
    two.reply = answerFor('location/irc', [irc('#b:test.local', '#b')])
    const only = [irc('#b:test.local', '#b')]
    const locations = async () => (await alice.call('GET', '/thirdparty/location/irc')).body
    one.reply = () => 'drop'
    expect(await locations()).toEqual(only)
    one.reply = () => ({ status: 500 })
    expect(await locations()).toEqual(only)
    one.reply = answerFor('location/irc', { not: 'a list' })
    expect(await locations()).toEqual(only)
    one.reply = answerFor('location/irc', [
      null,
      'text',
      irc('no alias', '#c'),
      { ...irc('#c:test.local', '#c'), protocol: 'gitter' },
      { ...irc('#c:test.local', '#c'), protocol: 'broken' },
      { ...irc('#c:test.local', '#c'), fields: 'none' },
      { ...irc('#d:test.local', '#d'), more: 'not for clients' },
    ])
    expect(await locations()).toEqual([irc('#d:test.local', '#d'), ...only])
    two.reply = () => ({ status: 200, body: 'a'.repeat(2_000_000) })
    expect(await locations()).toEqual([irc('#d:test.local', '#d')])
  })

  test('what an alias or a user stands for is asked of all that reach a network', async () => {
    two.reply = answerFor('location', [irc('#b:test.local', '#b')])
    const location = await alice.call('GET', '/thirdparty/location?alias=%23b%3Atest.local&more=x')
    expect(location.body).toEqual([irc('#b:test.local', '#b')])
    expect(asked(one)[0]?.query).toEqual({ alias: '#b:test.local' })
    const users = [{ userid: '@_irc_x:test.local', protocol: 'irc', fields: { nickname: 'x' } }]
    one.reply = answerFor('user', users)
    expect((await alice.call('GET', '/thirdparty/user?userid=%40_irc_x%3Atest.local')).body).toEqual(users)
    expect(asked(other)).toEqual([])
  })

  test('nothing is found where none knows, and none is asked for what cannot be there', async () => {
    for (const path of ['location/irc', 'user/irc', 'location?alias=%23b%3Aa', 'user?userid=%40b%3Aa']) {
      expect(await alice.call('GET', `/thirdparty/${path}`), path).toEqual(refusal(404, 'M_NOT_FOUND'))
    }
    one.requests.length = 0
    for (const path of ['location/gitter', 'location?alias=b', 'user?userid=b']) {
      expect(await alice.call('GET', `/thirdparty/${path}`), path).toEqual(refusal(404, 'M_NOT_FOUND'))
    }
    expect(asked(one)).toEqual([])
    expect((await server.request('GET', '/_matrix/client/v3/thirdparty/location/irc')).status).toBe(401)
    expect(asked(one)).toEqual([])
  })
})

test('ids of networks are read as they were made, whatever is in them', () => {
  for (const network of ['libera', 'a|b', '%', '', '\ud800']) {
    const instance = { appservice: 'x|y', protocol: 'i%7Crc', network }
    expect(parseInstanceId(instanceId(instance))).toEqual({ ...instance, network: network.toWellFormed() })
  }
  for (const text of ['', 'a', 'a|b', 'a|b|c|d', 'a|b|%']) expect(parseInstanceId(text)).toBeUndefined()
})
