// Events that are known only because others cite them or because they are state: kept, judged by their own auth events,
// but without a place in the timeline.
// Specification: server-server API, "Checks performed on receipt of a PDU", "Retrieving events".

import { authorise } from '../matrix/event-auth/authorise.ts'
import type { FormatLeniency } from '../matrix/event-format.ts'
import type { Event } from '../matrix/event.ts'
import type { JsonObject } from '../matrix/json.ts'
import { appendEvent, transact } from './append.ts'
import { identity, type RoomContext } from './context.ts'
import { eventStatus, findEvent } from './events.ts'
import { checkPdu, judgeByAuthEvents, missingEvents, type Receipt, type ServerKeySet } from './receive-pdu.ts'

/** Receives outliers. Whatever their order, those come first that others build upon. */
export function receiveOutliers(
  room: RoomContext,
  pdus: readonly JsonObject[],
  keys: ServerKeySet,
  leniency: FormatLeniency = 'received',
): Receipt[] {
  const receipts: Receipt[] = []
  let open: Event[] = []
  for (const pdu of pdus) {
    const checked = checkPdu(room, pdu, keys, leniency)
    if ('outcome' in checked) receipts.push(checked)
    else open.push(checked)
  }
  // Each round takes all events whose auth events are here. A round that takes none leaves what cannot be judged.
  for (let before = Infinity; open.length > 0 && open.length < before;) {
    before = open.length
    const waiting: Event[] = []
    transact(room, () => {
      for (const event of open) {
        if (missingEvents(room, event.auth_events).length > 0) waiting.push(event)
        else receipts.push(keepOutlier(room, event))
      }
    })
    open = waiting
  }
  const incomplete = open.map((event): Receipt => ({
    outcome: 'incomplete',
    eventId: event.event_id,
    missing: missingEvents(room, event.auth_events),
  }))
  return [...receipts, ...incomplete]
}

function keepOutlier(room: RoomContext, event: Event): Receipt {
  // The same event may come twice in one call.
  if (findEvent(room, event.event_id)) return { outcome: 'known', eventId: event.event_id }
  const { rules } = identity(room)
  const auth = event.auth_events.flatMap((id) => findEvent(room, id) ?? [])
  const verdict =
    event.type === 'm.room.create'
      ? authorise(rules, event, () => undefined)
      : judgeByAuthEvents(room, event, auth)
  appendEvent(room, {
    event,
    status: verdict.ok ? eventStatus.outlier : eventStatus.rejected,
    auth: auth.map(({ eid }) => eid),
    prev: [],
    before: { base: 0, delta: new Map() },
    outlier: true,
  })
  return verdict.ok
    ? { outcome: 'accepted', eventId: event.event_id }
    : { outcome: 'rejected', eventId: event.event_id, rule: verdict.rule, reason: verdict.reason }
}
