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
    const states = [
      room.server.stateAfter(room.send(alice, topic('one'), { after: [base] })),
      room.server.stateAfter(room.send(bob, topic('other'), { after: [base] })),
    ]
    expect(resolveStates(room, states).has(topicSlot)).toBe(true)
    expect(levels).toBeDefined()
    if (levels !== undefined) expect(resolveStates(room, states, [levels]).has(topicSlot)).toBe(false)
  })

  test('a rejected event loses, even where a state claims it', () => {
    const room = publicRoom(version)
    const base = room.last
    const good = room.send(alice, topic('good'), { after: [base] })
    const theft = room.attempt(carol, topic('bad'), { after: [good] })
    expect(theft.verdict.ok).toBe(false)
    const state = room.server.stateAfter(good)
    const claimed = new Map(state).set(topicSlot, theft.event.event_id)
    expect(resolveStates(room, [state, claimed]).get(topicSlot)).toBe(good.event_id)
    expect(resolveStates(room, [claimed, room.server.stateAfter(base)]).has(topicSlot)).toBe(false)
  })

  test('what the caller says of a conflicted slot beside the conflict is not listened to', () => {
    const room = publicRoom(version)
    const base = room.last
    const demotion = room.send(alice, powerLevels(room, { [alice]: 100 }), { after: [base] })
    const byBob = room.send(bob, topic('mine'), { after: [base] })
    const fork = room.server.stateAfter(byBob)
    const levels = slotKey('m.room.power_levels', '')
    const winners = resolveConflict(room.rules, {
      conflicted: [
        {
          slot: { type: 'm.room.power_levels', state_key: '' },
          events: [demotion.event_id, fork.get(levels)],
        },
        { slot: { type: 'm.room.topic', state_key: '' }, events: [undefined, byBob.event_id] },
      ],
      unconflicted: (type, stateKey) => fork.get(slotKey(type, stateKey)),
      authDifference: new Set(),
      event: room.server.event,
      rejected: room.server.rejected,
    })
    expect(winners.get(levels)).toBe(demotion.event_id)
    expect([...winners.keys()].sort()).toEqual([levels, topicSlot].sort())
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
