// Authorisation of a ban.
// Specification: room versions 1-12, "Authorisation rules" of m.room.member, membership `ban`.

import { accept } from '../event.ts'
import type { Verdict } from '../event.ts'
import { powerLevelsContent, requiredLevel, userPowerLevel } from '../power-levels.ts'
import type { MemberChange } from './member-change.ts'
import { membershipOf } from './room-state.ts'
import { refuse } from './rules.ts'

/** Judges a ban. */
export function checkBan({ rules, event, target, state }: MemberChange): Verdict {
  if (membershipOf(state, event.sender) !== 'join') return refuse('ban-sender-membership')
  // Nobody bans an equal: the target must have less power than the sender.
  const senderLevel = userPowerLevel(rules, event.sender, state)
  const banLevel = requiredLevel(rules, powerLevelsContent(state), 'ban')
  const mayBan = senderLevel >= banLevel && userPowerLevel(rules, target, state) < senderLevel
  return mayBan ? accept : refuse('ban-level')
}
