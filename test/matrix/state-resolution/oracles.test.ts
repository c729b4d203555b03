// Where other implementations resolve a state in another way than we do: test/oracle found these rooms and made them
// as short as they are. We expect what the specification says, and what Synapse does where it does not say; `why`
// tells who differs.

import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { checkedEvent } from '../../../src/matrix/event-format.ts'
import type { Event, EventId } from '../../../src/matrix/event.ts'
import { resolve, slotKey } from '../../../src/matrix/state-resolution/resolve.ts'
import { rulesOf } from '../../fixtures/events.ts'
import { sortedIds, type Fixture } from '../../oracle/room.ts'

const folder = join(import.meta.dirname, '../../fixtures/state-resolution')
const fixtures = readdirSync(folder).map((file) => {
  const fixture = JSON.parse(readFileSync(join(folder, file), 'utf8')) as Fixture
  return { name: `${file}: ${fixture.why}`, fixture }
})

describe('a room that others resolve in another way', () => {
  test.each(fixtures)('$name', ({ fixture }) => {
    const rules = rulesOf(fixture.version)
    const events = new Map<EventId, Event>()
    for (const { event_id, pdu } of fixture.events) {
      const checked = checkedEvent(pdu, rules)
      if (!checked.ok) throw new Error(checked.reason)
      expect(checked.event.event_id).toBe(event_id)
      events.set(event_id, checked.event)
    }
    const rejected = new Set(fixture.events.filter((one) => one.rejected).map((one) => one.event_id))
    const states = fixture.states.map(
      (ids) => new Map(ids.map((id) => [slotOf(events.get(id)), id] as const)),
    )
    for (const inOrder of [states, states.toReversed()]) {
      const resolved = resolve(
        rules,
        inOrder,
        (id) => events.get(id),
        (id) => rejected.has(id),
      )
      expect(sortedIds(resolved)).toEqual(fixture.expected)
    }
  })
})

function slotOf(event: Event | undefined): string {
  if (event?.state_key === undefined) throw new Error('the fixture names an event that it does not have')
  return slotKey(event.type, event.state_key)
}
