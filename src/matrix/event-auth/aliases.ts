// Authorisation of m.room.aliases, which has a rule of its own in room versions 1-5.
// Specification: room versions 1-5, "Authorisation rules", rule 4.

import { accept } from '../event.ts'
import type { Event, Verdict } from '../event.ts'
import { serverNameOf } from '../identifiers.ts'
import { refuse } from './rules.ts'

/** Judges an aliases event: any server may set its own, whoever is joined. */
export function checkAliases(event: Event): Verdict {
  // 4.1 The state key says whose aliases these are.
  if (event.state_key === undefined) return refuse('aliases-state-key')
  // 4.2 A server sets no aliases but its own.
  if (serverNameOf(event.sender) !== event.state_key) return refuse('aliases-sender-domain')
  return accept
}
