import { describe, expect, it } from 'vitest'
import { authEventSlots, stateFromAuthEvents } from '../../../src/matrix/event-auth/auth-events.ts'
import type { AuthEventsSubject } from '../../../src/matrix/event-auth/auth-events.ts'
import type { JsonObject } from '../../../src/matrix/json.ts'
import { roomVersionIds } from '../../../src/matrix/room-version.ts'
import type { RoomVersionId } from '../../../src/matrix/room-version.ts'
import { event, memberEvent, rulesOf, user } from '../../fixtures/events.ts'

const alice = user('@alice:a.example')
const bob = '@bob:a.example'
const carol = '@carol:c.example'
const create = 'm.room.create|'
const powerLevels = 'm.room.power_levels|'
const joinRules = 'm.room.join_rules|'
const member = (userId: string) => `m.room.member|${userId}`

const slotsOf = (version: RoomVersionId, subject: AuthEventsSubject): string[] =>
  authEventSlots(rulesOf(version), subject).map((slot) => `${slot.type}|${slot.state_key}`)

const memberSubject = (target: string, content: JsonObject): AuthEventsSubject => ({
  type: 'm.room.member',
  sender: alice,
  state_key: target,
  content,
})

const thirdParty: JsonObject = { third_party_invite: { signed: { token: 'abc' } } }
const vouched: JsonObject = { join_authorised_via_users_server: carol }

const selections: [string, AuthEventsSubject, string[]][] = [
  ['a message', { type: 'm.room.message', sender: alice, content: {} }, []],
  ['a state event', { type: 'm.room.topic', sender: alice, state_key: '', content: {} }, []],
  [
    'a message that says it is a join',
    { type: 'm.room.message', sender: alice, state_key: bob, content: { membership: 'join', ...vouched } },
    [],
  ],
  ['an own join', memberSubject(alice, { membership: 'join' }), [joinRules]],
  ['an invite', memberSubject(bob, { membership: 'invite' }), [member(bob), joinRules]],
  ['a knock', memberSubject(alice, { membership: 'knock' }), [joinRules]],
  ['an own leave', memberSubject(alice, { membership: 'leave' }), []],
  ['a kick', memberSubject(bob, { membership: 'leave', ...thirdParty, ...vouched }), [member(bob)]],
  ['a ban', memberSubject(bob, { membership: 'ban' }), [member(bob)]],
  [
    'an exchanged third-party invite',
    memberSubject(bob, { membership: 'invite', ...thirdParty, ...vouched }),
    [member(bob), joinRules, 'm.room.third_party_invite|abc'],
  ],
  [
    'an invite with a malformed third-party invite',
    memberSubject(bob, { membership: 'invite', third_party_invite: { signed: { token: 1 } } }),
    [member(bob), joinRules],
  ],
  [
    'a join with a third-party invite',
    memberSubject(alice, { membership: 'join', ...thirdParty }),
    [joinRules],
  ],
]

describe('the auth events selection', () => {
  it.each(selections)('of %s', (_, subject, expected) => {
    for (const version of roomVersionIds) {
      const base = version === '12' ? [powerLevels, member(alice)] : [create, powerLevels, member(alice)]
      expect(slotsOf(version, subject), `room version ${version}`).toEqual([...base, ...expected])
    }
  })

  it('of a create event is empty', () => {
    for (const version of roomVersionIds)
      expect(slotsOf(version, { type: 'm.room.create', sender: alice, state_key: '', content: {} })).toEqual(
        [],
      )
  })

  it('of a restricted join has the authorising user since version 8', () => {
    const subject = memberSubject(alice, { membership: 'join', ...vouched })
    expect(slotsOf('7', subject)).not.toContain(member(carol))
    for (const version of ['8', '9', '10', '11', '12'] as const)
      expect(slotsOf(version, subject)).toContain(member(carol))
  })

  it('has no slot twice when a user authorises themself', () => {
    const subject = memberSubject(alice, { membership: 'join', join_authorised_via_users_server: alice })
    expect(slotsOf('12', subject)).toEqual([powerLevels, member(alice), joinRules])
  })
})

describe('the state of auth events', () => {
  it('finds an event in its slot and nothing else', () => {
    const join = memberEvent(bob, 'join')
    const lookup = stateFromAuthEvents([join, event({ type: 'm.room.name' })])
    expect(lookup('m.room.member', bob)).toBe(join)
    expect(lookup('m.room.member', carol)).toBeUndefined()
    expect(lookup('m.room.name', '')).toBeUndefined()
  })
})
