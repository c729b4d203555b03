// Forks that nobody merges pile up where only other servers talk: each event would be resolved with all of them. Beyond some
// number, an event that says nothing is sent to merge them, on behalf of a local user who may send it. Bounded and not often:
// the forks may be made on purpose. Where no local user may send events, nothing can be done.
// Needs no power of its own: the level of `org.matrix.dummy_event` in the room's power levels, else `events_default`.

import type { UserId } from '../matrix/event.ts'
import { userPowerLevel } from '../matrix/power-levels.ts'
import { appendEvent, transact } from './append.ts'
import { buildEvent } from './build-event.ts'
import { ensureSigner, identity, type RoomContext, type Signer } from './context.ts'
import { dummyEventType } from './dummy-event.ts'
import { eventStatus, forwardExtremities } from './events.ts'
import { isResident } from './federation-access.ts'
import { authoriseAt, newEventPlace } from './new-event-place.ts'
import { armAlarm, soonMs } from './outbox.ts'
import { policyServer } from './policy-server.ts'
import { localMembers } from './restricted-join.ts'
import { currentState, stateLookup } from './state-at.ts'

// As many as an event of ours merges by itself.
const fewEnough = 10
// Each merges ten into one.
const mostAtOnce = 5
const leastIntervalMs = 60_000
const mostMembersAsked = 1000

// In memory alone: what is forgotten with the room costs one run more.
const lastMerge = new WeakMap<RoomContext, number>()

/** Has the alarm merge the forward extremities where they have become many. Call after events were received. */
export function mergeSoon(room: RoomContext): void {
  if (forwardExtremities(room).length <= fewEnough || policyServer(room)) return
  const next = (lastMerge.get(room) ?? -Infinity) + leastIntervalMs
  armAlarm(room, Math.max(soonMs, next - room.now()))
}

/** The alarm's part. Whether events were sent. */
export async function mergeExtremities(room: RoomContext): Promise<boolean> {
  if (forwardExtremities(room).length <= fewEnough || !isResident(room)) return false
  // A policy server would have to be asked for each: there the events of our users merge what there is.
  if (policyServer(room)) return false
  if (room.now() - (lastMerge.get(room) ?? -Infinity) < leastIntervalMs) return false
  lastMerge.set(room, room.now())
  const signer = await ensureSigner(room)
  let merged = 0
  while (merged < mostAtOnce && forwardExtremities(room).length > fewEnough) {
    if (!transact(room, () => sendDummy(room, signer))) break
    merged += 1
  }
  // What is left, or came while the key was asked for, is for the next time.
  if (merged > 0) mergeSoon(room)
  return merged > 0
}

function sendDummy(room: RoomContext, signer: Signer): boolean {
  const sender = mostPowerful(room)
  if (sender === undefined) return false
  const place = newEventPlace(room)
  const draft = { type: dummyEventType, sender, content: {} }
  const { event, auth } = buildEvent(room, signer, draft, place)
  if (!authoriseAt(room, event, place).ok) return false
  appendEvent(room, { event, status: eventStatus.accepted, auth, ...place })
  return true
}

/** The local user with the most power: where they may not send it, nobody here may. */
function mostPowerful(room: RoomContext): UserId | undefined {
  const { rules } = identity(room)
  const state = stateLookup(room, currentState(room))
  let best: { readonly userId: UserId; readonly level: number } | undefined
  let asked = 0
  for (const userId of localMembers(room)) {
    const level = userPowerLevel(rules, userId, state)
    if (!best || level > best.level) best = { userId, level }
    asked += 1
    if (asked >= mostMembersAsked) break
  }
  return best?.userId
}
