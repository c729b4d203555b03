// What was taken back is nothing to read any more: it is not counted. That users were notified of it stays true.
// Specification: client-server API, "Receiving notifications", "Redactions".

import type { EventId } from '../matrix/event.ts'
import type { HubContext } from './context.ts'
import type { NotifyOutcome } from './notify.ts'

/** Counts an event for nobody any more. Counts that were folded with it in them are made again from the log. */
export function countNoMore(hub: HubContext, rid: number, eventId: EventId): void {
  // Newest first: mostly what was said lately is taken back.
  const told = hub.sql
    .exec<{ pos: number; notify: string | null }>(
      'SELECT pos, notify FROM log WHERE rid = ? AND event_id = ? ORDER BY pos DESC LIMIT 1',
      rid,
      eventId,
    )
    .toArray()[0]
  if (!told || told.notify === null) return
  // Written by `notified` alone.
  const outcome: NotifyOutcome = { ...(JSON.parse(told.notify) as NotifyOutcome), gone: true }
  hub.sql.exec('UPDATE log SET notify = ? WHERE pos = ?', JSON.stringify(outcome), told.pos)
  hub.sql.exec('DELETE FROM unread WHERE rid = ? AND folded >= ?', rid, told.pos)
}
