// The edges of the algorithm: empty and missing things, rejected events, slots that no fork has, long auth chains.

import { describe, expect, test } from 'vitest'
import type { Event, EventId } from '../../../src/matrix/event.ts'
import type { RoomVersionId } from '../../../src/matrix/room-version.ts'
import { authDifference } from '../../../src/matrix/state-resolution/auth-difference.ts'
import { conflictedStateSubgraph } from '../../../src/matrix/state-resolution/conflicted-subgraph.ts'
import {
  resolve,
  resolveConflict,
  slotKey,
  type StateMap,
} from '../../../src/matrix/state-resolution/resolve.ts'
import { event } from '../../fixtures/events.ts'
import {
  alice,
  bob,
  carol,
  creator,
  eve,
  joinRules,
  member,
  powerLevels,
  publicRoom,
  topic,
  type RoomDag,
} from '../../fixtures/room-dag.ts'

const versions: readonly RoomVersionId[] = ['1', '2', '10', '11', '12']
const topicSlot = slotKey('m.room.topic', '')

function resolveStates(room: RoomDag, states: readonly StateMap[], without: readonly Event[] = []): StateMap {
  const unknown = new Set(without.map((one) => one.event_id))
  const known = (id: EventId) => (unknown.has(id) ? undefined : room.server.event(id))
  return resolve(room.rules, states, known, room.server.rejected)
}

describe.each(versions)('in a room of version %s', (version) => {
  test('no states resolve to the empty state, one state or equal ones to themselves', () => {
    const room = publicRoom(version)
    const state = room.server.currentState()
    expect(resolveStates(room, [])).toEqual(new Map())
    expect(resolveStates(room, [state])).toEqual(state)
    expect(resolveStates(room, [state, new Map(state)])).toEqual(state)
  })

  test('nothing enters when no event is known, and nothing throws', () => {
    const room = publicRoom(version)
    const base = room.last
    const states = [
      room.server.stateAfter(room.send(alice, topic('one'), { after: [base] })),
      room.server.stateAfter(room.send(bob, topic('other'), { after: [base] })),
    ]
    const resolved = resolveStates(room, states, room.server.events)
    expect(resolved.has(topicSlot)).toBe(false)
    expect(resolved).toEqual(room.server.stateAfter(base))
  })

  test('an event that is not known loses', () => {
    const room = publicRoom(version)
    const base = room.last
    const one = room.send(alice, topic('one'), { after: [base] })
    const other = room.send(bob, topic('other'), { after: [base] })
    const states = [one, other].map((head) => room.server.stateAfter(head))
    expect(resolveStates(room, states, [one]).get(topicSlot)).toBe(other.event_id)
    expect(resolveStates(room, states, [other]).get(topicSlot)).toBe(one.event_id)
  })

  test('an event is refused when the state it is judged by has an unknown event', () => {
    const room = publicRoom(version)
    const levels = room.current('m.room.power_levels')
    const base = room.last
    // By the creator, who would have all power if there were no power levels.
    const states = ['one', 'other'].map((text) =>
      room.server.stateAfter(room.send(creator, topic(text), { after: [base] })),
    )
    expect(resolveStates(room, states).has(topicSlot)).toBe(true)
    expect(levels).toBeDefined()
    if (levels !== undefined) expect(resolveStates(room, states, [levels]).has(topicSlot)).toBe(false)
  })

  test('a rejected event loses, even one that the resolved state would allow', () => {
    const room = publicRoom(version)
    const base = room.last
    const one = room.send(alice, topic('one'), { after: [base] })
    const other = room.send(bob, topic('other'), { after: [base] })
    const states = [one, other].map((head) => room.server.stateAfter(head))
    for (const [rejected, winner] of [
      [one, other],
      [other, one],
    ] as const) {
      const resolved = resolve(room.rules, states, room.server.event, (id) => id === rejected.event_id)
      expect(resolved.get(topicSlot)).toBe(winner.event_id)
    }
  })
})

describe.each<RoomVersionId>(['2', '10', '11', '12'])('in a room of version %s by v2', (version) => {
  test('a slot that no fork has is filled from the auth difference', () => {
    const room = publicRoom(version)
    const state = room.server.currentState()
    const join = room.send(eve, member(eve, 'join'))
    const levels = room.send(alice, powerLevels(room, { [alice]: 100, [bob]: 50, [eve]: 50 }))
    const byEve = room.send(eve, topic('mine'))
    const claimed = new Map(state)
      .set(topicSlot, byEve.event_id)
      .set(slotKey('m.room.power_levels', ''), levels.event_id)
    const resolved = resolveStates(room, [state, claimed])
    expect(resolved.get(slotKey('m.room.member', eve))).toBe(join.event_id)
    expect(resolved.get(topicSlot)).toBe(byEve.event_id)
  })

  test('a slot on which the forks agree stays, whatever the auth difference holds for it', () => {
    const room = publicRoom(version)
    const state = room.server.currentState()
    const renamed = room.send(bob, member(bob, 'join', { displayname: 'Bob' }))
    const byBob = room.send(bob, topic('mine'))
    expect(byBob.auth_events).toContain(renamed.event_id)
    const claimed = new Map(state).set(topicSlot, byBob.event_id)
    expect(resolveStates(room, [state, claimed])).toEqual(claimed)
  })

  test('an auth event that is not known refuses an event only where the state cannot replace it', () => {
    const room = publicRoom(version)
    const base = room.last
    const levels = room.current('m.room.power_levels')
    const closed = room.send(alice, joinRules('invite'), { after: [base] })
    const states = [room.server.stateAfter(base), room.server.stateAfter(closed)]
    const winner = resolveStates(room, states, levels === undefined ? [] : [levels]).get(
      slotKey('m.room.join_rules', ''),
    )
    expect(winner).toBeUndefined()
    const joined = room.server.stateAfter(room.send(eve, member(eve, 'join'), { after: [base] }))
    const cited = room.current('m.room.join_rules')
    expect(cited).toBe(closed)
    const resolved = resolveStates(room, [joined, states[0] ?? joined], [closed])
    expect(resolved.has(slotKey('m.room.member', eve))).toBe(true)
  })
})

test('v2 does not ask what the forks agree on in a conflicted slot', () => {
  const room = publicRoom('11')
  const kick = room.send(alice, member(bob, 'leave'))
  const before = room.server.currentState()
  const back = room.send(bob, member(bob, 'join'))
  const byBob = room.send(bob, topic('mine'), { ts: back.origin_server_ts - 1 })
  const winners = resolveConflict(room.rules, {
    conflicted: [
      { slot: { type: 'm.room.member', state_key: bob }, events: [back.event_id, undefined] },
      { slot: { type: 'm.room.topic', state_key: '' }, events: [byBob.event_id, undefined] },
    ],
    unconflicted: (type, stateKey) => before.get(slotKey(type, stateKey)),
    authDifference: new Set(),
    event: room.server.event,
    rejected: room.server.rejected,
  })
  expect(before.get(slotKey('m.room.member', bob))).toBe(kick.event_id)
  expect(winners.get(topicSlot)).toBe(byBob.event_id)
})

test('without power levels in conflict v2 sorts by their mainline, v2.1 by time alone', () => {
  const topics = (version: RoomVersionId) => {
    const room = publicRoom(version)
    const old = room.send(alice, topic('old'), { ts: 9_000_000 })
    const levels = room.send(alice, powerLevels(room, { [alice]: 100, [bob]: 50, [carol]: 1 }))
    const recent = room.send(alice, topic('recent'), { after: [levels], ts: 5 })
    const states = [levels, recent].map((head) => room.server.stateAfter(head))
    return { old, recent, winner: resolveStates(room, states).get(topicSlot) }
  }
  const v2 = topics('11')
  expect(v2.winner).toBe(v2.recent.event_id)
  const v21 = topics('12')
  expect(v21.winner).toBe(v21.old.event_id)
})

/** Power levels that cite one another, `length` deep, after those of the room. */
function longChain(room: RoomDag, length: number): Event[] {
  const first = room.current('m.room.power_levels')
  const member = room.current('m.room.member', alice)
  if (first === undefined || member === undefined) throw new Error('the room is not complete')
  const implied = room.rules.roomIdIsCreateHash ? [member] : [room.create, member]
  const chain = [first]
  for (let index = 1; index <= length; index += 1) {
    const made = event({
      ...powerLevels(room, { [alice]: 100, [bob]: 50, [carol]: index % 50 }),
      sender: alice,
      room_id: room.create.room_id,
      event_id: `$levels${index}`,
      origin_server_ts: 10_000 + index,
      auth_events: [...implied, chain[index - 1] ?? first],
    })
    chain.push(made)
  }
  return chain
}

test('an auth chain of 100,000 power levels is resolved without running out of stack', () => {
  const room = publicRoom('12')
  const chain = longChain(room, 100_000)
  const byId = new Map(chain.map((one) => [one.event_id, one]))
  const find = (id: EventId) => byId.get(id) ?? room.server.event(id)
  const old = room.server.currentState()
  const last = chain.at(-1)
  if (last === undefined) throw new Error('the chain is empty')
  const recent = new Map(old).set(slotKey('m.room.power_levels', ''), last.event_id)
  expect(resolve(room.rules, [old, recent], find, () => false)).toEqual(recent)
})

test('the walks over a chain of 100,000 events end', () => {
  const authEvents = (id: EventId) => (id === '$0' ? [] : [`$${Number(id.slice(1)) - 1}` as EventId])
  const ends = ['$0', '$100000'] as EventId[]
  expect(authDifference([[ends[0] ?? '$0'], [ends[1] ?? '$0']] as EventId[][], authEvents).size).toBe(100_000)
  expect(conflictedStateSubgraph(new Set(ends), authEvents).size).toBe(100_001)
})
