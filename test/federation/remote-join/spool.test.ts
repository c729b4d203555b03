import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { openSpool, type Spool, type SpooledList } from '../../../src/federation/remote-join/spool.ts'
import { memorySql } from '../../support/memory-sql.ts'

const events = fc.array(
  fc.record({
    list: fc.constantFrom<SpooledList>('state', 'auth_chain'),
    depth: fc.integer({ min: 0, max: 20 }),
    padding: fc.string({ unit: 'binary', maxLength: 50 }),
  }),
)
const limits = { chunk: 150, eventsPerBatch: 5, batch: 200 }

/** All batches of a list. */
function batches(spool: Spool, list: SpooledList): string[][] {
  const found: string[][] = []
  for (let from = 0; ; from += found.at(-1)?.length ?? 0) {
    const batch = spool.batch(list, from)
    if (batch.length === 0) return found
    found.push(batch)
  }
}

describe('spooled events', () => {
  it('come back by depth, list by list, in batches of bounded size, to whoever opens the spool', () => {
    fc.assert(
      fc.property(events, (list) => {
        const sql = memorySql()
        const writing = openSpool(sql, limits)
        const texts = list.map(({ depth, padding }, i) => JSON.stringify({ i, depth, padding }))
        list.forEach((event, i) => writing.add(event.list, texts[i] ?? '', event.depth))
        writing.end()
        for (const spool of [writing, openSpool(sql, limits)]) {
          for (const name of ['state', 'auth_chain'] as const) {
            const expected = list
              .flatMap((event, i) => (event.list === name ? [{ i, depth: event.depth }] : []))
              .toSorted((a, b) => a.depth - b.depth || a.i - b.i)
              .map(({ i }) => texts[i])
            const found = batches(spool, name)
            expect(found.flat()).toEqual(expected)
            expect(spool.pick(name, [2, 0])).toEqual([expected[2], expected[0]].filter(Boolean))
            for (const batch of found) {
              expect(batch.length).toBeLessThanOrEqual(5)
              expect(batch.length === 1 || Buffer.byteLength(batch.join('')) <= 200).toBe(true)
            }
          }
        }
      }),
    )
  })

  it('share rows', () => {
    const sql = memorySql()
    const spool = openSpool(sql)
    for (let i = 0; i < 1000; i += 1) spool.add('state', JSON.stringify({ i }), i)
    spool.end()
    expect(sql.exec('SELECT count(*) AS rows FROM spool').toArray()).toEqual([{ rows: 1 }])
  })

  it('are gone when the spool is cleared, also those that were not written yet', () => {
    const spool = openSpool(memorySql(), limits)
    for (let i = 0; i < 20; i += 1) spool.add('state', JSON.stringify({ i }), i)
    spool.clear()
    spool.add('state', '{"b":1}', 1)
    spool.end()
    expect(batches(spool, 'state')).toEqual([['{"b":1}']])
    expect(batches(spool, 'auth_chain')).toEqual([])
  })
})
