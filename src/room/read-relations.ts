// The events that relate to one, page by page. Specification: client-server API, "Relationships API".

import { bundledEvent, type Reader } from './bundle.ts'
import type { Viewer } from './client-event.ts'
import type { RoomContext } from './context.ts'
import type { StoredEvent } from './events.ts'
import { visibleEvent } from './read-event.ts'
import type { ReadAnswer } from './read-answer.ts'
import { childEvent, childrenOf, type ChildRow } from './relations.ts'
import type { StreamToken } from './messages.ts'
import { formatToken } from './tokens.ts'
import { requireReadable, viewOf } from './visibility.ts'

export interface RelationsRequest {
  readonly eventId: string
  readonly relType?: string
  readonly eventType?: string
  readonly direction: 'f' | 'b'
  readonly limit: number
  readonly from?: StreamToken
  /** The position behind the token at which to stop. */
  readonly to?: number
  /** Whether relations of relations come as well. */
  readonly recurse: boolean
}

// "Implementations should limit the depth": as deep as the specification has a server go at least.
const deepest = 3
// Bounds the work of one call.
const mostRows = 5000

/** One page as a JSON object. M_NOT_FOUND where there is no such event that the user may see. */
export function readRelations(room: RoomContext, viewer: Viewer, request: RelationsRequest): ReadAnswer {
  const view = viewOf(room, viewer.userId)
  visibleEvent(room, view, request.eventId)
  const { left, upTo } = requireReadable(room, viewer.userId, view)
  const reader: Reader = { viewer, view }
  const { rows, depth } = related(room, viewer, request)
  const { page, next } = pageOf(room, reader, request, inRange(rows, request, upTo))
  const parts = [
    `"chunk":[${page.map((stored) => JSON.stringify(bundledEvent(room, reader, stored))).join()}]`,
    ...(next === undefined ? [] : [`"next_batch":"${formatToken(next)}"`]),
    ...(request.from ? [`"prev_batch":${JSON.stringify(request.from.token)}`] : []),
    ...(request.recurse ? [`"recursion_depth":${depth}`] : []),
  ]
  return { body: `{${parts.join()}}`, left }
}

function related(
  room: RoomContext,
  { ignored = [] }: Viewer,
  { eventId, relType, eventType, recurse }: RelationsRequest,
): { rows: ChildRow[]; depth: number } {
  const found = new Map<number, ChildRow>()
  let parents = [eventId]
  let depth = 0
  while (parents.length > 0 && depth < (recurse ? deepest : 1) && found.size < mostRows) {
    const children = parents.flatMap((parent) => childrenOf(room, parent, ignored))
    const fresh = children.filter(({ pos }) => !found.has(pos))
    for (const row of fresh) found.set(row.pos, row)
    depth += 1
    parents = recurse ? fresh.map((row) => childEvent(room, row).event.event_id) : []
  }
  const rows = [...found.values()].filter(
    (row) =>
      (relType === undefined || row.rel_type === relType) &&
      (eventType === undefined || row.type === eventType),
  )
  return { rows, depth }
}

/** The rows between the tokens, in the direction asked for. */
function inRange(
  rows: readonly ChildRow[],
  { direction, from, to }: RelationsRequest,
  upTo: number,
): ChildRow[] {
  const [low, high] =
    direction === 'b' ? [to ?? -Infinity, from?.position ?? upTo] : [from?.position ?? -Infinity, to ?? upTo]
  const sign = direction === 'f' ? 1 : -1
  return rows
    .filter(({ pos }) => pos > low && pos <= Math.min(high, upTo))
    .sort((a, b) => sign * (a.pos - b.pos))
}

function pageOf(
  room: RoomContext,
  { view }: Reader,
  { direction, limit }: RelationsRequest,
  rows: readonly ChildRow[],
): { page: StoredEvent[]; next?: number } {
  const page: StoredEvent[] = []
  for (const row of rows) {
    const child = childEvent(room, row)
    if (!view.sees(child)) continue
    const last = page.at(-1)
    if (page.length === limit && last) return { page, next: direction === 'b' ? last.eid - 1 : last.eid }
    page.push(child)
  }
  return { page }
}
