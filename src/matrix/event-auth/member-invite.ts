// Authorisation of an invite.
// Specification: room versions 1-12, "Authorisation rules" of m.room.member, membership `invite`.

import { accept } from '../event.ts'
import type { Verdict } from '../event.ts'
import { property } from '../json.ts'
import { powerLevelsContent, requiredLevel, userPowerLevel } from '../power-levels.ts'
import type { MemberChange } from './member-change.ts'
import { membershipOf } from './room-state.ts'
import { refuse } from './rules.ts'
import { checkExchangedInvite } from './third-party-invite.ts'

/** Judges an invite. */
export function checkInvite(change: MemberChange): Verdict {
  const { rules, event, target, state } = change
  // An invite that was made to a third-party identifier stands on its signature, and is judged by that alone.
  const thirdPartyInvite = property(event.content, 'third_party_invite')
  if (thirdPartyInvite !== undefined) return checkExchangedInvite(change, thirdPartyInvite)
  if (membershipOf(state, event.sender) !== 'join') return refuse('invite-sender-membership')
  const membership = membershipOf(state, target)
  if (membership === 'join' || membership === 'ban') return refuse('invite-target-membership')
  const inviteLevel = requiredLevel(rules, powerLevelsContent(state), 'invite')
  return userPowerLevel(rules, event.sender, state) >= inviteLevel ? accept : refuse('invite-level')
}
