// What v2.1 changed over v2: states that a server was told wrongly, as in the rationale of the change.

import { expect, test } from 'vitest'
import type { Event } from '../../../src/matrix/event.ts'
import type { RoomVersionId } from '../../../src/matrix/room-version.ts'
import { resolve, slotKey, type StateMap } from '../../../src/matrix/state-resolution/resolve.ts'
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
  type RoomDag,
} from '../../fixtures/room-dag.ts'

/** A state with some events put back into it, as a faulty server would claim it. */
function withClaims(state: StateMap, ...claims: readonly Event[]): StateMap {
  return new Map([
    ...state,
    ...claims.map((one) => [slotKey(one.type, one.state_key ?? ''), one.event_id] as const),
  ])
}

function resolved(room: RoomDag, states: readonly StateMap[]) {
  const { rules, event, rejected } = room.server
  return room.server.lookup(resolve(rules, states, event, rejected))
}

/** Alice closed the room and left; a faulty server claims the old join rules for a later point. */
function resetJoinRules(version: RoomVersionId) {
  const room = publicRoom(version)
  const open = room.send(alice, joinRules('public'))
  const closed = room.send(alice, joinRules('invite'))
  const left = room.send(alice, member(alice, 'leave'))
  const state = room.server.currentState()
  return { closed, left, lookup: resolved(room, [state, withClaims(state, open)]) }
}

test('v2 leaves a room without join rules when the one who set them has left', () => {
  const { lookup } = resetJoinRules('11')
  expect(lookup('m.room.join_rules', '')).toBeUndefined()
})

test('MSC4297: v2.1 judges old join rules by the state they were sent in, and keeps that their sender left', () => {
  const { lookup, closed, left } = resetJoinRules('12')
  expect(lookup('m.room.join_rules', '')).toBe(closed)
  expect(lookup('m.room.member', alice)).toBe(left)
})

/** Alice gave bob power, who gave some to carol; a faulty server claims the power levels before both. */
function resetPowerLevels(version: RoomVersionId) {
  const room = publicRoom(version)
  const first = room.send(alice, powerLevels(room, { [alice]: 100 }))
  room.send(alice, powerLevels(room, { [alice]: 100, [bob]: 50 }))
  const third = room.send(bob, powerLevels(room, { [alice]: 100, [bob]: 50, [carol]: 50 }))
  room.send(eve, member(eve, 'join'))
  const before = room.server.currentState()
  const renamed = room.send(eve, member(eve, 'join', { displayname: 'Eve' }))
  const states = [before, withClaims(room.server.currentState(), first)]
  return { first, third, renamed, lookup: resolved(room, states) }
}

test('v2 forgets power levels whose sender has no power in those it starts from', () => {
  const { lookup, first, renamed } = resetPowerLevels('11')
  expect(lookup('m.room.power_levels', '')).toBe(first)
  expect(lookup('m.room.member', eve)).toBe(renamed)
})

test('v2.1 replays the power levels between two that are in conflict', () => {
  const { lookup, third, renamed } = resetPowerLevels('12')
  expect(lookup('m.room.power_levels', '')).toBe(third)
  expect(lookup('m.room.member', eve)).toBe(renamed)
})

test('the creator outranks an admin in the order of power events', () => {
  const room = publicRoom('12')
  const base = room.last
  const byAdmin = room.send(alice, joinRules('knock'), { after: [base], ts: 1 })
  room.send(creator, joinRules('invite'), { after: [base], ts: 2 })
  expect(room.current('m.room.join_rules')).toBe(byAdmin)
})
