// A room's part of an answer of sliding sync, as finished JSON text: timeline, the state that is asked for, and what the
// room is called. Never reads past `to`: what comes later belongs to the next answer.
// Specification: MSC4186 (simplified sliding sync), "RoomResult".

import { stringProperty, type JsonObject } from '../matrix/json.ts'
import {
  loadsMembersLazily,
  namedSlots,
  type RequiredState,
  stateMatch,
  wantsAnyMembers,
} from '../matrix/required-state.ts'
import { withRelations } from './bundle.ts'
import { syncEvent } from './client-event.ts'
import { findIdentity, type RoomContext } from './context.ts'
import { eventByEid, type StoredEvent } from './events.ts'
import { countAt, memberCounts, membershipChanges } from './member-counts.ts'
import { heroes } from './room-summary.ts'
import { eidAtPosition, eventInState, findSlot, slotOf, stateDelta } from './state-at.ts'
import { readTimeline, type Timeline } from './sync-room.ts'
import { viewOf } from './visibility.ts'

export interface RoomSlidingRequest {
  readonly userId: string
  readonly deviceId: string
  /** The range (from, to] of positions; without `from` the client knows nothing of the room. */
  readonly from?: number
  readonly to: number
  /** Whether the user is in the room at the end of the range. */
  readonly joined: boolean
  /** Whether the user was joined all through the range, and so may see all of it. */
  readonly joinedThroughout: boolean
  /** Events after this position count as live; absent: none. */
  readonly liveAfter?: number
  readonly timelineLimit: number
  /** The newest events, also those the client has. */
  readonly expand: boolean
  readonly required: readonly RequiredState[]
  /** What state the client was given up to now, where that is not the same. */
  readonly given?: readonly RequiredState[]
  /** Users whose messages are left out. */
  readonly ignored: readonly string[]
  /** Whether state that is gone is told as its type and key alone, and timelines of growing limits are marked so. */
  readonly form: 'accepted' | 'deployed'
}

/** Members of the room's result as JSON text without the braces around them; empty where there is nothing to show. */
export function slidingSyncRoom(room: RoomContext, request: RoomSlidingRequest): string {
  // Who turned down an invite to a room elsewhere has left a room that never was here.
  if (!findIdentity(room)) return ''
  const timeline = timelineOf(room, request)
  const state = requiredState(room, request, timeline)
  const about = describe(room, request)
  const shown = request.expand ? timeline.events.length > 0 : timeline.events.length > 0 || timeline.limited
  if (request.from !== undefined && !shown && state.length === 0 && Object.keys(about).length === 0) return ''
  const render = renderer(room, request, timeline)
  const parts = Object.entries(about).map(([key, value]) => `"${key}":${JSON.stringify(value)}`)
  if (state.length > 0) parts.push(`"required_state":[${state.join()}]`)
  if (request.from === undefined || shown) {
    parts.push(`"timeline":[${timeline.events.map(render).join()}]`, `"prev_batch":"t${timeline.start}"`)
    parts.push(`"limited":${timeline.limited}`, `"num_live":${liveEvents(request, timeline)}`)
  }
  if (goesFurtherBack(request, timeline)) {
    parts.push(`"${request.form === 'accepted' ? 'expanded_timeline' : 'unstable_expanded_timeline'}":true`)
  }
  return parts.join()
}

function timelineOf(room: RoomContext, request: RoomSlidingRequest): Timeline {
  const { userId, to, timelineLimit: limit, ignored, from } = request
  const range =
    request.expand || from === undefined
      ? { joinedThroughout: false }
      : { from, joinedThroughout: request.joinedThroughout }
  return readTimeline(room, { userId, to, limit, ignored, newlyJoined: false, ...range })
}

function liveEvents({ liveAfter }: RoomSlidingRequest, { events }: Timeline): number {
  return liveAfter === undefined ? 0 : events.filter(({ eid }) => eid > liveAfter).length
}

function goesFurtherBack({ expand, from }: RoomSlidingRequest, { events: [first] }: Timeline): boolean {
  return expand && from !== undefined && first !== undefined && first.eid <= from
}

// Aggregations come where the client may have missed what they are made of.
function renderer(room: RoomContext, request: RoomSlidingRequest, timeline: Timeline) {
  const aggregated = request.from === undefined || request.expand || timeline.limited
  const reader = { viewer: request, view: viewOf(room, request.userId) }
  return (stored: StoredEvent): string => {
    const plain = syncEvent(room, stored, request)
    return JSON.stringify(aggregated ? withRelations(room, reader, stored, plain) : plain)
  }
}

/** What is asked for of the state at the end of the range, as JSON text: all of it, or what changed. */
function requiredState(room: RoomContext, request: RoomSlidingRequest, timeline: Timeline): string[] {
  const { required, given, from, to } = request
  const found = new Map<number, StoredEvent>()
  const gone: string[] = []
  const add = (eid: number) => eid !== 0 && found.set(eid, eventByEid(room, eid))
  const wanted = stateMatch(required)
  if (from === undefined) for (const eid of wholeState(room, required, to)) add(eid)
  else {
    const lazy = loadsMembersLazily(required) && !timeline.limited
    for (const [slot, eid] of stateDelta(room, from, to)) {
      const { type, state_key: key } = slotOf(room, slot)
      // Members change for those who load them lazily too, as long as nothing is left out.
      if (!wanted(type, key) && !(lazy && type === 'm.room.member')) continue
      if (eid !== 0) add(eid)
      else gone.push(JSON.stringify({ type, state_key: key }))
    }
    // What was not asked for before is new to the client, changed or not.
    const known = given && stateMatch(given)
    if (known) {
      for (const eid of wholeState(room, required, to)) {
        const { event } = eventByEid(room, eid)
        if (!known(event.type, event.state_key ?? '')) add(eid)
      }
    }
  }
  if (loadsMembersLazily(required)) for (const eid of timelineMembers(room, to, timeline)) add(eid)
  const state = [...found.values()].map((stored) => JSON.stringify(syncEvent(room, stored, request)))
  return request.form === 'accepted' ? [...state, ...gone] : state
}

/** The eids of the state that is asked for, as of a position. Reads the members only where they are asked for. */
function wholeState(room: RoomContext, required: readonly RequiredState[], to: number): number[] {
  const matches = stateMatch(required)
  const named = namedSlots(required)
  if (named) {
    return named
      .filter(({ type, stateKey }) => matches(type, stateKey))
      .map(({ type, stateKey }) => eidOf(room, to, type, stateKey))
      .filter((eid) => eid !== 0)
  }
  const openState = wantsAnyMembers(required)
    ? ''
    : "AND (slots.type < 'm.room.member' OR slots.type > 'm.room.member')"
  const rows = room.sql
    .exec<{ type: string; state_key: string; eid: number }>(
      `SELECT slots.type, slots.state_key, state.eid, max(state.pos) FROM slots JOIN state USING (slot)
       WHERE state.pos <= ? ${openState} GROUP BY slots.slot`,
      to,
    )
    .toArray()
  const users = required.flatMap(({ include }) => include).flatMap(({ stateKey }) => stateKey ?? [])
  const members = openState === '' ? [] : users.filter((userId) => matches('m.room.member', userId))
  const eids = [
    ...rows.filter((row) => matches(row.type, row.state_key)).map(({ eid }) => eid),
    ...members.map((userId) => eidOf(room, to, 'm.room.member', userId)),
  ]
  return eids.filter((eid) => eid !== 0)
}

function eidOf(room: RoomContext, to: number, type: string, stateKey: string): number {
  const slot = findSlot(room, type, stateKey)
  return slot === undefined ? 0 : eidAtPosition(room, to, slot)
}

// Lazily loaded members: the senders of the timeline, and whom its member events are about.
function timelineMembers(room: RoomContext, to: number, { events }: Timeline): number[] {
  const users = events.flatMap(({ event }) => [
    event.sender,
    ...(event.type === 'm.room.member' && event.state_key !== undefined ? [event.state_key] : []),
  ])
  return [...new Set<string>(users)].map((userId) => eidOf(room, to, 'm.room.member', userId))
}

/** What the room is called and who is in it: all of it, or what changed in the range. */
function describe(room: RoomContext, { from, to, userId, joined }: RoomSlidingRequest): JsonObject {
  const changed = (type: string) =>
    from === undefined || eidOf(room, from, type, '') !== eidOf(room, to, type, '')
  const read = (type: string, key: string) =>
    stringProperty(eventInState(room, to, type, '')?.content, key) || null
  const name = read('m.room.name', 'name')
  const avatar = read('m.room.avatar', 'url')
  const members = from === undefined || membershipChanges(room, from + 1, to).length > 0
  // Who left is not told how many came and went after that.
  const count = () => (joined ? memberCounts(room) : countAt(room, to))
  const counts = members ? count() : undefined
  return {
    // What there is none of is left out where all is told, and taken back otherwise.
    ...(changed('m.room.name') && (from !== undefined || name !== null) ? { name } : {}),
    ...(changed('m.room.avatar') && (from !== undefined || avatar !== null) ? { avatar } : {}),
    ...(name === null && (members || changed('m.room.name')) ? { heroes: heroesOf(room, userId, to) } : {}),
    ...(counts ? { joined_count: counts.joined, invited_count: counts.invited } : {}),
  }
}

function heroesOf(room: RoomContext, userId: string, to: number): JsonObject[] {
  return heroes(room, userId, to).map((hero) => {
    const content = eventInState(room, to, 'm.room.member', hero)?.content
    const displayName = stringProperty(content, 'displayname')
    const avatar = stringProperty(content, 'avatar_url')
    return {
      user_id: hero,
      ...(displayName === undefined ? {} : { displayname: displayName }),
      ...(avatar === undefined ? {} : { avatar_url: avatar }),
    }
  })
}
