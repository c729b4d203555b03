// The road of a local event: transaction id seen? → build → authorise → hash, sign → append. All of it runs without
// an await, so that nothing can come between the state it was judged by and the state it is appended to.
// Specification: client-server API, "Sending events to a room".

import { MatrixError } from '../errors.ts'
import type { EventId, UserId } from '../matrix/event.ts'
import { appendEvent, transact } from './append.ts'
import { buildEvent, type EventDraft } from './build-event.ts'
import { canonicalEqual } from './canonical-equal.ts'
import { type ClientTransaction, delayedKey, transactionKey } from './client-event.ts'
import type { RoomContext, Signer } from './context.ts'
import { eventStatus } from './events.ts'
import { authoriseAt, newEventPlace } from './new-event-place.ts'
import { requireRecommended, type SignedDraft, signedDraft } from './policy-server.ts'
import { currentEvent } from './state-at.ts'

export interface SendRequest {
  readonly draft: EventDraft
  /** Set for sends with a transaction id: the same one by the same device to the same path is the same event. */
  readonly transaction?: ClientTransaction
  /** Set for a delayed event: it is sent once. */
  readonly delayId?: string
}

/**
 * Sends an event of a local user. Returns its id. M_FORBIDDEN where the auth rules refuse it. A request with a transaction
 * must have been looked for before, by `findSentEvent` in the same turn.
 */
export function sendEvent(room: RoomContext, signer: Signer, request: SendRequest): EventId {
  const { draft } = request
  const same = findUnchangedState(room, draft)
  if (same) return same
  return transact(room, () => appendDraft(room, signer, draft, transactionOfRequest(request)))
}

/**
 * Builds, authorises and appends one event on top of the live end. Call inside `transact`. Throws as `draftedEvent`.
 */
export function appendDraft(room: RoomContext, signer: Signer, draft: EventDraft, txn?: string): EventId {
  const { event, auth, place } = draftedEvent(room, signer, draft)
  appendEvent(room, {
    event,
    status: eventStatus.accepted,
    auth,
    ...place,
    ...(txn === undefined ? {} : { txn }),
  })
  return event.event_id
}

/**
 * The event that becomes of a draft, not kept yet. M_FORBIDDEN where the auth rules refuse it, PolicySignatureMissing where
 * the room's policy server has to be asked first.
 */
export function draftedEvent(room: RoomContext, signer: Signer, draft: EventDraft): SignedDraft {
  const known = signedDraft(room, draft)
  if (known) return known
  const place = newEventPlace(room)
  const { event, auth } = buildEvent(room, signer, draft, place)
  const verdict = authoriseAt(room, event, place)
  if (!verdict.ok) throw new MatrixError('M_FORBIDDEN', 403, verdict.reason)
  requireRecommended(room, draft, event)
  return { event, auth, place }
}

/** The event that was sent by the same request before, if there is one. */
export function findSentEvent(room: RoomContext, request: SendRequest): EventId | undefined {
  const txn = transactionOfRequest(request)
  if (txn === undefined) return undefined
  return room.sql.exec<{ event_id: EventId }>('SELECT event_id FROM events WHERE txn = ?', txn).toArray()[0]
    ?.event_id
}

function transactionOfRequest({ draft, transaction, delayId }: SendRequest): string | undefined {
  if (delayId !== undefined) return delayedKey(delayId)
  if (transaction === undefined) return undefined
  return transactionKey(draft.sender, transaction)
}

// Setting state to what it is already makes no event.
function findUnchangedState(room: RoomContext, { type, sender, state_key: stateKey, content }: EventDraft) {
  if (stateKey === undefined) return undefined
  const current = currentEvent(room, type, stateKey)
  const unchanged = current?.sender === sender && canonicalEqual(current.content, content)
  return unchanged ? current.event_id : undefined
}

/** The membership of a user in the current state. */
export function currentMembership(room: RoomContext, userId: UserId): string | undefined {
  const membership = currentEvent(room, 'm.room.member', userId)?.content['membership']
  return typeof membership === 'string' ? membership : undefined
}
