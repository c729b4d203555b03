// The authorisation rules as one list: whether a room state permits an event.
// Specification: room versions 1-12, "Authorisation rules"; server-server API, checks 4 to 6 on receipt of a PDU.
// The rules about the entries of `auth_events` themselves are in auth-events.ts.

import { accept } from '../event.ts'
import type { Event, StateLookup, Verdict } from '../event.ts'
import { serverNameOf } from '../identifiers.ts'
import { property } from '../json.ts'
import { powerLevelsContent, requiredLevelForEvent, userPowerLevel } from '../power-levels.ts'
import type { RoomVersionRules } from '../room-version.ts'
import { checkAliases } from './aliases.ts'
import { checkCreate } from './create.ts'
import { checkMember } from './member.ts'
import { checkPowerLevels } from './power-levels-rule.ts'
import { checkRedaction } from './redaction.ts'
import { membershipOf } from './room-state.ts'
import { refuse } from './rules.ts'
import { checkStateKey } from './state-key.ts'
import { checkThirdPartyInvite } from './third-party-invite.ts'

/**
 * Judges an event against a room state: that of its auth events, that before it, the current one, or one that
 * state resolution is building. The state must hold accepted events of the same room only, the create event
 * included in every room version.
 */
export function authorise(rules: RoomVersionRules, event: Event, state: StateLookup): Verdict {
  if (event.type === 'm.room.create') return checkCreate(rules, event)
  const room = checkRoom(rules, event, state('m.room.create', ''))
  if (!room.ok) return room
  // Versions 1 to 5: aliases need no membership.
  if (event.type === 'm.room.aliases' && rules.aliasesSpecialCase) return checkAliases(event)
  if (event.type === 'm.room.member') return checkMember(rules, event, state)
  if (membershipOf(state, event.sender) !== 'join') return refuse('sender-membership')
  if (event.type === 'm.room.third_party_invite') return checkThirdPartyInvite(rules, event, state)
  return checkOther(rules, event, state)
}

function checkRoom(rules: RoomVersionRules, event: Event, create: Event | undefined): Verdict {
  // Nothing is permitted in a room that was not created.
  if (create === undefined) return refuse('room-create-missing')
  // Since v12 the room id names the create event, which takes the place of citing it.
  if (rules.roomIdIsCreateHash && event.room_id !== `!${create.event_id.slice(1)}`)
    return refuse('room-id-create')
  // A room can be closed to all servers but the creator's.
  const isClosed = property(create.content, 'm.federate') === false
  if (isClosed && serverNameOf(event.sender) !== serverNameOf(create.sender)) return refuse('federate')
  return accept
}

function checkOther(rules: RoomVersionRules, event: Event, state: StateLookup): Verdict {
  const isState = event.state_key !== undefined
  const needed = requiredLevelForEvent(rules, powerLevelsContent(state), event.type, isState)
  if (needed > userPowerLevel(rules, event.sender, state)) return refuse('event-level')
  const stateKey = checkStateKey(rules, event, state)
  if (!stateKey.ok) return stateKey
  if (event.type === 'm.room.power_levels') return checkPowerLevels(rules, event, state)
  if (event.type === 'm.room.redaction' && rules.redactionAuthRule) return checkRedaction(rules, event, state)
  return accept
}
