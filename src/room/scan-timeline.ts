// Walking over the timeline in one direction, past what the user may not or does not want to see and what their filter leaves
// out.

import type { RoomEventFilter } from '../matrix/filter.ts'
import { compileEventFilter } from '../matrix/filter-match.ts'
import { bundledEvent } from './bundle.ts'
import { isIgnoredBy, type Viewer } from './client-event.ts'
import type { RoomContext } from './context.ts'
import { eventsBetween, type StoredEvent } from './events.ts'
import { highestGap, type Gap } from './gaps.ts'
import type { View } from './visibility.ts'

// Bounds the work of one call.
const longestScan = 1000
// An event has at most 64 KiB: what is held at once stays small.
const largestBatch = 100
const smallestBatch = 20
// In characters. Keeps an answer far below what one RPC may carry.
const largestChunk = 8 * 1024 * 1024

export interface Scan {
  readonly direction: 'f' | 'b'
  /** The range of positions, both ends included. */
  readonly lowest: number
  readonly highest: number
  readonly limit: number
  readonly filter?: RoomEventFilter
  /** Goes on beyond a gap instead of ending there. */
  readonly overGaps?: boolean
}

export interface ScanResult {
  /** In the direction of the scan. */
  readonly events: readonly StoredEvent[]
  /** The same events as clients see them, as JSON text. */
  readonly chunk: readonly string[]
  /** The position of the token from which to go on in the same direction. */
  readonly end: number
  /** Whether going on may give more. */
  readonly more: boolean
  /** The gap at which a scan backwards ended. */
  readonly gap?: Gap
}

/** Up to `limit` events that the viewer may see and that the filter lets through. Backwards it ends at a gap. */
export function scanTimeline(room: RoomContext, viewer: Viewer, view: View, scan: Scan): ScanResult {
  if (scan.direction === 'f' || scan.overGaps) return scanRange(room, viewer, view, scan)
  // Also the gap that a page begins below.
  const gap = highestGap(room, scan.lowest, scan.highest + 1)
  if (!gap) return scanRange(room, viewer, view, scan)
  const above = scanRange(room, viewer, view, { ...scan, lowest: gap.pos })
  return above.events.length >= scan.limit ? above : { ...above, end: gap.pos - 1, more: true, gap }
}

function scanRange(room: RoomContext, viewer: Viewer, view: View, scan: Scan): ScanResult {
  const { direction, limit } = scan
  const matches = compileEventFilter(scan.filter)
  const events: StoredEvent[] = []
  const chunk: string[] = []
  let size = 0
  const isFull = () => events.length >= limit || size >= largestChunk
  let end = direction === 'b' ? scan.highest : scan.lowest - 1
  let reached = end
  let heldBack = false
  for (let scanned = 0; scanned < longestScan;) {
    const wanted = Math.min(largestBatch, Math.max(smallestBatch, limit - events.length + 1))
    const batch = nextBatch(room, scan, reached, wanted)
    for (const stored of batch) {
      reached = direction === 'b' ? stored.eid - 1 : stored.eid
      const seen = view.sees(stored)
      // Behind a full page it only matters whether there is anything more to be seen.
      if (isFull()) {
        if (seen) return { events, chunk, end, more: true }
        continue
      }
      end = reached
      if (!seen) continue
      if (!matches(stored.event) || isIgnoredBy(viewer, stored)) {
        heldBack = true
        continue
      }
      const json = JSON.stringify(bundledEvent(room, { viewer, view }, stored))
      events.push(stored)
      chunk.push(json)
      size += json.length
    }
    // Clients that filter expect a token to go on from wherever the filter held something back.
    if (batch.length < wanted) return { events, chunk, end, more: heldBack }
    scanned += batch.length
  }
  return { events, chunk, end, more: true }
}

function nextBatch(room: RoomContext, scan: Scan, reached: number, size: number): StoredEvent[] {
  const { direction, lowest, highest } = scan
  return direction === 'b'
    ? eventsBetween(room, lowest, reached, 'b', size)
    : eventsBetween(room, reached + 1, highest, 'f', size)
}
