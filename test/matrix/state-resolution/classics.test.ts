// The known races of state resolution as stories, each resolved in three ways, in rooms of all three algorithms.

import { describe, expect, test } from 'vitest'
import type { Event } from '../../../src/matrix/event.ts'
import type { RoomVersionId } from '../../../src/matrix/room-version.ts'
import {
  alice,
  bob,
  carol,
  creator,
  eve,
  joinRules,
  member,
  message,
  powerLevels,
  publicRoom,
  topic,
  type RoomDag,
} from '../../fixtures/room-dag.ts'
import { threeWays } from '../../fixtures/three-ways.ts'

const versions: readonly RoomVersionId[] = ['1', '2', '10', '11', '12']

/** Checks what stands in the slots of some events, each expected to have won its slot, in all three ways. */
function expectWinners(room: RoomDag, ...winners: readonly Event[]): void {
  for (const [name, way] of Object.entries(threeWays)) {
    const lookup = room.server.lookup(way(room.server))
    for (const { type, state_key: key, event_id: id } of winners) {
      expect(lookup(type, key ?? '')?.event_id, `${name}: ${type} ${key}`).toBe(id)
    }
  }
}

describe.each(versions)('in a room of version %s', (version) => {
  test('a ban wins against the power level change that its target sends meanwhile', () => {
    const room = publicRoom(version)
    const base = room.last
    const before = room.current('m.room.power_levels')
    const ban = room.send(alice, member(bob, 'ban'), { after: [base] })
    room.send(bob, powerLevels(room, { [alice]: 100, [bob]: 50, [carol]: 50 }), { after: [base] })
    expect(before).toBeDefined()
    expectWinners(room, ban, ...(before === undefined ? [] : [before]))
  })

  test('a demotion takes away the topic that its target sets meanwhile', () => {
    const room = publicRoom(version)
    const old = room.send(alice, topic('old'))
    const demotion = room.send(alice, powerLevels(room, { [alice]: 100 }), { after: [old] })
    room.send(bob, topic('mine'), { after: [old] })
    expectWinners(room, demotion, old)
  })

  test('a topic set under power levels that are no longer in force loses against the other fork', () => {
    const room = publicRoom(version)
    room.send(alice, topic('first'))
    const both = room.send(alice, powerLevels(room, { [alice]: 100, [bob]: 50, [carol]: 1 }))
    const second = room.send(alice, topic('second'), { after: [both] })
    const demotion = room.send(alice, powerLevels(room, { [alice]: 100, [bob]: 0 }), { after: [second] })
    const byBob = room.send(bob, powerLevels(room, { [alice]: 100, [bob]: 50, [carol]: 2 }), {
      after: [both],
    })
    room.send(bob, topic('third'), { after: [byBob] })
    expectWinners(room, demotion, second)
  })

  test('power levels that nobody with power sent are no part of any state', () => {
    const room = publicRoom(version)
    const base = room.last
    const granted = room.send(alice, powerLevels(room, { [alice]: 100, [bob]: 50, [carol]: 1 }))
    const theft = room.attempt(carol, powerLevels(room, { [carol]: 100 }), { after: [base] })
    const talk = room.send(bob, message, { after: [base] })
    expect(theft.verdict.ok).toBe(false)
    expect(room.server.heads()).toEqual([granted, talk])
    expectWinners(room, granted)
  })

  test('a topic under newer power levels wins against a later one under older power levels', () => {
    const room = publicRoom(version)
    const base = room.last
    const newer = room.send(alice, powerLevels(room, { [alice]: 100, [bob]: 50, [carol]: 1 }))
    const early = room.send(alice, topic('early clock'), { after: [newer], ts: 5 })
    room.send(bob, topic('late clock'), { after: [base], ts: 9_000_000 })
    expectWinners(room, newer, early)
  })

  test('a ban wins against the join it races with', () => {
    const room = publicRoom(version)
    const base = room.last
    const ban = room.send(alice, member(eve, 'ban'), { after: [base], ts: 9_000_000 })
    room.send(eve, member(eve, 'join'), { after: [base], ts: 5 })
    expectWinners(room, ban)
  })

  test('who was kicked keeps nothing of what they sent meanwhile', () => {
    const room = publicRoom(version)
    const old = room.send(alice, topic('old'))
    const kick = room.send(alice, member(bob, 'leave'), { after: [old] })
    room.send(bob, topic('mine'), { after: [old] })
    expectWinners(room, kick, old)
  })

  test('the ban of a moderator undoes the ban that the moderator sends meanwhile', () => {
    const room = publicRoom(version)
    const base = room.last
    const ban = room.send(alice, member(bob, 'ban'), { after: [base] })
    const join = room.current('m.room.member', carol)
    room.send(bob, member(carol, 'ban'), { after: [base] })
    const loses = version === '1' ? undefined : join
    expectWinners(room, ban, ...(loses === undefined ? [] : [loses]))
  })

  test('closed join rules, a ban and its target on four forks resolve together', () => {
    const room = publicRoom(version)
    const base = room.last
    const rules = room.send(alice, joinRules('invite'), { after: [base] })
    room.send(bob, topic('bob'), { after: [base] })
    room.send(carol, message, { after: [base] })
    const ban = room.send(alice, member(bob, 'ban'), { after: [base] })
    expectWinners(room, rules, ban)
  })
})

describe('in rooms of version 1', () => {
  test('a join that only one fork has evades the join rules of the other', () => {
    const room = publicRoom('1')
    const base = room.last
    const closed = room.send(alice, joinRules('invite'), { after: [base] })
    const join = room.send(eve, member(eve, 'join'), { after: [base] })
    expectWinners(room, closed, join)
  })

  test('the deeper of two topics wins whatever the clocks say', () => {
    const room = publicRoom('1')
    const base = room.last
    room.send(alice, topic('shallow'), { after: [base], ts: 9_000_000 })
    const talk = room.send(bob, message, { after: [base] })
    const deep = room.send(bob, topic('deep'), { after: [talk], ts: 5 })
    expectWinners(room, deep)
  })
})

describe.each<RoomVersionId>(['2', '10', '11', '12'])('in a room of version %s by v2', (version) => {
  test('a join does not evade join rules that were changed meanwhile', () => {
    const room = publicRoom(version)
    const base = room.last
    const closed = room.send(alice, joinRules('invite'), { after: [base] })
    room.send(eve, member(eve, 'join'), { after: [base] })
    expectWinners(room, closed)
    for (const way of Object.values(threeWays)) {
      expect(room.server.lookup(way(room.server))('m.room.member', eve)).toBeUndefined()
    }
  })

  test('the later of two topics wins, whatever the depth', () => {
    const room = publicRoom(version)
    const base = room.last
    const talk = room.send(bob, message, { after: [base] })
    room.send(bob, topic('deep'), { after: [talk], ts: 9_000_000 })
    const late = room.send(alice, topic('late'), { after: [base], ts: 9_000_001 })
    expectWinners(room, late)
  })

  test('two power level changes of admins apply one after the other, creators of version 12 before all', () => {
    const room = publicRoom(version)
    const base = room.last
    const first = room.send(alice, powerLevels(room, { [alice]: 100, [carol]: 1 }), { after: [base] })
    const second = room.send(creator, powerLevels(room, { [alice]: 100, [carol]: 2 }), { after: [base] })
    expectWinners(room, version === '12' ? first : second)
  })
})
