// The events that a search shows, with what stands around them. Specification: client-server API, "Server Side Search".

import type { JsonObject } from '../matrix/json.ts'
import { bundledEvent, type Reader } from './bundle.ts'
import { clientEvent, type Viewer } from './client-event.ts'
import type { RoomContext } from './context.ts'
import { findEvent, firstOutlier, inTimeline, type StoredEvent } from './events.ts'
import { sendersMembers } from './lazy-members.ts'
import { eventList, stateEvents } from './list-state.ts'
import { scanTimeline } from './scan-timeline.ts'
import { formatToken } from './tokens.ts'
import { type Readable, stateVisibleAt, viewOf } from './visibility.ts'

export interface ResultsRequest {
  readonly eventIds: readonly string[]
  readonly context?: {
    readonly before: number
    readonly after: number
    readonly profiles: boolean
  }
  /** Whether the state of the room comes along. */
  readonly state: boolean
}

export interface RoomResults {
  /** By event id: `"result": …` and, where it was asked for, `"context": …` as JSON text. */
  readonly results: Readonly<Record<string, string>>
  /** The state as a JSON list. */
  readonly state?: string
}

/** Renders results of `searchRoom`. One that cannot be seen any more is left out. */
export function searchResults(room: RoomContext, viewer: Viewer, request: ResultsRequest): RoomResults {
  const view = viewOf(room, viewer.userId)
  const readable = stateVisibleAt(room, viewer.userId, view)
  const reader = { viewer, view }
  const results = request.eventIds.flatMap((eventId) => {
    const found = findEvent(room, eventId)
    const stored = found && inTimeline(room, found)
    if (!stored || !view.sees(stored)) return []
    const result = `"result":${JSON.stringify(bundledEvent(room, reader, stored))}`
    const context = request.context
      ? `,"context":${around(room, reader, stored, request.context, readable)}`
      : ''
    return [[eventId, result + context] as const]
  })
  const state = request.state
    ? { state: [...eventList(room, viewer, stateEvents(room, readable.upTo))].join('') }
    : {}
  return { results: Object.fromEntries(results), ...state }
}

function around(
  room: RoomContext,
  { viewer, view }: Reader & { readonly view: ReturnType<typeof viewOf> },
  target: StoredEvent,
  { before, after, profiles }: NonNullable<ResultsRequest['context']>,
  { upTo }: Readable,
): string {
  const older = scanTimeline(room, viewer, view, {
    direction: 'b',
    lowest: -firstOutlier,
    highest: target.eid - 1,
    limit: before,
  })
  const newer = scanTimeline(room, viewer, view, {
    direction: 'f',
    lowest: target.eid + 1,
    highest: upTo,
    limit: after,
  })
  const shown = [...[...newer.events].reverse(), target, ...older.events]
  return [
    `{"start":"${formatToken(older.end)}","end":"${formatToken(newer.end)}"`,
    `"events_before":[${older.chunk.join()}],"events_after":[${newer.chunk.join()}]`,
    ...(profiles ? [`"profile_info":${JSON.stringify(profileInfo(room, viewer, shown))}`] : []),
  ]
    .join()
    .concat('}')
}

/** The profiles of the senders as they were. */
function profileInfo(room: RoomContext, viewer: Viewer, events: readonly StoredEvent[]): JsonObject {
  return Object.fromEntries(
    sendersMembers(room, events).map((member) => {
      const content = clientEvent(room, member, viewer)['content'] as JsonObject
      const { displayname, avatar_url: avatarUrl } = content
      return [
        member.event.state_key ?? '',
        {
          ...(typeof displayname === 'string' ? { displayname } : {}),
          ...(typeof avatarUrl === 'string' ? { avatar_url: avatarUrl } : {}),
        },
      ]
    }),
  )
}
