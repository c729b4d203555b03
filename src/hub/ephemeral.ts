// The one counter that orders what is kept in memory alone: who types, and presence.

import type { HubContext } from './context.ts'

const sequences = new WeakMap<HubContext, number>()

/** The number of the last change of anybody's typing or presence. */
export function ephemeralSequence(hub: HubContext): number {
  // Starts at the clock, so that numbers go on rising over a restart.
  const known = sequences.get(hub) ?? hub.now()
  sequences.set(hub, known)
  return known
}

/** Takes the next number. */
export function nextEphemeral(hub: HubContext): number {
  const next = ephemeralSequence(hub) + 1
  sequences.set(hub, next)
  return next
}
