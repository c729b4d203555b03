// What the rules of the single memberships judge.
// Specification: room versions 1-12, "Authorisation rules" of m.room.member.

import type { Event, StateLookup } from '../event.ts'
import type { RoomVersionRules } from '../room-version.ts'

/** A member event, its target user (the state key, of any form), and the room state it is judged against. */
export interface MemberChange {
  readonly rules: RoomVersionRules
  readonly event: Event
  readonly target: string
  readonly state: StateLookup
}
