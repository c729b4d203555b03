// Authorisation of m.room.member: hands over to the rule of the membership.
// Specification: room versions 1-12, "Authorisation rules", rule 5 (4 in versions 6 to 11).

import type { Event, StateLookup, Verdict } from '../event.ts'
import { property } from '../json.ts'
import type { RoomVersionRules } from '../room-version.ts'
import { checkBan } from './member-ban.ts'
import { checkInvite } from './member-invite.ts'
import { checkJoin } from './member-join.ts'
import { checkKnock } from './member-knock.ts'
import { checkLeave } from './member-leave.ts'
import { refuse } from './rules.ts'

/**
 * Judges a member event. That the server of `join_authorised_via_users_server` signed it is a signature check,
 * made on receipt of the event, not here.
 */
export function checkMember(rules: RoomVersionRules, event: Event, state: StateLookup): Verdict {
  const membership = property(event.content, 'membership')
  // 5.1 Both the target user and the membership must be named.
  if (event.state_key === undefined || membership === undefined) return refuse('member-fields')
  if (typeof membership !== 'string') return refuse('member-membership')
  const change = { rules, event, target: event.state_key, state }
  switch (membership) {
    case 'join':
      return checkJoin(change)
    case 'invite':
      return checkInvite(change)
    case 'leave':
      return checkLeave(change)
    case 'ban':
      return checkBan(change)
    case 'knock':
      // Since v7 there is knocking; before, it is a membership like any unknown one.
      return rules.knocking ? checkKnock(change) : refuse('member-membership')
    default:
      return refuse('member-membership')
  }
}
