// The mainline ordering: events by which power levels event of the resolved line they were sent under.
// Specification: rooms/v2, "State resolution", Definitions.

import type { Event, EventId } from '../event.ts'
import { citedPowerLevels } from './auth-state.ts'
import { compareByTimeThenId } from './event-order.ts'
import type { EventSource } from './state-map.ts'

/**
 * Sorts events by mainline position, the earliest first; without power levels all are equal and time decides.
 * O(n log n) for the sort, and each power levels event in the auth chains is walked once.
 */
export function mainlineSort(
  events: readonly Event[],
  powerLevels: Event | undefined,
  source: EventSource,
): Event[] {
  const positions = mainlinePositions(powerLevels, source)
  return events
    .map((event) => ({ event, position: mainlinePosition(event, positions, source) }))
    .sort((x, y) => {
      // The greater position is based on the earlier power levels. Not a subtraction: both may be infinite.
      if (x.position !== y.position) return x.position > y.position ? -1 : 1
      return compareByTimeThenId(x.event, y.event)
    })
    .map(({ event }) => event)
}

/** The mainline of a power levels event with the index of each: P0 = 0, the one P0 cites = 1, and so on. */
function mainlinePositions(powerLevels: Event | undefined, source: EventSource): Map<EventId, number> {
  const positions = new Map<EventId, number>()
  let current = powerLevels
  while (current !== undefined && !positions.has(current.event_id)) {
    positions.set(current.event_id, positions.size)
    current = citedPowerLevels(current, source)
  }
  return positions
}

/**
 * The position of the first event of the mainline that is met by following cited power levels, not counting the
 * event itself, else infinite. `positions` learns the position of every power levels event on the way.
 */
function mainlinePosition(event: Event, positions: Map<EventId, number>, source: EventSource): number {
  const walked: EventId[] = []
  let current = citedPowerLevels(event, source)
  while (current !== undefined && !positions.has(current.event_id)) {
    walked.push(current.event_id)
    // Set already here, so that a cycle ends the walk.
    positions.set(current.event_id, Infinity)
    current = citedPowerLevels(current, source)
  }
  const position = current === undefined ? Infinity : (positions.get(current.event_id) ?? Infinity)
  for (const id of walked) positions.set(id, position)
  return position
}
