// Telling D1 in which room an event is: other servers ask for events by their id alone (GET /event/{eventId}). Only rooms
// with other servers in them tell, one row an event: before an event of ours is sent, with all that it builds upon, and before
// others are told of events that they have not. What only others say is left to the alarm, many events at a time.

import { errorMessage, log } from '../log.ts'
import { indexEvents } from '../storage/event-rooms.ts'
import { findIdentity, identity, type RoomContext } from './context.ts'
import { firstOutlier } from './events.ts'
import { hasOtherServers } from './joined-servers.ts'
import { acknowledge, armAlarm, soonMs, toldUpTo } from './outbox.ts'

const eventsPerWrite = 500
const writesPerRun = 4

// Events known as state or auth events alone lie in a range of their own, and so have a cursor of their own.
const ranges = [
  { sink: 'events', lowest: 1, highest: firstOutlier - 1 },
  { sink: 'outliers', lowest: firstOutlier, highest: Number.MAX_SAFE_INTEGER },
] as const

/** Whether D1 knows the room of every event that another server may ask for. */
export function eventIndexIsTold(room: RoomContext): boolean {
  return !hasOtherServers(room) || ranges.every((range) => nextEvents(room, range, 1).length === 0)
}

const writing = new WeakMap<RoomContext, Promise<void>>()

/** Tells D1 the next of the events. Never throws: what fails or is left over is for the alarm. */
export async function tellEventIndex(room: RoomContext): Promise<void> {
  if (!findIdentity(room) || !hasOtherServers(room)) return
  try {
    const running = writing.get(room) ?? write(room).finally(() => writing.delete(room))
    writing.set(room, running)
    await running
  } catch (error) {
    log({ event: 'index_failed', room_id: identity(room).roomId, error: errorMessage(error) })
    armAlarm(room, soonMs)
  }
}

async function write(room: RoomContext): Promise<void> {
  for (let n = 0; n < writesPerRun; n++) {
    const range = ranges.find((candidate) => nextEvents(room, candidate, 1).length > 0)
    if (!range) return
    const events = nextEvents(room, range, eventsPerWrite)
    await indexEvents(
      room.env,
      identity(room).roomId,
      events.map(({ event_id: eventId }) => eventId),
    )
    acknowledge(room, range.sink, events.at(-1)?.eid ?? 0)
  }
  if (!eventIndexIsTold(room)) armAlarm(room, soonMs)
}

function nextEvents(
  room: RoomContext,
  { sink, lowest, highest }: (typeof ranges)[number],
  limit: number,
): { eid: number; event_id: string }[] {
  return room.sql
    .exec<{ eid: number; event_id: string }>(
      'SELECT eid, event_id FROM events WHERE eid BETWEEN ? AND ? AND status <> 2 ORDER BY eid LIMIT ?',
      Math.max(lowest, toldUpTo(room, sink) + 1),
      highest,
      limit,
    )
    .toArray()
}
