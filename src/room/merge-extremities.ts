// Forks that nobody merges pile up where only other servers talk: each event would be resolved with all of them. Beyond some
// number, an event that says nothing is sent to merge them, on behalf of a local user who may send it. Bounded and not often:
// the forks may be made on purpose. Where no local user may send events, nothing can be done.
// Needs no power of its own: the level of `org.matrix.dummy_event` in the room's power levels, else `events_default`.

import { MatrixError } from '../errors.ts'
import type { UserId } from '../matrix/event.ts'
import { userPowerLevel } from '../matrix/power-levels.ts'
import { transact } from './append.ts'
import { ensureSigner, identity, type RoomContext, type Signer } from './context.ts'
import { dummyEventType } from './dummy-event.ts'
import { forwardExtremities } from './events.ts'
import { isResident } from './federation-access.ts'
import { armAlarm, soonMs } from './outbox.ts'
import { PolicySignatureMissing } from './policy-server.ts'
import { localMembers } from './restricted-join.ts'
import { appendDraft } from './send-event.ts'
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
  if (forwardExtremities(room).length <= fewEnough) return
  const next = (lastMerge.get(room) ?? -Infinity) + leastIntervalMs
  armAlarm(room, Math.max(soonMs, next - room.now()))
}

/** The alarm's part. Whether events were sent. Throws PolicySignatureMissing. */
export async function mergeExtremities(room: RoomContext): Promise<boolean> {
  if (forwardExtremities(room).length <= fewEnough || !isResident(room)) return false
  if (room.now() - (lastMerge.get(room) ?? -Infinity) < leastIntervalMs) return false
  const signer = await ensureSigner(room)
  const sent = mergeSome(room, signer)
  // Only now: where the policy server has to be asked first, the same is tried again at once.
  lastMerge.set(room, room.now())
  // What is left, or came while the key was asked for, is for the next time.
  if (sent) mergeSoon(room)
  return sent
}

function mergeSome(room: RoomContext, signer: Signer): boolean {
  let merged = 0
  while (merged < mostAtOnce && forwardExtremities(room).length > fewEnough) {
    if (!transact(room, () => sendDummy(room, signer))) break
    merged += 1
  }
  return merged > 0
}

function sendDummy(room: RoomContext, signer: Signer): boolean {
  const sender = mostPowerful(room)
  if (sender === undefined) return false
  try {
    appendDraft(room, signer, { type: dummyEventType, sender, content: {} })
    return true
  } catch (error) {
    const isRefused = error instanceof MatrixError && !(error instanceof PolicySignatureMissing)
    if (isRefused && error.errcode === 'M_FORBIDDEN') return false
    throw error
  }
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
