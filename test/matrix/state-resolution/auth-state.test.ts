// The state that an event's own auth events make up, and when it is incomplete.

import { describe, expect, test } from 'vitest'
import type { Event, RoomId } from '../../../src/matrix/event.ts'
import { authState, citedPowerLevels } from '../../../src/matrix/state-resolution/auth-state.ts'
import { createEvent, event, memberEvent, rulesOf } from '../../fixtures/events.ts'

const create = createEvent('11')
const levels = event({ type: 'm.room.power_levels', state_key: '', auth_events: [create] })
const join = memberEvent('@bob:b.example', 'join', { auth_events: [create] })
const topic = event({ type: 'm.room.topic', state_key: '', auth_events: [create, levels, join] })

function stateOf(known: readonly Event[], rejected: readonly Event[] = [], subject: Event = topic) {
  const source = {
    event: (id: string) => known.find((one) => one.event_id === id),
    rejected: (id: string) => rejected.some((one) => one.event_id === id),
  }
  return authState(rulesOf('11'), subject, source)
}

describe('the state of the auth events', () => {
  test('has what the event cites and nothing else', () => {
    const { lookup, complete } = stateOf([create, levels, join])
    expect(lookup('m.room.create', '')).toBe(create)
    expect(lookup('m.room.power_levels', '')).toBe(levels)
    expect(lookup('m.room.member', '@bob:b.example')).toBe(join)
    expect(lookup('m.room.join_rules', '')).toBeUndefined()
    expect(complete).toBe(true)
  })

  test('lacks an event that is not known, and says so', () => {
    const { lookup, complete } = stateOf([create, join])
    expect(lookup('m.room.power_levels', '')).toBeUndefined()
    expect(complete).toBe(false)
  })

  test('lacks a rejected event, and says so', () => {
    const { lookup, complete } = stateOf([create, levels, join], [levels])
    expect(lookup('m.room.power_levels', '')).toBeUndefined()
    expect(lookup('m.room.create', '')).toBe(create)
    expect(complete).toBe(false)
  })

  test('lacks an event of another room, and says so', () => {
    const foreign = { ...levels, room_id: '!other:a.example' as RoomId }
    const { lookup, complete } = stateOf([create, foreign, join])
    expect(lookup('m.room.power_levels', '')).toBeUndefined()
    expect(complete).toBe(false)
  })

  test('has the create event that the room id names since version 12, without citing it', () => {
    const create12 = createEvent('12')
    const topic12 = event({ type: 'm.room.topic', state_key: '', room_id: create12.room_id })
    const known = { event: (id: string) => (id === create12.event_id ? create12 : undefined) }
    const found = authState(rulesOf('12'), topic12, { ...known, rejected: () => false })
    expect(found.lookup('m.room.create', '')).toBe(create12)
    expect(found.complete).toBe(true)
    const missing = authState(rulesOf('12'), topic12, { event: () => undefined, rejected: () => false })
    expect(missing.complete).toBe(false)
  })
})

test('cited power levels are those with an empty state key', () => {
  const other = event({ type: 'm.room.power_levels', state_key: 'x' })
  const source = {
    event: (id: string) => [other, levels].find((one) => one.event_id === id),
    rejected: () => false,
  }
  expect(citedPowerLevels(event({ auth_events: [other, levels] }), source)).toBe(levels)
  expect(citedPowerLevels(event({ auth_events: [other] }), source)).toBeUndefined()
})
