// Authorisation of m.room.redaction in room versions 1 and 2. Later versions judge a redaction when it is applied.
// Specification: room versions 1 and 2, "Authorisation rules", rule 11.

import { accept } from '../event.ts'
import type { Event, StateLookup, Verdict } from '../event.ts'
import { serverNameOf } from '../identifiers.ts'
import { powerLevelsContent, requiredLevel, userPowerLevel } from '../power-levels.ts'
import type { RoomVersionRules } from '../room-version.ts'
import { refuse } from './rules.ts'

/** Judges a redaction. */
export function checkRedaction(rules: RoomVersionRules, event: Event, state: StateLookup): Verdict {
  // 11.1 Whoever has the power redacts any event.
  const redactLevel = requiredLevel(rules, powerLevelsContent(state), 'redact')
  if (userPowerLevel(rules, event.sender, state) >= redactLevel) return accept
  // 11.2 Everyone else redacts events of their own server, told by the event id.
  const redactedDomain = event.redacts === undefined ? undefined : serverNameOf(event.redacts)
  const sameDomain = redactedDomain !== undefined && redactedDomain === serverNameOf(event.event_id)
  return sameDomain ? accept : refuse('redaction-level')
}
