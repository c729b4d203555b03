// Pages of the timeline. Specification: client-server API, GET /rooms/{roomId}/messages.

import type { RoomEventFilter } from '../matrix/filter.ts'
import { clientEvent, type Viewer } from './client-event.ts'
import type { RoomContext } from './context.ts'
import { firstOutlier } from './events.ts'
import { sendersMembers } from './lazy-members.ts'
import type { ReadAnswer } from './read-answer.ts'
import { scanTimeline } from './scan-timeline.ts'
import { formatToken } from './tokens.ts'
import { requireReadable, viewOf } from './visibility.ts'

export interface MessagesRequest {
  readonly direction: 'f' | 'b'
  readonly limit: number
  readonly filter?: RoomEventFilter
  readonly from?: StreamToken
  /** The position behind the token at which to stop. */
  readonly to?: number
  /** Goes on beyond a gap that could not be filled. */
  readonly overGaps?: boolean
}

/** A token as the client gave it, and the position it stands for. */
export interface StreamToken {
  readonly token: string
  readonly position: number
}

/** One page as a JSON object. M_FORBIDDEN for users who may not read the room. */
export function messages(room: RoomContext, viewer: Viewer, request: MessagesRequest): ReadAnswer {
  const view = viewOf(room, viewer.userId)
  const { upTo, left } = requireReadable(room, viewer.userId, view)
  const { direction, limit, filter } = request
  const from = request.from?.position ?? (direction === 'b' ? upTo : beforeFirst(room))
  const { events, chunk, end, more, gap } = scanTimeline(room, viewer, view, {
    direction,
    limit,
    overGaps: request.overGaps ?? false,
    ...(filter ? { filter } : {}),
    ...range(direction, from, request.to, upTo),
  })
  const parts = [
    `"start":${JSON.stringify(request.from?.token ?? formatToken(from))}`,
    `"chunk":[${chunk.join()}]`,
  ]
  // Without more to come there is no `end`.
  if (more) parts.push(`"end":"${formatToken(end)}"`)
  if (filter?.lazy_load_members) {
    const members = sendersMembers(room, direction === 'b' ? events : [...events].reverse())
    parts.push(`"state":${JSON.stringify(members.map((stored) => clientEvent(room, stored, viewer)))}`)
  }
  return { body: `{${parts.join()}}`, left, ...(gap && events.length === 0 ? { gap } : {}) }
}

function range(direction: 'f' | 'b', from: number, to: number | undefined, upTo: number) {
  const [older = -firstOutlier, newer = upTo] = direction === 'b' ? [to, from] : [from, to]
  return { lowest: older + 1, highest: Math.min(newer, upTo) }
}

function beforeFirst(room: RoomContext): number {
  const { first } = room.sql
    .exec<{ first: number | null }>(
      `SELECT min(first) AS first FROM (SELECT min(eid) AS first FROM events UNION ALL SELECT min(pos) FROM history)`,
    )
    .one()
  return (first ?? 1) - 1
}
