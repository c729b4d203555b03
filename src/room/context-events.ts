// What happened around an event. Specification: client-server API, "Event Context".

import type { RoomEventFilter } from '../matrix/filter.ts'
import { compileEventFilter } from '../matrix/filter-match.ts'
import type { JsonObject } from '../matrix/json.ts'
import { bundledEvent } from './bundle.ts'
import type { Viewer } from './client-event.ts'
import type { RoomContext } from './context.ts'
import { firstOutlier, type StoredEvent } from './events.ts'
import { sendersMembers } from './lazy-members.ts'
import { eventList, stateEvents } from './list-state.ts'
import { textStream, type ReadAnswer } from './read-answer.ts'
import { visibleEvent } from './read-event.ts'
import { scanTimeline, type ScanResult } from './scan-timeline.ts'
import { formatToken } from './tokens.ts'
import { requireReadable, viewOf } from './visibility.ts'

export interface ContextRequest {
  readonly eventId: string
  /** For both sides together. */
  readonly limit: number
  readonly filter?: RoomEventFilter
}

/**
 * The events around one, and the state after the newest of them. M_FORBIDDEN for users who may not read the room,
 * M_NOT_FOUND for an event that they may not see.
 */
export function contextEvents(room: RoomContext, viewer: Viewer, request: ContextRequest): ReadAnswer {
  const view = viewOf(room, viewer.userId)
  const { upTo, left } = requireReadable(room, viewer.userId, view)
  const target = visibleEvent(room, view, request.eventId)
  const filter = request.filter ? { filter: request.filter } : {}
  const after = scanTimeline(room, viewer, view, {
    direction: 'f',
    lowest: target.eid + 1,
    highest: upTo,
    limit: Math.floor(request.limit / 2),
    ...filter,
  })
  const before = scanTimeline(room, viewer, view, {
    direction: 'b',
    lowest: -firstOutlier,
    highest: target.eid - 1,
    limit: request.limit - after.events.length,
    ...filter,
  })
  const event = bundledEvent(room, { viewer, view }, target)
  return { body: textStream(render(room, viewer, { request, target, event, before, after })), left }
}

interface Around {
  readonly request: ContextRequest
  readonly target: StoredEvent
  readonly event: JsonObject
  readonly before: ScanResult
  readonly after: ScanResult
}

function* render(room: RoomContext, viewer: Viewer, around: Around): Generator<string> {
  const { event, before, after } = around
  yield `{"start":"${formatToken(before.end)}","end":"${formatToken(after.end)}",`
  yield `"event":${JSON.stringify(event)},`
  yield `"events_before":[${before.chunk.join()}],"events_after":[${after.chunk.join()}],"state":`
  yield* eventList(room, viewer, state(room, around))
  yield '}'
}

/** The state at the last event returned, as far as the filter lets it through. */
function* state(room: RoomContext, { request, target, before, after }: Around): Generator<StoredEvent[]> {
  const { filter } = request
  const matches = compileEventFilter(filter)
  const lazy = filter?.lazy_load_members === true
  const newest = after.events.at(-1) ?? target
  for (const events of stateEvents(room, newest.stateAfter)) {
    yield events.filter(({ event }) => matches(event) && !(lazy && event.type === 'm.room.member'))
  }
  if (!lazy) return
  const members = sendersMembers(room, [...[...after.events].reverse(), target, ...before.events])
  yield members.filter(({ event }) => matches(event))
}
