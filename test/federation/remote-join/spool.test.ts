import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { openSpool, type SpoolLimits } from '../../../src/federation/remote-join/spool.ts'
import { memorySql } from '../../support/memory-sql.ts'

const events = fc.array(
  fc.record({
    list: fc.constantFrom('state', 'auth_chain'),
    depth: fc.integer({ min: 0, max: 20 }),
    padding: fc.integer({ min: 0, max: 50 }),
  }),
)

describe('spooled events', () => {
  it('come back by depth, list by list, in batches of bounded size, in memory and on disk', () => {
    fc.assert(
      fc.property(events, fc.integer({ min: 0, max: 2000 }), (list, memory) => {
        const limits: SpoolLimits = { memory, eventsPerBatch: 5, batch: 200 }
        const spool = openSpool(memorySql(), limits)
        const texts = list.map(({ depth, padding }, i) =>
          JSON.stringify({ i, depth, x: 'x'.repeat(padding) }),
        )
        list.forEach((event, i) => spool.add(event.list, texts[i] ?? '', event.depth))
        for (const name of ['state', 'auth_chain'] as const) {
          const batches = [...spool.batches(name)]
          const expected = list
            .flatMap((event, i) => (event.list === name ? [{ i, depth: event.depth }] : []))
            .toSorted((a, b) => a.depth - b.depth || a.i - b.i)
          expect(batches.flat().map((event) => event['i'])).toEqual(expected.map(({ i }) => i))
          for (const batch of batches) {
            expect(batch.length).toBeLessThanOrEqual(5)
            expect(batch.length === 1 || JSON.stringify(batch).length <= 210).toBe(true)
          }
        }
      }),
    )
  })

  it('leave nothing behind, nor mind what a crash left', () => {
    const sql = memorySql()
    const limits: SpoolLimits = { memory: 0, eventsPerBatch: 5, batch: 200 }
    openSpool(sql, limits).add('state', '{"a":1}', 1)
    const again = openSpool(sql, limits)
    expect([...again.batches('state')]).toEqual([])
    again.add('state', '{"b":1}', 1)
    again.close()
    expect(sql.exec("SELECT name FROM sqlite_master WHERE type = 'table'").toArray()).toEqual([])
  })
})
