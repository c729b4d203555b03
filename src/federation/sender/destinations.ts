// How the destinations fare, for an admin.

import type { ServerName } from '../../matrix/event.ts'
import { missedRooms } from './catch-up.ts'
import type { Destination, Sender } from './context.ts'

/** Times are in milliseconds, null for never. */
export interface DestinationStanding {
  readonly destination: ServerName
  /** `catching_up`: it was away for so long that its backlog is a number of rooms, not of events. */
  readonly state: 'ok' | 'backing_off' | 'catching_up'
  readonly failures: number
  readonly failing_since: number | null
  readonly last_error: string | null
  readonly last_success: number | null
  readonly next_retry: number | null
  readonly backlog: {
    readonly events: number
    readonly rooms: number
    readonly transaction_in_flight: boolean
  }
}

/** All destinations, by name. */
export function listDestinations(sender: Sender): DestinationStanding[] {
  return [...sender.destinations.values()]
    .map((destination) => standing(sender, destination))
    .toSorted((a, b) => (a.destination < b.destination ? -1 : 1))
}

function standing(sender: Sender, destination: Destination): DestinationStanding {
  const { name, failures, failingSince, lastError, lastSuccess, retryAt, queue, flight, catchingUp } =
    destination
  return {
    destination: name,
    state: failures > 0 ? 'backing_off' : catchingUp ? 'catching_up' : 'ok',
    failures,
    failing_since: failures > 0 ? failingSince : null,
    last_error: lastError ?? null,
    last_success: lastSuccess || null,
    next_retry: failures > 0 ? retryAt : null,
    backlog: {
      events: queue.length,
      rooms: catchingUp ? missedRooms(sender, destination).size : 0,
      transaction_in_flight: flight !== undefined,
    },
  }
}

/** The destinations that fail now: those for which it is worth saying that they were heard of. */
export function failingDestinations({ destinations }: Sender): ServerName[] {
  return [...destinations.values()].filter(({ failures }) => failures > 0).map(({ name }) => name)
}
