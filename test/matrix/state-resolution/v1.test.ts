// The ordering of v1, on conflicts put together by hand.

import { createHash } from 'node:crypto'
import { expect, test } from 'vitest'
import { resolve, resolveConflict, slotKey } from '../../../src/matrix/state-resolution/resolve.ts'
import {
  alice,
  bob,
  carol,
  eve,
  joinRules,
  member,
  message,
  powerLevels,
  publicRoom,
  topic,
} from '../../fixtures/room-dag.ts'

/** Event ids in ascending order of their SHA-1. */
const idsBySha1 = ['$a:x', '$b:x', '$c:x', '$d:x'].sort((x, y) => (sha1(x) < sha1(y) ? -1 : 1))

function sha1(text: string): string {
  return createHash('sha1').update(text).digest('hex')
}

function id(index: number): string {
  return idsBySha1[index] ?? ''
}

test('of two topics of the same depth the one whose id has the lower SHA-1 wins', () => {
  for (const [one, other] of [
    [0, 1],
    [1, 0],
  ] as const) {
    const room = publicRoom('1')
    const base = room.last
    room.send(alice, topic('one'), { after: [base], event_id: id(one) })
    room.send(bob, topic('other'), { after: [base], event_id: id(other) })
    expect(room.current('m.room.topic')?.event_id).toBe(id(0))
  }
})

test('of the topics that are not allowed none is taken, and a shallower one that is allowed wins', () => {
  const room = publicRoom('1')
  const shallow = room.send(alice, topic('shallow'))
  room.send(alice, powerLevels(room, { [alice]: 100 }), { after: [shallow] })
  const talk = room.send(bob, message, { after: [shallow] })
  room.send(bob, topic('deep'), { after: [talk] })
  expect(room.current('m.room.topic')).toBe(shallow)
})

test('a slot in which every event is refused ends empty', () => {
  const room = publicRoom('1')
  const base = room.last
  const demotion = room.send(alice, powerLevels(room, { [alice]: 100 }), { after: [base] })
  const one = room.send(bob, topic('one'), { after: [base] })
  const other = room.send(bob, topic('other'), { after: [base] })
  const { rules, event, rejected } = room.server
  const states = [demotion, one, other].map((head) => room.server.stateAfter(head))
  expect(resolve(rules, states, event, rejected).has(slotKey('m.room.topic', ''))).toBe(false)
})

test('the first of the sorted power levels is taken unseen, each next one if the last allows it', () => {
  const room = publicRoom('1')
  const base = room.last
  // Bob's comes first by its higher SHA-1 and is taken, alice's is allowed on top of it.
  room.send(bob, powerLevels(room, { [alice]: 100, [bob]: 50, [carol]: 50 }), {
    after: [base],
    event_id: id(1),
  })
  const byAlice = room.send(alice, powerLevels(room, { [alice]: 100 }), { after: [base], event_id: id(0) })
  expect(room.current('m.room.power_levels')).toBe(byAlice)
})

test('the pass ends at the first refusal, even if a deeper event would be allowed again', () => {
  const room = publicRoom('1')
  const base = room.last
  const ban = room.send(alice, member(carol, 'ban'), { after: [base] })
  const talk = room.send(bob, message, { after: [base] })
  const renamed = room.send(carol, member(carol, 'join', { displayname: 'C' }), { after: [talk] })
  const more = room.send(bob, message, { after: [talk] })
  const kick = room.send(alice, member(carol, 'leave'), { after: [more] })
  expect([ban.depth, renamed.depth, kick.depth]).toEqual([8, 9, 10])
  expect(room.current('m.room.member', carol)).toBe(ban)
})

test('members are judged by the join rules that won', () => {
  const room = publicRoom('1')
  room.send(eve, member(eve, 'join'))
  room.send(eve, member(eve, 'leave'))
  const closed = room.send(alice, joinRules('invite'))
  room.send(bob, message, { after: [closed] })
  const open = room.send(alice, joinRules('public'), { after: [closed] })
  const join = room.send(eve, member(eve, 'join'), { after: [open] })
  expect(room.current('m.room.join_rules')).toBe(open)
  expect(room.current('m.room.member', eve)).toBe(join)
})

test('power levels are refused while the membership of their sender is in dispute, whatever the caller says', () => {
  const room = publicRoom('1')
  const base = room.last
  const before = room.server.currentState()
  const old = room.current('m.room.power_levels')
  const joined = room.current('m.room.member', bob)
  const renamed = room.send(bob, member(bob, 'join', { displayname: 'Bob' }), { after: [base] })
  const byBob = room.send(bob, powerLevels(room, { [alice]: 100, [bob]: 50, [carol]: 1 }), { after: [base] })
  const winners = resolveConflict(room.rules, {
    conflicted: [
      { slot: { type: 'm.room.power_levels', state_key: '' }, events: [old?.event_id, byBob.event_id] },
      { slot: { type: 'm.room.member', state_key: bob }, events: [renamed.event_id, joined?.event_id] },
    ],
    unconflicted: (type, stateKey) => before.get(slotKey(type, stateKey)),
    authDifference: new Set(),
    event: room.server.event,
    rejected: room.server.rejected,
  })
  expect(winners.get(slotKey('m.room.power_levels', ''))).toBe(old?.event_id)
  expect(winners.get(slotKey('m.room.member', bob))).toBe(renamed.event_id)
})
