// Guests leave a room that is closed to them, whoever closed it: here, on another server, or by redacting what let them in.
// Specification: client-server API, "Guest Access".

import { errorMessage, log } from '../log.ts'
import { guestsAmong } from '../storage/local-members.ts'
import { ensureSigner, identity, meta, type RoomContext, setMeta } from './context.ts'
import { eventByEid } from './events.ts'
import { admitsGuests, changeMembership } from './membership.ts'
import { armAlarm } from './outbox.ts'
import { PolicySignatureMissing } from './policy-server.ts'
import { localMembers } from './restricted-join.ts'
import { findSlot } from './state-at.ts'

// Up to which position guests were made to leave.
const doneKey = 'guests_removed'
const againMs = 60_000

/** Whether nobody has to leave: the room admits guests, never did, or those in it have left since it was closed. */
export function guestsAreRemoved(room: RoomContext): boolean {
  const closed = closedAt(room)
  if (closed === undefined) return true
  const done = meta(room, doneKey)
  return typeof done === 'number' && done >= closed
}

/**
 * Makes all guests of this server leave a room that is closed to them. Resolves to whether anybody left. Throws
 * PolicySignatureMissing; what else fails is left to the alarm.
 */
export async function removeGuests(room: RoomContext): Promise<boolean> {
  const closed = closedAt(room)
  if (closed === undefined) return false
  try {
    const guests = await guestsAmong(room.env, [...localMembers(room)])
    const signer = await ensureSigner(room)
    // It may have been opened again meanwhile.
    if (admitsGuests(room)) return false
    for (const guest of guests) {
      changeMembership(room, signer, { action: 'leave', sender: guest, target: guest, content: {} })
    }
    setMeta(room, doneKey, closed)
    return guests.length > 0
  } catch (error) {
    // Whoever calls asks the policy server, and calls again.
    if (error instanceof PolicySignatureMissing) throw error
    log({ event: 'member_update_failed', room_id: identity(room).roomId, error: errorMessage(error) })
    armAlarm(room, againMs)
    return false
  }
}

/** The position of what closed the room to guests; undefined where it is open, or never was. */
function closedAt(room: RoomContext): number | undefined {
  const slot = findSlot(room, 'm.room.guest_access', '')
  if (slot === undefined || admitsGuests(room)) return undefined
  const newest = room.sql
    .exec<{ pos: number; eid: number }>(
      'SELECT pos, eid FROM state WHERE slot = ? ORDER BY pos DESC LIMIT 1',
      slot,
    )
    .toArray()[0]
  if (!newest) return undefined
  const redacted = newest.eid === 0 ? null : eventByEid(room, newest.eid).redactedBy
  return Math.max(newest.pos, redacted ?? 0)
}
