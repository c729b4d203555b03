// The one counter that orders what the log does not: who types, and presence.

import type { HubContext } from './context.ts'

const sequences = new WeakMap<HubContext, number>()

/** The number of the last change of anybody's typing or presence. */
export function ephemeralSequence(hub: HubContext): number {
  // Starts at the clock, so that numbers go on rising over a restart, and never below what is on disk should that go back.
  const known = sequences.get(hub) ?? Math.max(hub.now(), lastKept(hub))
  sequences.set(hub, known)
  return known
}

function lastKept(hub: HubContext): number {
  const { last } = hub.sql
    .exec<{ last: number | null }>(
      'SELECT max(changed) AS last FROM (SELECT changed FROM presence UNION ALL SELECT changed FROM presence_of_others)',
    )
    .one()
  return last ?? 0
}

/** Takes the next number. */
export function nextEphemeral(hub: HubContext): number {
  const next = ephemeralSequence(hub) + 1
  sequences.set(hub, next)
  return next
}
