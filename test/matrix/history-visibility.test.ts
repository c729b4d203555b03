import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  type HistoryVisibility,
  isEventVisible,
  parseHistoryVisibility,
  type Viewpoint,
} from '../../src/matrix/history-visibility.ts'

const alice = '@alice:example.org'
const visibilities = ['world_readable', 'shared', 'invited', 'joined'] as const
const memberships = ['join', 'invite', 'leave', 'ban', 'knock', undefined] as const
const message = { type: 'm.room.message', content: { body: 'hi' } }

function visibilityChange(history_visibility: string) {
  return { type: 'm.room.history_visibility', state_key: '', content: { history_visibility } }
}

function memberEvent(state_key: string, membership: string) {
  return { type: 'm.room.member', state_key, content: { membership } }
}

function sees(viewpoint: Viewpoint, joinedLater: boolean): boolean {
  return isEventVisible(message, alice, viewpoint, joinedLater)
}

describe('a message', () => {
  // Who sees it, by visibility: memberships that do without joining later, and those that do with it.
  const table: Record<HistoryVisibility, { never: readonly unknown[]; later: readonly unknown[] }> = {
    world_readable: { never: memberships, later: memberships },
    shared: { never: ['join'], later: memberships },
    invited: { never: ['join', 'invite'], later: ['join', 'invite'] },
    joined: { never: ['join'], later: ['join'] },
  }
  const cases = visibilities.flatMap((visibility) =>
    memberships.flatMap((membership) => [
      { visibility, membership, joinedLater: false, expected: table[visibility].never.includes(membership) },
      { visibility, membership, joinedLater: true, expected: table[visibility].later.includes(membership) },
    ]),
  )
  test.each(cases)(
    'under $visibility for membership $membership, joining later $joinedLater: $expected',
    ({ visibility, membership, joinedLater, expected }) => {
      expect(sees({ visibility, membership }, joinedLater)).toBe(expected)
    },
  )
})

test.each([undefined, null, 7, 'secret', 'shared'])('visibility %j means shared', (value) => {
  expect(parseHistoryVisibility(value)).toBe('shared')
})

test.each(['world_readable', 'invited', 'joined'])('visibility %j means itself', (value) => {
  expect(parseHistoryVisibility(value)).toBe(value)
})

describe('a change of history visibility', () => {
  const stranger = { membership: undefined }

  test('from world readable to joined is seen by a stranger', () => {
    const before: Viewpoint = { ...stranger, visibility: 'world_readable' }
    expect(isEventVisible(visibilityChange('joined'), alice, before, false)).toBe(true)
  })

  test('from joined to world readable is seen by a stranger', () => {
    const before: Viewpoint = { ...stranger, visibility: 'joined' }
    expect(isEventVisible(visibilityChange('world_readable'), alice, before, false)).toBe(true)
  })

  test('from joined to invited is not seen by a stranger', () => {
    const before: Viewpoint = { ...stranger, visibility: 'joined' }
    expect(isEventVisible(visibilityChange('invited'), alice, before, false)).toBe(false)
  })

  test('under another state key is an ordinary event', () => {
    const event = { ...visibilityChange('world_readable'), state_key: 'x' }
    expect(isEventVisible(event, alice, { ...stranger, visibility: 'joined' }, true)).toBe(false)
  })
})

describe('a member event', () => {
  test('of the user joining is seen', () => {
    const before: Viewpoint = { visibility: 'joined', membership: undefined }
    expect(isEventVisible(memberEvent(alice, 'join'), alice, before, false)).toBe(true)
  })

  test.each(['leave', 'ban'])('of the joined user to %s is seen', (membership) => {
    const before: Viewpoint = { visibility: 'joined', membership: 'join' }
    expect(isEventVisible(memberEvent(alice, membership), alice, before, false)).toBe(true)
  })

  test('of the user being invited is seen under invited, not under joined', () => {
    const invite = memberEvent(alice, 'invite')
    expect(isEventVisible(invite, alice, { visibility: 'invited', membership: undefined }, false)).toBe(true)
    expect(isEventVisible(invite, alice, { visibility: 'joined', membership: undefined }, false)).toBe(false)
  })

  test('of someone else joining is not seen by a user outside', () => {
    const before: Viewpoint = { visibility: 'joined', membership: 'leave' }
    expect(isEventVisible(memberEvent('@bob:example.org', 'join'), alice, before, true)).toBe(false)
  })
})

test('joining later never hides an event', () => {
  const viewpoint = fc.record({
    visibility: fc.constantFrom(...visibilities),
    membership: fc.constantFrom(...memberships),
  })
  fc.assert(
    fc.property(viewpoint, (viewpoint) => {
      expect(sees(viewpoint, true) || !sees(viewpoint, false)).toBe(true)
    }),
  )
})
