// Redactions take effect here: the target loses what its room version does not keep, on disk as well.
// Specification: server-server API and room version 3, "Handling redactions".

import { serverNameOf } from '../matrix/identifiers.ts'
import { redact } from '../matrix/redaction.ts'
import { powerLevelsContent, requiredLevel, userPowerLevel } from '../matrix/power-levels.ts'
import { identity, type RoomContext } from './context.ts'
import { eventByEid, eventStatus, findEvent, forgetEvent, type StoredEvent } from './events.ts'
import { forgetIndex, isSummarised } from './index-room.ts'
import { armAlarm, soonMs } from './outbox.ts'
import { forgetRelation } from './relations.ts'
import { stateLookup } from './state-at.ts'

/** Applies what an accepted event means for redactions: its own, or one that was waiting for it. */
export function applyRedactions(room: RoomContext, stored: StoredEvent): void {
  const { event } = stored
  if (event.type === 'm.room.redaction' && event.redacts !== undefined) {
    const target = findEvent(room, event.redacts)
    if (target) applyRedaction(room, stored, target)
    else waitForTarget(room, event.redacts, stored.eid)
  }
  for (const redaction of waitingRedactions(room, event.event_id)) {
    applyRedaction(room, eventByEid(room, redaction), stored)
  }
}

// A redaction that arrives before its target is judged again when the target is there.
function waitForTarget(room: RoomContext, target: string, redaction: number): void {
  room.sql.exec('INSERT OR IGNORE INTO pending_redactions VALUES (?, ?)', target, redaction)
}

function waitingRedactions(room: RoomContext, eventId: string): number[] {
  return room.sql
    .exec<{ redaction: number }>('SELECT redaction FROM pending_redactions WHERE target = ?', eventId)
    .toArray()
    .map((row) => row.redaction)
}

function applyRedaction(room: RoomContext, redaction: StoredEvent, target: StoredEvent): void {
  room.sql.exec(
    'DELETE FROM pending_redactions WHERE target = ? AND redaction = ?',
    target.event.event_id,
    redaction.eid,
  )
  if (target.redactedBy !== null || redaction.status !== eventStatus.accepted) return
  if (!mayRedact(room, redaction, target)) return
  forgetRelation(room, target)
  const redacted = redact(target.event.pdu, identity(room).rules)
  room.sql.exec(
    'UPDATE events SET json = ?, redacted_by = ? WHERE eid = ?',
    JSON.stringify(redacted),
    redaction.eid,
    target.eid,
  )
  forgetEvent(room, target.eid)
  if (target.slot === null) return
  // What was told of the state before is no longer so, although no other event has taken the place of this one.
  if (isSummarised(target.event.type)) forgetIndex(room)
  armAlarm(room, soonMs)
}

/** Whether a redaction may take effect on its target. */
export function mayRedact(room: RoomContext, redaction: StoredEvent, target: StoredEvent): boolean {
  const { rules } = identity(room)
  // Versions 1 and 2 judge redactions by their auth rules.
  if (rules.redactionAuthRule) return true
  // Since v3: the sender has the redact level, or is of the same server as the sender of the target.
  const state = stateLookup(room, redaction.stateBefore)
  const needed = requiredLevel(rules, powerLevelsContent(state), 'redact')
  if (userPowerLevel(rules, redaction.event.sender, state) >= needed) return true
  return serverNameOf(redaction.event.sender) === serverNameOf(target.event.sender)
}
