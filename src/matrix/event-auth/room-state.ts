// What the authorisation rules read from a room state besides power levels: memberships and the join rule.
// Specification: client-server API, m.room.member and m.room.join_rules.

import type { StateLookup } from '../event.ts'
import { property, stringProperty } from '../json.ts'

/** A user's membership in a room state, or undefined where they never had one. */
export function membershipOf(state: StateLookup, userId: string): string | undefined {
  return stringProperty(state('m.room.member', userId)?.content, 'membership')
}

/** The join rule of a room state: `invite` where none is given, `private` (nobody joins) where it is not text. */
export function joinRuleOf(state: StateLookup): string {
  const joinRule = property(state('m.room.join_rules', '')?.content, 'join_rule')
  if (joinRule === undefined) return 'invite'
  return typeof joinRule === 'string' ? joinRule : 'private'
}
