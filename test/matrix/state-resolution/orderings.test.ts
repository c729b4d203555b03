// The orderings and graph walks of state resolution against the plainest form of their definitions, on random graphs.

import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { Event, EventId } from '../../../src/matrix/event.ts'
import { authDifference } from '../../../src/matrix/state-resolution/auth-difference.ts'
import { popHeap, pushHeap } from '../../../src/matrix/state-resolution/binary-heap.ts'
import { conflictedStateSubgraph } from '../../../src/matrix/state-resolution/conflicted-subgraph.ts'
import { mainlineSort } from '../../../src/matrix/state-resolution/mainline-sort.ts'
import { isPowerEvent, powerEventsWithAuthChains } from '../../../src/matrix/state-resolution/power-events.ts'
import { reverseTopologicalSort } from '../../../src/matrix/state-resolution/reverse-topological-sort.ts'
import { slotKey, slotOfKey, type EventSource } from '../../../src/matrix/state-resolution/state-map.ts'
import { createEvent, event, memberEvent, rulesOf } from '../../fixtures/events.ts'

function sourceOf(events: readonly Event[]): EventSource {
  const byId = new Map(events.map((one) => [one.event_id, one]))
  return { event: (id) => byId.get(id), rejected: () => false }
}

function ids(events: readonly Event[]): string[] {
  return events.map((one) => one.event_id)
}

/** Graphs as adjacency lists: node n cites only nodes before it. */
const graphs = fc
  .array(fc.array(fc.nat(30), { maxLength: 3 }), { minLength: 1, maxLength: 14 })
  .map((rows) => rows.map((row, node) => [...new Set(row.filter((cited) => cited < node))]))

function name(node: number): EventId {
  return `$${node}` as EventId
}

function citing(graph: readonly (readonly number[])[]) {
  return (id: EventId): EventId[] => (graph[Number(id.slice(1))] ?? []).map(name)
}

describe('slotKey', () => {
  test('keeps apart slots whose parts run together', () => {
    expect(slotKey('a', 'bc')).not.toBe(slotKey('ab', 'c'))
    expect(slotKey('a\0b', 'c')).not.toBe(slotKey('a', 'b\0c'))
  })

  test('has slotOfKey as its inverse', () => {
    const text = fc.string({ unit: fc.constantFrom('a', 'é', '💥', '\ud800', '1', ':', '\0') })
    fc.assert(
      fc.property(text, text, (type, key) => {
        expect(slotOfKey(slotKey(type, key))).toEqual({ type, state_key: key })
      }),
    )
  })
})

test('the heap gives its items back in order', () => {
  fc.assert(
    fc.property(fc.array(fc.integer()), (items) => {
      const compare = (x: number, y: number) => x - y
      const heap: number[] = []
      for (const item of items) pushHeap(heap, item, compare)
      const popped = items.map(() => popHeap(heap, compare))
      expect(popped).toEqual([...items].sort(compare))
      expect(popHeap(heap, compare)).toBeUndefined()
    }),
  )
})

describe('auth difference', () => {
  const of = (states: readonly (readonly number[])[], graph: readonly (readonly number[])[]) =>
    [
      ...authDifference(
        states.map((state) => state.map(name)),
        citing(graph),
      ),
    ].sort()

  test('holds what is in some auth chains and not in all', () => {
    expect(of([[3], [4]], [[], [0], [0], [1], [2]])).toEqual(['$1', '$2', '$3', '$4'])
  })

  test('does not hold an event of every state that only some cite', () => {
    expect(of([[1, 2], [1]], [[], [0], [1]])).toEqual(['$2'])
  })

  test('is empty for equal states and for one', () => {
    expect(of([[2], [2]], [[], [0], [1]])).toEqual([])
    expect(of([[2]], [[], [0], [1]])).toEqual([])
  })

  test('agrees with union minus intersection of the chains', () => {
    fc.assert(
      fc.property(graphs, fc.array(fc.array(fc.nat(13)), { minLength: 1, maxLength: 4 }), (graph, states) => {
        const reach = (node: number): number[] => [node, ...(graph[node] ?? []).flatMap(reach)]
        const chains = states.map((state) => new Set(state.flatMap(reach)))
        const union = new Set(chains.flatMap((chain) => [...chain]))
        const expected = [...union].filter((node) => !chains.every((chain) => chain.has(node)))
        expect(of(states, graph)).toEqual(expected.map(name).sort())
      }),
    )
  })
})

describe('conflicted state subgraph', () => {
  test('agrees with all paths between two conflicted events', () => {
    fc.assert(
      fc.property(graphs, fc.array(fc.nat(13)), (graph, conflicted) => {
        const ends = new Set(conflicted)
        const expected = new Set<number>()
        const walk = (path: readonly number[]): void => {
          for (const cited of graph[path.at(-1) ?? -1] ?? []) {
            if (ends.has(cited)) for (const node of [...path, cited]) expected.add(node)
            walk([...path, cited])
          }
        }
        for (const node of ends) walk([node])
        const subgraph = conflictedStateSubgraph(new Set(conflicted.map(name)), citing(graph))
        expect([...subgraph].sort()).toEqual([...expected].map(name).sort())
      }),
    )
  })
})

describe('power events', () => {
  test('are power levels, join rules, kicks, bans and unbans', () => {
    const state = { state_key: '', content: {} }
    expect(isPowerEvent(event({ ...state, type: 'm.room.power_levels' }))).toBe(true)
    expect(isPowerEvent(event({ ...state, type: 'm.room.join_rules' }))).toBe(true)
    expect(isPowerEvent(memberEvent('@bob:b.example', 'ban', { sender: '@alice:a.example' }))).toBe(true)
    expect(isPowerEvent(memberEvent('@bob:b.example', 'leave', { sender: '@alice:a.example' }))).toBe(true)
  })

  test('are not topics, joins, invites, own leaves or power levels under another key', () => {
    expect(isPowerEvent(event({ type: 'm.room.topic', state_key: '' }))).toBe(false)
    expect(isPowerEvent(event({ type: 'm.room.power_levels', state_key: 'x' }))).toBe(false)
    expect(isPowerEvent(event({ type: 'm.room.power_levels' }))).toBe(false)
    expect(isPowerEvent(memberEvent('@bob:b.example', 'join'))).toBe(false)
    expect(isPowerEvent(memberEvent('@bob:b.example', 'leave'))).toBe(false)
    expect(isPowerEvent(memberEvent('@bob:b.example', 'invite', { sender: '@alice:a.example' }))).toBe(false)
  })

  test('bring along what their auth chains hold of the set, and nothing else', () => {
    const join = memberEvent('@bob:b.example', 'join')
    const levels = event({ type: 'm.room.power_levels', state_key: '', auth_events: [join] })
    const ban = memberEvent('@eve:e.example', 'ban', { sender: '@bob:b.example', auth_events: [levels] })
    const topic = event({ type: 'm.room.topic', state_key: '', auth_events: [levels] })
    const set = new Map([ban, topic, join, levels].map((one) => [one.event_id, one]))
    expect(ids([...powerEventsWithAuthChains(set).values()]).sort()).toEqual(ids([ban, levels, join]).sort())
  })
})

describe('reverse topological power ordering', () => {
  const create = createEvent('10')
  const levels = event({
    type: 'm.room.power_levels',
    state_key: '',
    content: { users: { '@p100:x': 100, '@p50:x': 50 } },
    auth_events: [create],
  })

  /** An event of a sender at a time, citing others of the set beside power levels and create event. */
  const sent = (id: string, sender: string, ts: number, auth: readonly Event[] = []) =>
    event({
      event_id: id,
      type: 'm.room.join_rules',
      state_key: '',
      sender,
      origin_server_ts: ts,
      auth_events: [create, levels, ...auth],
    })

  const sorted = (events: readonly Event[]) =>
    ids(
      reverseTopologicalSort(
        rulesOf('10'),
        new Map(events.map((one) => [one.event_id, one])),
        sourceOf([create, levels, ...events]),
      ),
    )

  test('puts more power first, then earlier time, then the smaller id', () => {
    const events = [
      sent('$d', '@p0:x', 1),
      sent('$c', '@p50:x', 3),
      sent('$b', '@p50:x', 2),
      sent('$a', '@p50:x', 2),
      sent('$e', '@p100:x', 9),
    ]
    expect(sorted(events)).toEqual(['$e', '$a', '$b', '$c', '$d'])
  })

  test('puts an event after those it cites whatever the power', () => {
    const weak = sent('$weak', '@p0:x', 9)
    const strong = sent('$strong', '@p100:x', 1, [weak])
    expect(sorted([strong, weak])).toEqual(['$weak', '$strong'])
  })

  test('gives the creator 100 where no power levels are cited', () => {
    const first = event({ type: 'm.room.join_rules', state_key: '', auth_events: [create], event_id: '$z' })
    expect(sorted([sent('$a', '@p50:x', 0), first])).toEqual(['$z', '$a'])
  })

  test('leaves out events in a cycle', () => {
    const one = sent('$one', '@p0:x', 1, [sent('$two', '@p0:x', 2)])
    const two = sent('$two', '@p0:x', 2, [one])
    expect(sorted([one, two, sent('$three', '@p0:x', 3)])).toEqual(['$three'])
  })

  test('agrees with taking the smallest free event again and again', () => {
    const senders = ['@p100:x', '@p50:x', '@p0:x']
    fc.assert(
      fc.property(
        graphs,
        fc.array(fc.nat(2), { minLength: 14 }),
        fc.array(fc.nat(3), { minLength: 14 }),
        (graph, who, when) => {
          const events: Event[] = []
          for (const [node, cited] of graph.entries()) {
            const auth = cited.map((index) => events[index]).filter((one) => one !== undefined)
            events.push(sent(name(node), senders[who[node] ?? 0] ?? '', when[node] ?? 0, auth))
          }
          const rank = (one: Event) =>
            [senders.indexOf(one.sender), one.origin_server_ts, one.event_id] as const
          const expected: string[] = []
          while (expected.length < events.length) {
            const free = events.filter(
              (one) =>
                !expected.includes(one.event_id) &&
                one.auth_events.every((id) => !id.match(/^\$\d+$/) || expected.includes(id)),
            )
            const [smallest] = free.sort((x, y) => {
              const [a, b, c] = rank(x)
              const [d, e, f] = rank(y)
              return a - d || b - e || (c < f ? -1 : 1)
            })
            if (smallest !== undefined) expected.push(smallest.event_id)
          }
          expect(sorted(events.reverse())).toEqual(expected)
        },
      ),
    )
  })
})

describe('mainline ordering', () => {
  const levels = (id: string, ...auth: readonly Event[]) =>
    event({ event_id: id, type: 'm.room.power_levels', state_key: '', auth_events: auth })
  const sent = (id: string, ts: number, ...auth: readonly Event[]) =>
    event({ event_id: id, type: 'm.room.topic', state_key: '', origin_server_ts: ts, auth_events: auth })
  const p0 = levels('$p0')
  const p1 = levels('$p1', p0)
  const side = levels('$side', p0)
  const p2 = levels('$p2', p1)
  const stranger = levels('$stranger')
  const chain = [p0, p1, p2, side, stranger]

  test('puts events of earlier power levels first, then earlier time, then the smaller id', () => {
    const events = [
      sent('$newest', 1, p2),
      sent('$b', 5, p1),
      sent('$a', 5, p1),
      sent('$early', 4, p1),
      sent('$bySide', 8, side),
      sent('$oldest', 9, p0),
      sent('$without', 99),
      sent('$strange', 98, stranger),
    ]
    expect(ids(mainlineSort(events, p2, sourceOf([...chain, ...events])))).toEqual([
      '$strange',
      '$without',
      '$bySide',
      '$oldest',
      '$early',
      '$a',
      '$b',
      '$newest',
    ])
  })

  test('does not count the event itself, only what it cites', () => {
    const events = [p1, sent('$topic', 0, p0)]
    expect(ids(mainlineSort(events, p2, sourceOf([...chain, ...events])))).toEqual(['$topic', '$p1'])
  })

  test('goes by time alone without power levels', () => {
    const events = [sent('$late', 3, p0), sent('$early', 2, p2), sent('$middle', 2.5)]
    expect(ids(mainlineSort(events, undefined, sourceOf([...chain, ...events])))).toEqual([
      '$early',
      '$middle',
      '$late',
    ])
  })

  test('ends in a cycle of power levels', () => {
    const one = levels('$one', levels('$two'))
    const two = levels('$two', one)
    const events = [sent('$b', 2, one), sent('$a', 1, two), sent('$c', 0, p0)]
    const source = sourceOf([...chain, one, two, ...events])
    expect(ids(mainlineSort(events, p2, source))).toEqual(['$a', '$b', '$c'])
    expect(ids(mainlineSort(events, one, source))).toEqual(['$c', '$a', '$b'])
  })
})
