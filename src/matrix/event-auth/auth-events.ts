// Which state events an event must cite as `auth_events`, and the rules about what it does cite.
// Specification: server-server API, "Auth events selection"; room versions 1-12, "Authorisation rules", rule 2
// (3 in version 12).

import { accept } from '../event.ts'
import type { Event, EventId, StateLookup, StateSlot, Verdict } from '../event.ts'
import { objectProperty, property, stringProperty } from '../json.ts'
import type { JsonObject } from '../json.ts'
import type { RoomVersionRules } from '../room-version.ts'
import { refuse } from './rules.ts'

/** What the selection looks at: an event, or what is about to become one. */
export type AuthEventsSubject = Pick<Event, 'type' | 'sender' | 'state_key' | 'content'>

/** A cited event, and whether the receipt checks rejected it. */
export interface AuthEvent {
  readonly event: Event
  readonly rejected: boolean
}

/** The slots of the room state whose events, as far as there are any, an event cites. Each comes once. */
export function authEventSlots(rules: RoomVersionRules, subject: AuthEventsSubject): StateSlot[] {
  if (subject.type === 'm.room.create') return []
  const slots = [
    // Since v12 the room id stands for the create event.
    ...(rules.roomIdIsCreateHash ? [] : [{ type: 'm.room.create', state_key: '' }]),
    { type: 'm.room.power_levels', state_key: '' },
    memberSlot(subject.sender),
    ...(subject.type === 'm.room.member' ? memberEventSlots(rules, subject) : []),
  ]
  return slots.filter((slot, index) => slots.findIndex((other) => isSameSlot(slot, other)) === index)
}

function memberEventSlots(
  rules: RoomVersionRules,
  { state_key: target, content }: AuthEventsSubject,
): StateSlot[] {
  const membership = property(content, 'membership')
  const slots: StateSlot[] = []
  if (target !== undefined) slots.push(memberSlot(target))
  if (membership === 'join' || membership === 'invite' || membership === 'knock')
    slots.push({ type: 'm.room.join_rules', state_key: '' })
  const token = membership === 'invite' ? thirdPartyToken(content) : undefined
  if (token !== undefined) slots.push({ type: 'm.room.third_party_invite', state_key: token })
  // Since v8 the user whose server vouches for a restricted join.
  const authorisingUser = stringProperty(content, 'join_authorised_via_users_server')
  if (membership === 'join' && rules.restrictedJoins && authorisingUser !== undefined)
    slots.push(memberSlot(authorisingUser))
  return slots
}

function memberSlot(userId: string): StateSlot {
  return { type: 'm.room.member', state_key: userId }
}

function thirdPartyToken(content: JsonObject): string | undefined {
  return stringProperty(objectProperty(objectProperty(content, 'third_party_invite'), 'signed'), 'token')
}

function isSameSlot(one: StateSlot, other: Partial<StateSlot>): boolean {
  return one.type === other.type && one.state_key === other.state_key
}

/**
 * Judges what an event cites. `authEvents` must hold each event that `event.auth_events` names; further ones are
 * ignored. An id without its event is refused, so fetch what is missing first.
 */
export function checkAuthEvents(
  rules: RoomVersionRules,
  event: Event,
  authEvents: readonly AuthEvent[],
): Verdict {
  // A create event is judged by its own rule alone, which comes before this one.
  if (event.type === 'm.room.create') return accept
  const cited = citedEvents(event, authEvents)
  if (cited === undefined) return refuse('auth-events-unknown')
  const slots = authEventSlots(rules, event)
  if (hasDuplicateSlot(cited)) return refuse('auth-events-duplicate')
  if (!cited.every((entry) => slots.some((slot) => isSameSlot(slot, entry.event))))
    return refuse('auth-events-selection')
  if (cited.some((entry) => entry.rejected)) return refuse('auth-events-rejected')
  // Up to version 11 the create event must be among them; later it is never selected.
  if (!rules.roomIdIsCreateHash && !cited.some((entry) => entry.event.type === 'm.room.create'))
    return refuse('auth-events-create')
  if (cited.some((entry) => entry.event.room_id !== event.room_id)) return refuse('auth-events-room')
  return accept
}

/** The cited events in the order of citation, an id that is cited twice twice; undefined if one is missing. */
function citedEvents(event: Event, authEvents: readonly AuthEvent[]): AuthEvent[] | undefined {
  const known = new Map<EventId, AuthEvent>(authEvents.map((entry) => [entry.event.event_id, entry]))
  const cited = event.auth_events.map((id) => known.get(id)).filter((entry) => entry !== undefined)
  return cited.length === event.auth_events.length ? cited : undefined
}

function hasDuplicateSlot(entries: readonly AuthEvent[]): boolean {
  const slots = entries.map(({ event }) => JSON.stringify([event.type, event.state_key ?? null]))
  return new Set(slots).size < slots.length
}

/**
 * The room state that auth events make up, for judging the event that cites them. From version 12 on the create
 * event is not cited: pass it along. Pass accepted events only.
 */
export function stateFromAuthEvents(authEvents: readonly Event[]): StateLookup {
  const slots = new Map(
    authEvents.map((event) => [JSON.stringify([event.type, event.state_key ?? null]), event]),
  )
  return (type, stateKey) => slots.get(JSON.stringify([type, stateKey]))
}
