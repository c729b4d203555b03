// A room's part of a /sync answer, as finished JSON text: timeline, state and summary of a range of positions.
// Never reads past `to`: what comes later belongs to the next sync.
// Specification: client-server API, "Syncing", "Lazy-loading room members"; room summary.

import type { RoomEventFilter } from '../matrix/filter.ts'
import { compileEventFilter, projectFields } from '../matrix/filter-match.ts'
import { withRelations } from './bundle.ts'
import { syncEvent } from './client-event.ts'
import { findIdentity, identity, type RoomContext } from './context.ts'
import { isHidden } from './dummy-event.ts'
import { eventByEid, eventsBetween, type StoredEvent } from './events.ts'
import { highestGap } from './gaps.ts'
import { roomSummary } from './room-summary.ts'
import { allState, eidAtPosition, findSlot, stateDelta } from './state-at.ts'
import { stateToldUpTo, type View, viewOf, visibleEvents } from './visibility.ts'

/**
 * The name of the section for state: `state` is what changed up to the start of the timeline, the others up to its end. The
 * last is that of MSC4222 before it was accepted, which clients still use.
 */
export type StateSection = 'state' | 'state_after' | 'org.matrix.msc4222.state_after'

export interface RoomSyncRequest {
  readonly userId: string
  /** Undefined for an application service that acts as none. */
  readonly deviceId?: string | undefined
  /** The range (from, to] of positions; without `from` the client knows nothing of the room. */
  readonly from?: number
  readonly to: number
  /** Whether the user is in the room at the end of the range. */
  readonly joined: boolean
  /** Whether the user was joined all through the range, and so may see all of it. */
  readonly joinedThroughout: boolean
  /** Whether the user joined since their last sync: the timeline then counts as limited, whatever it holds. */
  readonly newlyJoined: boolean
  /** The whole state although the client knows the room. */
  readonly fullState: boolean
  readonly stateSection: StateSection
  readonly limit: number
  readonly timeline?: RoomEventFilter
  readonly state?: RoomEventFilter
  readonly lazyLoadMembers: boolean
  readonly eventFields?: readonly string[]
  readonly federationFormat: boolean
  /** Users whose messages are left out. */
  readonly ignored: readonly string[]
}

export type TimelineRequest = Pick<
  RoomSyncRequest,
  'userId' | 'from' | 'to' | 'limit' | 'timeline' | 'joinedThroughout' | 'newlyJoined' | 'ignored'
>

// Bounds the work of one answer when a filter lets little through.
const longestScan = 2000
const scanStep = 100

/** The newest visible events of a range. */
export interface Timeline {
  /** In the order of the room. */
  readonly events: readonly StoredEvent[]
  readonly limited: boolean
  /** The position before the first event of the timeline. */
  readonly start: number
}

/** The members `timeline`, `state` (or `state_after`) and `summary` as JSON text without the braces around them. */
export function syncRoom(room: RoomContext, request: RoomSyncRequest): string {
  // Who turned down an invite to a room elsewhere has left a room that never was here.
  if (!findIdentity(room)) return nothing(request)
  const timeline = readTimeline(room, request)
  const view = viewOf(room, request.userId)
  const told = request.joinedThroughout ? request.to : stateToldUpTo(request.to, view)
  const state = readState(room, request, timeline, told)
  // Who left is not told how many came and went after that.
  const summary = request.joined && roomSummary(room, request.userId, request.from, request.to)
  const render = renderer(room, request, view, request.from === undefined || timeline.limited)
  const parts = [
    `"timeline":{"events":[${timeline.events.map(render).join()}],"limited":${timeline.limited},"prev_batch":"t${timeline.start}"}`,
    `"${request.stateSection}":{"events":[${state.map(render).join()}]}`,
  ]
  if (summary) parts.push(`"summary":${JSON.stringify(summary)}`)
  return parts.join()
}

function nothing({ stateSection, to }: RoomSyncRequest): string {
  return `"timeline":{"events":[],"limited":false,"prev_batch":"t${to}"},"${stateSection}":{"events":[]}`
}

// Aggregations come where the client may have missed what they are made of.
function renderer(
  room: RoomContext,
  request: RoomSyncRequest,
  view: View,
  aggregated: boolean,
): (stored: StoredEvent) => string {
  const reader = { viewer: request, view }
  return (stored) => {
    const plain = request.federationFormat ? stored.event.pdu : syncEvent(room, stored, request)
    const event = aggregated && !request.federationFormat ? withRelations(room, reader, stored, plain) : plain
    return JSON.stringify(request.eventFields ? projectFields(event, request.eventFields) : event)
  }
}

/** Reads the newest events of a range that a user may see. */
export function readTimeline(room: RoomContext, request: TimelineRequest): Timeline {
  const { to, limit } = request
  // Below a gap, events are missing: the timeline begins above it, and pagination fills it.
  const gap = highestGap(room, (request.from ?? 0) + 1, to)
  const from = gap ? gap.pos - 1 : (request.from ?? 0)
  const matches = compileEventFilter(request.timeline)
  const { roomId } = identity(room)
  const found: StoredEvent[] = []
  let next = to
  while (next > from && found.length <= limit && to - next < longestScan) {
    const batch = eventsBetween(room, from + 1, next, 'b', Math.min(scanStep, Math.max(limit + 1, 10)))
    const seen = request.joinedThroughout ? batch : visibleEvents(room, request.userId, batch)
    found.push(
      ...seen.filter(
        (stored) =>
          !isHidden(stored.event) &&
          !isIgnored(request, stored) &&
          matches({ ...stored.event, room_id: roomId }),
      ),
    )
    next = (batch.at(-1)?.eid ?? from + 1) - 1
  }
  const events = found.slice(0, limit).reverse()
  const first = events[0]
  const limited = found.length > limit || next > from || request.newlyJoined || gap !== undefined
  // Without a gap the timeline reaches back to where the client was.
  const start = limited ? (first ? first.eid - 1 : to) : from
  return { events, limited, start }
}

// State is shown whoever sent it: without it the room cannot be understood.
function isIgnored({ ignored }: TimelineRequest, { event }: StoredEvent): boolean {
  return event.state_key === undefined && ignored.includes(event.sender)
}

function readState(
  room: RoomContext,
  request: RoomSyncRequest,
  timeline: Timeline,
  told: number,
): StoredEvent[] {
  const slots = stateSlots(room, request, timeline, told)
  const senders = new Set<string>(timeline.events.map(({ event }) => event.sender))
  const { roomId } = identity(room)
  const matches = compileEventFilter(request.state)
  // What changed since the client looked last is told of all members: it keeps the list of those it has asked for by that. Of a
  // state that is told as a whole, members whom the timeline changes are known by it alone where it goes up to the end.
  const whole = request.from === undefined || request.fullState
  const changed = new Set(
    request.stateSection === 'state'
      ? []
      : timeline.events.flatMap(({ event }) => (event.type === 'm.room.member' ? [event.state_key] : [])),
  )
  const wanted = ({ event }: StoredEvent) =>
    matches({ ...event, room_id: roomId }) &&
    (!request.lazyLoadMembers ||
      !whole ||
      event.type !== 'm.room.member' ||
      senders.has(event.state_key ?? '') ||
      changed.has(event.state_key) ||
      event.state_key === request.userId)
  const state = [...slots.values()].filter((eid) => eid !== 0).map((eid) => eventByEid(room, eid))
  const result = new Map(state.filter(wanted).map((stored) => [stored.eid, stored]))
  if (request.lazyLoadMembers) {
    for (const stored of sendersMembers(room, request, timeline, told, senders))
      result.set(stored.eid, stored)
  }
  return [...result.values()]
}

/** Slot → eid of what belongs into the state section, up to the position whose state the user may see. */
function stateSlots(
  room: RoomContext,
  { userId, from, to, fullState, stateSection }: RoomSyncRequest,
  timeline: Timeline,
  told: number,
): Map<number, number> {
  const atEnd = stateSection !== 'state'
  const end = atEnd ? told : Math.min(timeline.start, told)
  const slots = from === undefined || fullState ? allState(room, end) : stateDelta(room, from, end)
  const shown = new Set(atEnd ? [] : timeline.events.map(({ eid }) => eid))
  // What state resolution or the filter keeps out of the timeline would be lost to the client otherwise.
  if (!atEnd) for (const [slot, eid] of stateDelta(room, end, told)) if (!shown.has(eid)) slots.set(slot, eid)
  // What became of themselves is told to everybody.
  const own = told < to ? findSlot(room, 'm.room.member', userId) : undefined
  const eid = own === undefined ? 0 : eidAtPosition(room, to, own)
  if (own !== undefined && !shown.has(eid)) slots.set(own, eid)
  return slots
}

// Lazily loaded members: those of the timeline's senders, as of the start of the timeline or its end.
function sendersMembers(
  room: RoomContext,
  { stateSection }: RoomSyncRequest,
  timeline: Timeline,
  told: number,
  senders: ReadonlySet<string>,
): StoredEvent[] {
  const shown = new Set(timeline.events.map(({ eid }) => eid))
  const atEnd = stateSection !== 'state'
  return [...senders].flatMap((sender) => {
    const slot = findSlot(room, 'm.room.member', sender)
    const eid =
      slot === undefined ? 0 : eidAtPosition(room, atEnd ? told : Math.min(timeline.start, told), slot)
    return eid === 0 || (shown.has(eid) && !atEnd) ? [] : [eventByEid(room, eid)]
  })
}
