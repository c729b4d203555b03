// Authorisation of m.room.create.
// Specification: room versions 1-12, "Authorisation rules", rule 1.

import { accept } from '../event.ts'
import type { Event, Verdict } from '../event.ts'
import { parseUserId, serverNameOf } from '../identifiers.ts'
import { property } from '../json.ts'
import { roomVersion } from '../room-version.ts'
import type { RoomVersionRules } from '../room-version.ts'
import { refuse } from './rules.ts'

/** Judges a create event, which depends on nothing but itself. */
export function checkCreate(rules: RoomVersionRules, event: Event): Verdict {
  // 1.1 It is the first event of its room.
  if (event.prev_events.length > 0) return refuse('create-prev-events')
  const roomId = checkRoomId(rules, event)
  if (!roomId.ok) return roomId
  // 1.3 A version that is given must be known.
  const version = property(event.content, 'room_version')
  if (version !== undefined && (typeof version !== 'string' || roomVersion(version) === undefined))
    return refuse('create-room-version')
  // 1.4 Up to version 10 the content names the creator.
  if (!rules.creatorIsSender && property(event.content, 'creator') === undefined)
    return refuse('create-creator')
  // 1.4 From version 12 on, additional creators are user ids.
  if (rules.privilegedCreators && !hasValidAdditionalCreators(event))
    return refuse('create-additional-creators')
  return accept
}

function checkRoomId(rules: RoomVersionRules, event: Event): Verdict {
  // 1.2 From version 12 on the room id is made of the id of this event, so the wire form cannot contain it.
  if (rules.roomIdIsCreateHash)
    return property(event.pdu, 'room_id') === undefined ? accept : refuse('create-room-id-present')
  // 1.2 Before, a server can only create rooms in its own domain.
  const domain = serverNameOf(event.room_id)
  return domain !== undefined && domain === serverNameOf(event.sender)
    ? accept
    : refuse('create-room-id-domain')
}

function hasValidAdditionalCreators(event: Event): boolean {
  const creators = property(event.content, 'additional_creators')
  if (creators === undefined) return true
  return (
    Array.isArray(creators) && creators.every((id) => typeof id === 'string' && parseUserId(id) !== undefined)
  )
}
