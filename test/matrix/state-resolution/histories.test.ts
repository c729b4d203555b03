// Laws of state resolution on random histories full of forks, bans and power races.

import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
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
  message,
  powerLevels,
  publicRoom,
  topic,
  type RoomDag,
  type Sent,
} from '../../fixtures/room-dag.ts'
import { threeWays } from '../../fixtures/three-ways.ts'

const versions: readonly RoomVersionId[] = ['1', '2', '10', '11', '12']
const people = [alice, bob, carol, eve, creator]

interface Action {
  readonly kind: string
  readonly actor: string
  readonly target: string
  readonly level: number
  readonly rule: string
  /** How many accepted events before the newest one the previous events lie. */
  readonly back: readonly number[]
  readonly ts: number
}

const person = fc.constantFrom(...people)

const actions: fc.Arbitrary<Action[]> = fc.array(
  fc.record({
    kind: fc.constantFrom('topic', 'join', 'leave', 'kick', 'ban', 'invite', 'rules', 'levels', 'message'),
    actor: person,
    target: person,
    level: fc.constantFrom(0, 1, 50, 100),
    rule: fc.constantFrom('public', 'invite'),
    back: fc.uniqueArray(fc.nat(5), { minLength: 1, maxLength: 2 }),
    // Few times, so that they tie and run backwards.
    ts: fc.nat(6),
  }),
  { minLength: 4, maxLength: 25 },
)

function sentBy(room: RoomDag, { kind, actor, target, level, rule }: Action): Sent {
  switch (kind) {
    case 'topic':
      return topic(`by ${actor}`)
    case 'join':
      return member(actor, 'join', { displayname: `${level}` })
    case 'leave':
      return member(actor, 'leave')
    case 'kick':
      return member(target, 'leave')
    case 'ban':
      return member(target, 'ban')
    case 'invite':
      return member(target, 'invite')
    case 'rules':
      return joinRules(rule)
    case 'levels':
      return powerLevels(
        room,
        target === creator ? { [alice]: level } : { [alice]: 100, [bob]: 50, [target]: level },
      )
    default:
      return message
  }
}

/** A room in which some of the actions were accepted and others, which nobody had the right to, rejected. */
function history(version: RoomVersionId, played: readonly Action[]): RoomDag {
  const room = publicRoom(version)
  const accepted = [room.last]
  for (const action of played) {
    const after = new Set(action.back.map((back) => accepted.at(-1 - Math.min(back, accepted.length - 1))))
    const { event, verdict } = room.attempt(action.actor, sentBy(room, action), {
      after: [...after].filter((one) => one !== undefined),
      ts: 20_000 + action.ts * 1000,
    })
    if (verdict.ok) accepted.push(event)
  }
  return room
}

function headStates(room: RoomDag): StateMap[] {
  return room.server.heads().map((head) => room.server.stateAfter(head))
}

function resolved(room: RoomDag, states: readonly StateMap[]): StateMap {
  return resolve(room.rules, states, room.server.event, room.server.rejected)
}

test('the random histories have forks in conflict, rejected events and bans', () => {
  const seen = { conflicts: 0, rejected: 0, bans: 0 }
  for (const played of fc.sample(actions, { numRuns: 50, seed: 7 })) {
    const room = history('11', played)
    const states = headStates(room)
    const keys = new Set(states.flatMap((state) => [...state.keys()]))
    seen.conflicts += [...keys].filter(
      (key) => new Set(states.map((state) => state.get(key))).size > 1,
    ).length
    seen.rejected += room.server.events.filter((one) => room.server.rejected(one.event_id)).length
    seen.bans += people.filter((userId) => room.membership(userId) === 'ban').length
  }
  expect(seen.conflicts).toBeGreaterThan(50)
  expect(seen.rejected).toBeGreaterThan(50)
  expect(seen.bans).toBeGreaterThan(5)
})

describe.each(versions)('in rooms of version %s', (version) => {
  const rooms = actions.map((played) => history(version, played))

  test('all three ways lead to the same state', () => {
    fc.assert(
      fc.property(rooms, (room) => {
        const [first, ...others] = Object.values(threeWays).map((way) => sorted(way(room.server)))
        for (const other of others) expect(other).toEqual(first)
      }),
    )
  })

  test('neither the order nor the number of equal forks matters', () => {
    fc.assert(
      fc.property(rooms, fc.infiniteStream(fc.nat()), (room, numbers) => {
        const states = headStates(room)
        const shuffled = [...states, ...states.slice(0, 1)]
          .map((state) => ({ state: shuffle(state, numbers), at: numbers.next().value ?? 0 }))
          .sort((x, y) => x.at - y.at)
          .map(({ state }) => state)
        expect(sorted(resolved(room, shuffled))).toEqual(sorted(resolved(room, states)))
      }),
    )
  })

  test('only accepted events stand in the state, each in its slot, and what is agreed stays', () => {
    fc.assert(
      fc.property(rooms, (room) => {
        const states = headStates(room)
        const state = resolved(room, states)
        for (const [key, id] of state) {
          const event = room.server.event(id)
          expect(event && slotKey(event.type, event.state_key ?? '')).toBe(key)
          expect(room.server.rejected(id)).toBe(false)
        }
        const [first = new Map(), ...others] = states
        for (const [key, id] of first) {
          if (others.every((other) => other.get(key) === id)) expect(state.get(key)).toBe(id)
        }
      }),
    )
  })
})

function sorted(state: StateMap): [string, string][] {
  return [...state].sort(([x], [y]) => (x < y ? -1 : 1))
}

/** The same state with its slots in another order. */
function shuffle(state: StateMap, numbers: Iterator<number>): StateMap {
  const entries = [...state].map((entry) => ({ entry, at: Number(numbers.next().value) }))
  return new Map(entries.sort((x, y) => x.at - y.at).map(({ entry }) => entry))
}
