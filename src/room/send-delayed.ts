// Sending delayed events: by the alarm when they are due, or when they are asked for; and restarting or cancelling them.
// An event is sent and its row finalised in one transaction, so that no crash sends it twice. Not in the specification yet: MSC4140.

import { type Env, eventFetcherStub } from '../env.ts'
import { isMatrixError, MatrixError } from '../errors.ts'
import { errorMessage, log } from '../log.ts'
import type { EventId, UserId } from '../matrix/event.ts'
import type { JsonObject } from '../matrix/json.ts'
import { findUser } from '../storage/users.ts'
import { transact } from './append.ts'
import { sendFromClient } from './client-send.ts'
import { ensureSigner, findIdentity, identity, type RoomContext, type Signer } from './context.ts'
import { type DelayedEvent, delayedEvent, findDelayed } from './delayed-events.ts'
import { armAlarm, soonMs } from './outbox.ts'
import { policyServer } from './policy-server.ts'

export type DelayedAction = 'cancel' | 'restart' | 'send'

// Finalised events can be looked up for some days, as far as there are not too many.
const keptMs = 7 * 86_400_000
const mostKept = 200
const mostAtOnce = 100

/**
 * Cancels, restarts or sends a delayed event. Whether that has sent it. M_NOT_FOUND; M_UNKNOWN (409) where it was sent or
 * cancelled before, unless that is what is wanted; and what it cannot be sent for: then it stays scheduled.
 */
export async function changeDelayed(
  room: RoomContext,
  delayId: string,
  action: DelayedAction,
): Promise<boolean> {
  const found = delayedEvent(room, delayId)
  if (found.finalised !== null) return checkOutcome(found, action)
  if (action === 'cancel') {
    finalise(room, delayId, {})
    return false
  }
  if (action === 'restart') {
    restart(room, found)
    return false
  }
  const signer = await ensureSigner(room)
  const sender = await senderOf(room.env, found.sender)
  // What happened meanwhile counts.
  const row = delayedEvent(room, delayId)
  if (row.finalised !== null) return checkOutcome(row, action)
  send(room, signer, row, sender)
  return true
}

// The same action again is answered as before, so that it can be tried again after a lost answer.
function checkOutcome({ event_id: eventId }: DelayedEvent, action: DelayedAction): false {
  if (action === (eventId === null ? 'cancel' : 'send')) return false
  const outcome = eventId === null ? 'cancelled' : 'sent'
  throw new MatrixError('M_UNKNOWN', 409, `The delayed event was ${outcome} before`)
}

function restart(room: RoomContext, { delay_id: delayId, delay }: DelayedEvent): void {
  const now = room.now()
  transact(room, () => {
    room.sql.exec(
      'UPDATE delayed_events SET since = ?, due = ? WHERE delay_id = ?',
      now,
      now + delay,
      delayId,
    )
    armAlarm(room, delay)
  })
}

/**
 * Sends what is due: the alarm's part, and done as well before scheduled events are listed. Whether events were sent. Never
 * throws: what fails is tried again soon.
 */
export async function sendDueEvents(room: RoomContext): Promise<boolean> {
  if (!findIdentity(room)) return false
  if (policyServer(room)) {
    await handOver(room)
    return false
  }
  const senders = new Map<UserId, Sender>()
  let sent = false
  try {
    for (let n = 0, next = nextDue(room); next && n < mostAtOnce; n++, next = nextDue(room)) {
      const signer = await ensureSigner(room)
      const sender = senders.get(next.sender) ?? (await senderOf(room.env, next.sender))
      senders.set(next.sender, sender)
      // Sent, restarted or cancelled meanwhile, it is not due any more.
      const row = findDelayed(room, next.delay_id)
      if (row && isDue(room, row)) sent = sendDue(room, signer, row, sender) || sent
    }
    armForNext(room)
  } catch (error) {
    log({ event: 'delayed_events_failed', room_id: identity(room).roomId, error: errorMessage(error) })
    armAlarm(room, soonMs)
  }
  return sent
}

// How long after an attempt that did not help comes the next one.
const handOverAgainMs = 30_000

/** Has events sent by the EventFetcher, which can ask the policy server of the room for its signature on them. */
async function handOver(room: RoomContext): Promise<void> {
  const { next } = room.sql
    .exec<{ next: number | null }>(
      'SELECT min(due) AS next FROM delayed_events WHERE finalised IS NULL AND due > ?',
      room.now(),
    )
    .one()
  if (next !== null) armAlarm(room, next - room.now())
  if (!nextDue(room)) return
  armAlarm(room, handOverAgainMs)
  const { roomId } = identity(room)
  try {
    await eventFetcherStub(room.env, roomId).resume(roomId)
  } catch (error) {
    log({ event: 'delayed_events_failed', room_id: roomId, error: errorMessage(error) })
  }
}

/** The ids of due events that the policy server of the room has to be asked about. */
export function dueForPolicyServer(room: RoomContext): string[] {
  if (!findIdentity(room) || !policyServer(room)) return []
  return room.sql
    .exec<{ delay_id: string }>(
      'SELECT delay_id FROM delayed_events WHERE finalised IS NULL AND due <= ? ORDER BY due LIMIT ?',
      room.now(),
      mostAtOnce,
    )
    .toArray()
    .map((row) => row.delay_id)
}

/** Cancels a delayed event for what it was refused for. */
export function refuseDelayed(room: RoomContext, delayId: string, error: JsonObject): void {
  if (findDelayed(room, delayId)?.finalised === null) finalise(room, delayId, { error })
}

function isDue(room: RoomContext, { finalised, due }: DelayedEvent): boolean {
  return finalised === null && due <= room.now()
}

function nextDue(room: RoomContext): { delay_id: string; sender: UserId } | undefined {
  return room.sql
    .exec<{ delay_id: string; sender: UserId }>(
      'SELECT delay_id, sender FROM delayed_events WHERE finalised IS NULL AND due <= ? ORDER BY due LIMIT 1',
      room.now(),
    )
    .toArray()[0]
}

function armForNext(room: RoomContext): void {
  const { next } = room.sql
    .exec<{ next: number | null }>('SELECT min(due) AS next FROM delayed_events WHERE finalised IS NULL')
    .one()
  if (next !== null) armAlarm(room, Math.max(0, next - room.now()))
}

/** Sends an event that is due, or cancels it for what it is refused for. */
function sendDue(room: RoomContext, signer: Signer, row: DelayedEvent, sender: Sender): boolean {
  try {
    send(room, signer, row, sender)
    return true
  } catch (error) {
    const { roomId } = identity(room)
    if (!isMatrixError(error)) {
      log({ event: 'delayed_events_failed', room_id: roomId, error: errorMessage(error) })
    }
    const [errcode, message] = isMatrixError(error)
      ? [error.errcode, error.message]
      : ['M_UNKNOWN', 'Internal server error']
    finalise(room, row.delay_id, { error: { errcode, error: message } })
    return false
  }
}

/** What the sender's account may do, at the time of sending. */
interface Sender {
  readonly active: boolean
  readonly suspended: boolean
  readonly admin: boolean
}

async function senderOf(env: Env, userId: UserId): Promise<Sender> {
  const user = await findUser(env, userId)
  return {
    active: user !== undefined && user.deactivatedAt === null && !user.locked,
    suspended: user?.suspended ?? false,
    admin: user?.admin ?? false,
  }
}

// Power levels are those of now, not of when the event was scheduled.
function send(room: RoomContext, signer: Signer, row: DelayedEvent, sender: Sender): void {
  if (!sender.active) throw new MatrixError('M_FORBIDDEN', 403, 'The account of the sender is not in use')
  if (sender.suspended) throw new MatrixError('M_USER_SUSPENDED', 403, 'This account is suspended')
  transact(room, () => {
    const eventId = sendFromClient(room, signer, {
      draft: {
        type: row.type,
        sender: row.sender,
        // Written by `scheduleDelayed` alone.
        content: JSON.parse(row.content) as JsonObject,
        ...(row.state_key === null ? {} : { state_key: row.state_key }),
      },
      delayId: row.delay_id,
      admin: sender.admin,
    })
    finalise(room, row.delay_id, { eventId })
  })
}

interface Outcome {
  readonly eventId?: EventId
  readonly error?: JsonObject
}

function finalise(room: RoomContext, delayId: string, { eventId, error }: Outcome): void {
  const now = room.now()
  transact(room, () => {
    room.sql.exec(
      'UPDATE delayed_events SET finalised = ?, event_id = ?, error = ? WHERE delay_id = ?',
      now,
      eventId ?? null,
      error ? JSON.stringify(error) : null,
      delayId,
    )
    room.sql.exec(
      `DELETE FROM delayed_events WHERE finalised < max(?, ifnull((
         SELECT finalised FROM delayed_events WHERE finalised IS NOT NULL ORDER BY finalised DESC LIMIT 1 OFFSET ?
       ), 0))`,
      now - keptMs,
      mostKept - 1,
    )
  })
}
