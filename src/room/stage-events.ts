// The state of a room that is being joined, and what it rests upon: thousands of events that all cite the same few, checked and
// judged by their auth events batch by batch, and kept as outliers.
// Specification: server-server API, "Joining Rooms", "Checks performed on receipt of a PDU".

import { authorise } from '../matrix/event-auth/authorise.ts'
import type { Event, EventId } from '../matrix/event.ts'
import { isJsonObject, type JsonObject } from '../matrix/json.ts'
import { appendEvent, transact } from './append.ts'
import { identity, type RoomContext } from './context.ts'
import { eventByEid, eventStatus } from './events.ts'
import { checkPdu, judgeByAuthEvents, type Receipt, type ServerKeySet } from './receive-pdu.ts'

/** What became of some events. */
export interface StagedEvents {
  /** Those that hold. */
  readonly ids: readonly EventId[]
  readonly refused: number
  /** Why the first of them was. */
  readonly reason?: string
  /** Which of the texts rest upon events that are not here yet. */
  readonly waiting: readonly number[]
}

/** Takes events of a state, or what it rests upon, as JSON texts. In one transaction; what is known is passed over. */
export function stageEvents(room: RoomContext, texts: readonly string[], keys: ServerKeySet): StagedEvents {
  const ids: EventId[] = []
  const reasons: string[] = []
  const note = (receipt: Receipt): void => {
    if ('reason' in receipt) reasons.push(receipt.reason)
    else ids.push(receipt.eventId)
  }
  const auth = authEvents(room)
  let open: { readonly event: Event; readonly i: number }[] = []
  for (const [i, text] of texts.entries()) {
    const checked = checkPdu(room, parsed(text), keys)
    if ('outcome' in checked) note(checked)
    else open.push({ event: checked, i })
  }
  transact(room, () => {
    // Each round takes all events whose auth events are here. A round that takes none leaves what cannot be judged.
    for (let before = Infinity; open.length > 0 && open.length < before;) {
      before = open.length
      open = open.filter(({ event }) => {
        const receipt = stageEvent(room, event, auth)
        if (receipt) note(receipt)
        return !receipt
      })
    }
  })
  const [reason] = reasons
  return {
    ids,
    refused: reasons.length,
    ...(reason === undefined ? {} : { reason }),
    waiting: open.map(({ i }) => i),
  }
}

function parsed(text: string): JsonObject {
  const pdu: unknown = JSON.parse(text)
  return isJsonObject(pdu) ? pdu : {}
}

interface AuthEvents {
  readonly eid: (id: EventId) => number
  readonly add: (id: EventId, eid: number) => void
}

// All members rest upon the same few events: each is looked up once a batch.
function authEvents(room: RoomContext): AuthEvents {
  const eids = new Map<EventId, number>()
  const look = (id: EventId): number =>
    room.sql.exec<{ eid: number }>('SELECT eid FROM events WHERE event_id = ?', id).toArray()[0]?.eid ?? 0
  return {
    eid(id) {
      const known = eids.get(id) ?? look(id)
      if (known !== 0) eids.set(id, known)
      return known
    },
    add: (id, eid) => eids.set(id, eid),
  }
}

// Judged by its auth events alone; undefined while one of them is missing.
function stageEvent(room: RoomContext, event: Event, auth: AuthEvents): Receipt | undefined {
  const { event_id: eventId } = event
  // The same event may come twice in one call.
  if (auth.eid(eventId) !== 0) return { outcome: 'known', eventId }
  const eids = event.auth_events.map(auth.eid)
  if (eids.includes(0)) return undefined
  const verdict =
    event.type === 'm.room.create'
      ? authorise(identity(room).rules, event, () => undefined)
      : judgeByAuthEvents(
          room,
          event,
          eids.map((eid) => eventByEid(room, eid)),
        )
  const eid = appendEvent(room, {
    event,
    status: verdict.ok ? eventStatus.outlier : eventStatus.rejected,
    auth: eids,
    prev: [],
    before: { base: 0, delta: new Map() },
    outlier: true,
  })
  auth.add(eventId, eid)
  return verdict.ok
    ? { outcome: 'accepted', eventId }
    : { outcome: 'rejected', eventId, rule: verdict.rule, reason: verdict.reason }
}
