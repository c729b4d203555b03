// Authorisation of a leave: one's own, a kick or an unban.
// Specification: room versions 1-12, "Authorisation rules" of m.room.member, membership `leave`.

import { accept } from '../event.ts'
import type { Verdict } from '../event.ts'
import { powerLevelsContent, requiredLevel, userPowerLevel } from '../power-levels.ts'
import type { MemberChange } from './member-change.ts'
import { membershipOf } from './room-state.ts'
import { refuse } from './rules.ts'

/** Judges a leave. */
export function checkLeave(change: MemberChange): Verdict {
  const { rules, event, target, state } = change
  if (event.sender === target) return checkOwnLeave(change)
  if (membershipOf(state, event.sender) !== 'join') return refuse('leave-sender-membership')
  const powerLevels = powerLevelsContent(state)
  const senderLevel = userPowerLevel(rules, event.sender, state)
  // To lift a ban takes the power to ban, and that to kick as well.
  if (membershipOf(state, target) === 'ban' && senderLevel < requiredLevel(rules, powerLevels, 'ban'))
    return refuse('leave-unban-level')
  const mayKick =
    senderLevel >= requiredLevel(rules, powerLevels, 'kick') &&
    userPowerLevel(rules, target, state) < senderLevel
  return mayKick ? accept : refuse('leave-kick-level')
}

function checkOwnLeave({ rules, target, state }: MemberChange): Verdict {
  const membership = membershipOf(state, target)
  // Leaving a room, declining an invite and, since v7, taking back a knock.
  const canLeave =
    membership === 'join' || membership === 'invite' || (rules.knocking && membership === 'knock')
  return canLeave ? accept : refuse('leave-own-membership')
}
