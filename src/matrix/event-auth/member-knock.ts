// Authorisation of a knock, in room versions that have knocking.
// Specification: room versions 7-12, "Authorisation rules" of m.room.member, membership `knock`.

import { accept } from '../event.ts'
import type { Verdict } from '../event.ts'
import type { MemberChange } from './member-change.ts'
import { joinRuleOf, membershipOf } from './room-state.ts'
import { refuse } from './rules.ts'

/** Judges a knock. */
export function checkKnock({ rules, event, target, state }: MemberChange): Verdict {
  const joinRule = joinRuleOf(state)
  // Since v10 one can also knock where joins are restricted.
  const allowsKnocking = joinRule === 'knock' || (rules.knockRestricted && joinRule === 'knock_restricted')
  if (!allowsKnocking) return refuse('knock-join-rule')
  if (event.sender !== target) return refuse('knock-sender')
  const membership = membershipOf(state, event.sender)
  const hasAnswer = membership === 'ban' || membership === 'invite' || membership === 'join'
  return hasAnswer ? refuse('knock-membership') : accept
}
