// Authorisation of a join.
// Specification: room versions 1-12, "Authorisation rules" of m.room.member, membership `join`.

import { accept } from '../event.ts'
import type { Verdict } from '../event.ts'
import { stringProperty } from '../json.ts'
import { powerLevelsContent, requiredLevel, roomCreators, userPowerLevel } from '../power-levels.ts'
import type { MemberChange } from './member-change.ts'
import { joinRuleOf, membershipOf } from './room-state.ts'
import { refuse } from './rules.ts'

/** Judges a join. */
export function checkJoin(change: MemberChange): Verdict {
  const { event, target, state } = change
  // The creator joins right after the create event, before there are join rules.
  if (isFirstJoinOfCreator(change)) return accept
  if (event.sender !== target) return refuse('join-sender')
  const membership = membershipOf(state, event.sender)
  if (membership === 'ban') return refuse('join-banned')
  return checkJoinRule(change, membership === 'invite' || membership === 'join')
}

function isFirstJoinOfCreator({ rules, event, target, state }: MemberChange): boolean {
  const create = state('m.room.create', '')
  if (create === undefined || event.prev_events.length !== 1) return false
  // Additional creators do not join this way, only the one who made the room.
  return event.prev_events[0] === create.event_id && roomCreators(rules, create)[0] === target
}

function checkJoinRule(change: MemberChange, invitedOrJoined: boolean): Verdict {
  const { rules, state } = change
  switch (joinRuleOf(state)) {
    case 'public':
      return accept
    case 'invite':
      return invitedOrJoined ? accept : refuse('join-rule')
    case 'knock':
      // Since v7 it admits like `invite`.
      return rules.knocking && invitedOrJoined ? accept : refuse('join-rule')
    case 'restricted':
      // Since v8.
      return rules.restrictedJoins ? checkRestrictedJoin(change, invitedOrJoined) : refuse('join-rule')
    case 'knock_restricted':
      // Since v10.
      return rules.knockRestricted ? checkRestrictedJoin(change, invitedOrJoined) : refuse('join-rule')
    default:
      return refuse('join-rule')
  }
}

function checkRestrictedJoin({ rules, event, state }: MemberChange, invitedOrJoined: boolean): Verdict {
  if (invitedOrJoined) return accept
  // Anyone else needs a user who is joined and could invite them, and whose server vouches by its signature.
  const authorisingUser = stringProperty(event.content, 'join_authorised_via_users_server')
  if (authorisingUser === undefined || membershipOf(state, authorisingUser) !== 'join')
    return refuse('join-authorising-user')
  const inviteLevel = requiredLevel(rules, powerLevelsContent(state), 'invite')
  return userPowerLevel(rules, authorisingUser, state) >= inviteLevel
    ? accept
    : refuse('join-authorising-user')
}
