// What waiting events of a room lack, asked of the servers that sent them, in steps of rising cost. Bounded, whatever other
// servers answer: so many requests a run, and a gap too deep to walk is bridged by the state that the other server gives.
// Specification: server-server API, "Checks performed on receipt of a PDU", "Backfilling and retrieving missing events".

import { config } from '../../config.ts'
import { type Env, roomStub } from '../../env.ts'
import { errorMessage, log } from '../../log.ts'
import type { RoomId } from '../../matrix/event.ts'
import { type DueEvents, lacks } from '../../room/pending-pdus.ts'
import type { UnsignedEvent } from '../../room/policy-server.ts'
import { type Asking, BudgetSpent } from './asking.ts'
import { pullIn } from './bridge-gap.ts'
import { authChainFrom, eventsFrom, missingEventsFrom } from './fetch-events.ts'
import { askPolicyServer } from './policy-signatures.ts'
import { stage } from './stage-events.ts'

// What is left over then is for the next run. At most half as many as a sync may make: each step also asks the room.
const requestsPerRun = 200
// Deeper gaps are left to pagination.
const missingEventsLimit = 50

/** One run: each of the events that are due is either judged by the room or put off. Never throws for what a server does. */
export async function completePending(env: Env, roomId: RoomId): Promise<void> {
  const room = roomStub(env, roomId)
  const budget = { left: Math.min(requestsPerRun, Math.floor(config(env).roomsPerSync / 2)) }
  while (budget.left > 0) {
    const due = await room.dueEvents()
    if (!due) return
    const answered = await complete({ env, roomId, server: due.server, budget }, due)
    const tried = due.events.map((event) => ({ eventId: event.eventId, lacked: lacks(event) }))
    await room.settleDue(tried, answered)
  }
}

/** Whether the server answered all that it was asked. */
async function complete(asking: Asking, due: DueEvents): Promise<boolean> {
  try {
    await askPolicyServer(asking, unsignedOf(due))
    await fetchMissing(asking, due)
    return true
  } catch (error) {
    // The others of this run would need more as well.
    if (error instanceof BudgetSpent) asking.budget.left = 0
    const { roomId, server } = asking
    log({ event: 'missing_events_failed', room_id: roomId, server, error: errorMessage(error) })
    return false
  }
}

function unsignedOf({ events }: DueEvents): UnsignedEvent[] {
  return events.flatMap(({ eventId, text, policyServer: via }) => (via ? [{ eventId, text, via }] : []))
}

async function fetchMissing(asking: Asking, due: DueEvents): Promise<void> {
  const lackParents = due.events.filter(({ parents }) => parents.length > 0)
  if (lackParents.length > 0) {
    // The usual gap: a few events that were sent while we did not listen.
    const missing = await missingEventsFrom(asking, {
      earliest: due.extremities,
      latest: lackParents.map(({ eventId }) => eventId),
      limit: missingEventsLimit,
    })
    // Parents that the server does not show are no reason to believe what it says was before them.
    await pullIn(asking, missing, lackParents)
  }
  for (const event of due.events) if (event.parents.length === 0) await fetchAuthEvents(asking, event)
}

// Where only auth events are missing there is no gap in the timeline.
async function fetchAuthEvents(
  asking: Asking,
  { eventId, authEvents }: DueEvents['events'][number],
): Promise<void> {
  if (authEvents.length === 0) return
  await stage(asking, await authChainFrom(asking, eventId))
  const lacking = await roomStub(asking.env, asking.roomId).unknownEvents(authEvents)
  // One by one as the last resort.
  if (lacking.length > 0) await stage(asking, await eventsFrom(asking, lacking))
}
