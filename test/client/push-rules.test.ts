// Push rules over HTTP: what is stored, what comes down a sync, and what it does to the unread counts.

import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { JsonObject, JsonValue } from '../../src/matrix/json.ts'
import { newClient, refusal, type RoomClient } from '../support/room-client.ts'
import { startServer, type TestServer } from '../support/server.ts'
import { textOf } from '../support/text-of.ts'

let server: TestServer
beforeAll(async () => {
  server = await startServer()
})
afterAll(() => server.stop())

let alice: RoomClient
let bob: RoomClient
let n = 0
/** Two users without rules of their own for the tests of a group. */
function freshUsers(): void {
  beforeAll(async () => {
    n += 1
    alice = await newClient(server, `alice${n}`)
    bob = await newClient(server, `bob${n}`)
  })
}

const quiet = { actions: [] }
const path = (kind: string, ruleId: string, rest = '') =>
  `/pushrules/global/${kind}/${encodeURIComponent(ruleId)}${rest}`

async function idsOf(kind: string): Promise<string[]> {
  const rules = (await alice.done('GET', '/pushrules/global/'))[kind]
  return (rules as { rule_id: string }[]).map((rule) => rule.rule_id)
}

/** The push rules in the account data of a sync, undefined where there are none. */
function rulesIn(sync: Record<string, JsonValue>): JsonValue | undefined {
  const { events } = sync['account_data'] as { events: JsonObject[] }
  return events.find((event) => event['type'] === 'm.push_rules')?.['content']
}

describe('the rules of a user', () => {
  freshUsers()

  it('are at first those of the server, the same wherever they are read', async () => {
    const rules = await alice.done('GET', '/pushrules/')
    expect(Object.keys(rules)).toEqual(['global'])
    expect(await alice.done('GET', '/pushrules/global/')).toEqual(rules['global'])
    expect(await alice.done('GET', '/pushrules')).toEqual(rules)
    expect(await alice.done('GET', '/pushrules/global')).toEqual(rules['global'])
    expect(await alice.done('GET', `/user/${alice.userId}/account_data/m.push_rules`)).toEqual(rules)
    expect(rulesIn(await alice.done('GET', '/sync'))).toEqual(rules)
    expect(await idsOf('underride')).toContain('.m.rule.message')
    expect(await alice.done('GET', path('override', '.m.rule.master', '/enabled'))).toEqual({
      enabled: false,
    })
  })

  it('are made, read, changed, disabled and removed', async () => {
    const rule = { actions: ['notify'], pattern: 'ca?e', something: 'else' }
    expect(await alice.done('PUT', path('content', 'cake'), rule)).toEqual({})
    const made = { rule_id: 'cake', default: false, enabled: true, actions: ['notify'], pattern: 'ca?e' }
    expect(await alice.done('GET', path('content', 'cake'))).toEqual(made)
    await alice.done('PUT', path('content', 'cake', '/enabled'), { enabled: false })
    await alice.done('PUT', path('content', 'cake', '/actions'), { actions: [{ set_tweak: 'highlight' }] })
    expect(await alice.done('GET', path('content', 'cake', '/enabled'))).toEqual({ enabled: false })
    expect(await alice.done('GET', path('content', 'cake', '/actions'))).toEqual({
      actions: [{ set_tweak: 'highlight' }],
    })
    expect(await alice.done('DELETE', path('content', 'cake'))).toEqual({})
    expect(await alice.call('GET', path('content', 'cake'))).toEqual(refusal(404, 'M_NOT_FOUND'))
  })

  it('belong to one user', async () => {
    await alice.done('PUT', path('sender', bob.userId), quiet)
    expect(await bob.call('GET', path('sender', bob.userId))).toEqual(refusal(404, 'M_NOT_FOUND'))
  })

  it('are ordered by before and after, the newest first without either', async () => {
    for (const id of ['a', 'b', 'c']) await alice.done('PUT', path('room', id), quiet)
    expect(await idsOf('room')).toEqual(['c', 'b', 'a'])
    await alice.done('PUT', path('room', 'd', '?before=b'), quiet)
    await alice.done('PUT', path('room', 'e', '?after=a'), quiet)
    await alice.done('PUT', path('room', 'c', '?after=b'), quiet)
    expect(await idsOf('room')).toEqual(['d', 'b', 'c', 'a', 'e'])
    const lost = await alice.call('PUT', path('room', 'f', '?before=nowhere'), quiet)
    expect(lost).toEqual(refusal(400, 'M_UNKNOWN'))
    const besideDefault = path('override', 'f', '?after=.m.rule.master')
    expect(await alice.call('PUT', besideDefault, quiet)).toEqual(refusal(400, 'M_UNKNOWN'))
  })

  it('of the server can be changed, but neither replaced nor removed', async () => {
    const rule = path('underride', '.m.rule.message')
    await alice.done('PUT', `${rule}/enabled`, { enabled: false })
    await alice.done('PUT', `${rule}/actions`, { actions: ['notify', { set_tweak: 'highlight' }] })
    expect(await alice.done('GET', rule)).toMatchObject({ default: true, enabled: false })
    expect(await alice.call('PUT', rule, quiet)).toEqual(refusal(400, 'M_INVALID_PARAM'))
    expect(await alice.call('DELETE', rule)).toEqual(refusal(404, 'M_NOT_FOUND'))
  })
})

describe('refused is', () => {
  freshUsers()

  const missing = refusal(400, 'M_MISSING_PARAM')
  const invalid = refusal(400, 'M_INVALID_PARAM')
  const notFound = refusal(404, 'M_NOT_FOUND')

  it.each<[string, string, JsonObject, ReturnType<typeof refusal>]>([
    ['a rule of an unknown kind', path('banana', 'x'), quiet, invalid],
    ['a slash in a rule id', path('room', 'a/b'), quiet, invalid],
    ['a backslash in a rule id', path('room', 'a\\b'), quiet, invalid],
    ['a rule without actions', path('room', 'x'), {}, missing],
    ['actions that are no list', path('room', 'x'), { actions: 'notify' }, invalid],
    ['a content rule without a pattern', path('content', 'x'), quiet, missing],
    ['conditions that are no list', path('override', 'x'), { actions: [], conditions: {} }, invalid],
    ['enabled without a value', path('room', 'x', '/enabled'), {}, missing],
    ['enabled that is no boolean', path('room', 'x', '/enabled'), { enabled: 1 }, invalid],
    ['actions without a list', path('room', 'x', '/actions'), {}, missing],
    ['actions with a number', path('room', 'x', '/actions'), { actions: [1] }, invalid],
    ['enabling a rule that is not there', path('room', 'x', '/enabled'), { enabled: true }, notFound],
    ['enabling a rule of an unknown kind', path('banana', 'x', '/enabled'), { enabled: true }, notFound],
    ['changing a rule that is not there', path('room', 'x', '/actions'), quiet, notFound],
    ['a rule for a device', '/pushrules/device/abc/room/x', quiet, refusal(404, 'M_UNRECOGNIZED')],
  ])('%s', async (_, where, body, expected) => {
    expect(await alice.call('PUT', where, body)).toEqual(expected)
  })

  it.each(['', '/enabled', '/actions'])('reading%s what is not there', async (rest) => {
    for (const kind of ['room', 'banana', '__proto__']) {
      expect(await alice.call('GET', path(kind, 'x', rest))).toEqual(notFound)
    }
  })

  it('a rule that makes all of them too large', async () => {
    const actions = [{ set_tweak: 'x'.repeat(300_000) }]
    expect(await alice.call('PUT', path('room', 'x'), { actions })).toEqual(refusal(413, 'M_TOO_LARGE'))
    expect(await idsOf('room')).toEqual([])
  })

  it('a request without a session', async () => {
    expect((await server.request('GET', '/_matrix/client/v3/pushrules/')).status).toBe(401)
  })
})

describe('a change of the rules', () => {
  freshUsers()

  it('wakes a sync that waits and comes down it', async () => {
    const since = textOf(await alice.done('GET', '/sync'), 'next_batch')
    const waiting = alice.done('GET', `/sync?since=${since}&timeout=20000`)
    await alice.done('PUT', path('room', 'x'), quiet)
    expect(rulesIn(await waiting)).toEqual(await alice.done('GET', '/pushrules/'))
  })

  it('counts from the next event on', async () => {
    const roomId = await alice.createRoom({ preset: 'public_chat' })
    await bob.join(roomId)
    const unread = async () => {
      const { rooms } = await alice.done('GET', '/sync')
      const { join } = rooms as { join: Record<string, Record<string, JsonValue>> }
      return join[roomId]?.['unread_notifications']
    }
    await bob.send(roomId, { msgtype: 'm.text', body: 'one' })
    await alice.done('PUT', path('room', roomId), quiet)
    await bob.send(roomId, { msgtype: 'm.text', body: 'two' })
    expect(await unread()).toEqual({ notification_count: 1, highlight_count: 0 })
    await alice.done('DELETE', path('room', roomId))
    const highlight = { actions: ['notify', { set_tweak: 'highlight' }], pattern: 'fire' }
    await alice.done('PUT', path('content', 'fire'), highlight)
    await bob.send(roomId, { msgtype: 'm.text', body: 'three' })
    await bob.send(roomId, { msgtype: 'm.text', body: 'The fire is lit' })
    expect(await unread()).toEqual({ notification_count: 3, highlight_count: 1 })
    await alice.done('PUT', path('override', '.m.rule.master', '/enabled'), { enabled: true })
    await bob.send(roomId, { msgtype: 'm.text', body: 'Fire!' })
    expect(await unread()).toEqual({ notification_count: 3, highlight_count: 1 })
  })
})

describe('an upgrade of a room', () => {
  freshUsers()

  it('carries the rules for it over to the new room, for those who join that', async () => {
    const roomId = await alice.createRoom({ preset: 'public_chat' })
    await bob.join(roomId)
    for (const person of [alice, bob]) await person.done('PUT', path('room', roomId), quiet)
    const upgraded = await alice.inRoom('POST', roomId, 'upgrade', { new_version: '11' })
    const replacement = textOf(upgraded.body, 'replacement_room')
    await bob.join(replacement)
    for (const person of [alice, bob]) {
      expect(await person.done('GET', path('room', replacement))).toMatchObject({ enabled: true, ...quiet })
      expect((await person.call('GET', path('room', roomId))).status).toBe(200)
    }
  })

  it('that is none mutes nothing that others are in', async () => {
    const other = await bob.createRoom({ preset: 'public_chat' })
    const roomId = await alice.createRoom({ preset: 'public_chat' })
    await bob.join(roomId)
    await bob.done('PUT', path('room', roomId), quiet)
    await alice.setState(roomId, 'm.room.tombstone', { body: 'gone', replacement_room: other })
    expect(await bob.call('GET', path('room', other))).toEqual(refusal(404, 'M_NOT_FOUND'))
  })
})
