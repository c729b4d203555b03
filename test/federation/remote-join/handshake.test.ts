// Leaving and knocking through servers that may be old, gone, or up to something.

import { describe, expect, it } from 'vitest'
import type { FederationCall } from '../../../src/federation/client/request.ts'
import { type HandshakeDeps, makeMember, sendLeave } from '../../../src/federation/remote-join/handshake.ts'
import { candidates, firstOf } from '../../../src/federation/remote-join/servers.ts'
import { MatrixError } from '../../../src/errors.ts'
import type { RoomId, ServerName } from '../../../src/matrix/event.ts'
import type { JsonObject } from '../../../src/matrix/json.ts'
import { fakeKey } from '../../support/fake-homeserver.ts'
import { fakeRoom, type FakeServer, userOf } from '../../support/fake-room.ts'

const resident: FakeServer = { serverName: 'resident.test' as ServerName, ...fakeKey() }
const ours: FakeServer = { serverName: 'ours.test' as ServerName, ...fakeKey() }
const bob = userOf(ours, 'bob')

function answering(answer: (path: string) => { status: number; body: JsonObject | JsonObject[] }) {
  const asked: FederationCall[] = []
  const deps: HandshakeDeps = {
    signer: ours,
    now: Date.now,
    request: async (call) => {
      asked.push(call)
      const { status, body } = answer(call.path)
      return { status, body: body as JsonObject, faults: [] }
    },
    fetch: async (call) => {
      asked.push(call)
      const { status, body } = answer(call.path)
      return Response.json(body, { status })
    },
  }
  return { deps, asked }
}

describe.each(['leave', 'knock'] as const)('a template for a %s', (membership) => {
  const room = fakeRoom(resident, '11')
  const make = (body: JsonObject) =>
    makeMember(answering(() => ({ status: 200, body })).deps, resident.serverName, {
      roomId: room.roomId,
      userId: bob,
      membership,
      content: { reason: 'because' },
    })

  it('is taken as far as it says where the event belongs', async () => {
    const { pdu } = await make(room.template(bob, membership, { join_authorised_via_users_server: bob }))
    expect(pdu).toMatchObject({ sender: bob, state_key: bob, content: { membership, reason: 'because' } })
    expect(Object.keys(pdu['content'] as JsonObject)).toHaveLength(2)
  })

  it('is refused if it is of something else', async () => {
    const { event, ...rest } = room.template(bob, membership)
    for (const change of [
      { room_id: '!other:resident.test' },
      { sender: '@carol:ours.test' },
      { state_key: '@carol:ours.test' },
      { type: 'm.room.create' },
      { content: { membership: 'join' } },
    ]) {
      const forged = { ...rest, event: { ...(event as JsonObject), ...change } }
      await expect(make(forged)).rejects.toMatchObject({ status: 502, errcode: 'M_UNKNOWN' })
    }
  })
})

it('a leave goes to a server of old by the first version of the endpoint', async () => {
  const room = fakeRoom(resident, '1')
  const { deps, asked } = answering((path) => {
    if (path.includes('/make_leave/')) {
      // Such a server does not say which version the room has.
      const { room_version: _, ...body } = room.template(bob, 'leave')
      return { status: 200, body }
    }
    return path.includes('/v2/') ? { status: 404, body: {} } : { status: 200, body: [{}, {}] }
  })
  const member = { roomId: room.roomId, userId: bob, membership: 'leave', content: {} } as const
  const leave = await makeMember(deps, resident.serverName, member)
  await sendLeave(deps, resident.serverName, room.roomId, leave)
  expect(asked.map(({ path }) => path.split('/').slice(3, 5).join('/'))).toEqual([
    'v1/make_leave',
    'v2/send_leave',
    'v1/send_leave',
  ])
})

describe('servers that may help into a room', () => {
  const own = 'ours.test' as ServerName

  it('are those given, or else the one of the room id, each once and never ourselves', () => {
    const roomId = '!room:home.test' as RoomId
    const given = ['b.test', 'ours.test', 'a b', undefined, 'a.test', 'b.test']
    expect(candidates(own, roomId, given)).toEqual(['b.test', 'a.test'])
    expect(candidates(own, roomId, ['ours.test'])).toEqual(['home.test'])
    expect(candidates(own, '!room:ours.test' as RoomId, [])).toEqual([])
    expect(candidates(own, `!${'a'.repeat(43)}` as RoomId, [])).toEqual([])
    expect(
      candidates(
        own,
        roomId,
        Array.from({ length: 100 }, (_, i) => `s${i}.test`),
      ),
    ).toHaveLength(8)
  })

  const attempts = (...errors: (MatrixError | undefined)[]) => {
    const tried: string[] = []
    const servers = errors.map((_, i) => `s${i}` as ServerName)
    const done = firstOf(servers, async (server) => {
      tried.push(server)
      const error = errors[servers.indexOf(server)]
      if (error) throw error
      return server
    })
    return { done, tried }
  }
  const forbidden = new MatrixError('M_FORBIDDEN', 403, 'no')
  const unknown = new MatrixError('M_NOT_FOUND', 404, 'what room?')
  const gone = (name: string) => new MatrixError('M_CONNECTION_FAILED', 502, `${name} is gone`)
  const slow = new MatrixError('M_CONNECTION_TIMEOUT', 504, 'it is slow')

  it('are tried until one does', async () => {
    const { done, tried } = attempts(gone('a'), forbidden, undefined, undefined)
    expect(await done).toBe('s2')
    expect(tried).toEqual(['s0', 's1', 's2'])
  })

  it.each<[string, MatrixError[], number, string, RegExp]>([
    ['a refusal before everything', [gone('a'), unknown, forbidden], 403, 'M_FORBIDDEN', /no/],
    ['an unknown room before a dead server', [gone('a'), unknown], 404, 'M_NOT_FOUND', /what/],
    [
      'all dead servers',
      [gone('a'), gone('b'), slow],
      502,
      'M_CONNECTION_FAILED',
      /a is gone; b is gone; it/,
    ],
    ['that all are slow', [slow, slow], 504, 'M_CONNECTION_TIMEOUT', /slow/],
    ['that there is none', [], 404, 'M_NOT_FOUND', /No server/],
  ])('fail with what tells most: %s', async (_, errors, status, errcode, message) => {
    await expect(attempts(...errors).done).rejects.toMatchObject({
      status,
      errcode,
      message: expect.stringMatching(message) as string,
    })
  })

  it('are tried no more where that is of no use', async () => {
    const { done, tried } = attempts(new MatrixError('M_RESOURCE_LIMIT_EXCEEDED', 400, 'large'), undefined)
    await expect(done).rejects.toMatchObject({ errcode: 'M_RESOURCE_LIMIT_EXCEEDED' })
    expect(tried).toEqual(['s0'])
  })
})
