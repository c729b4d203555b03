// The bill of design section 8's target: five users in 50 federated rooms with 10,000 events a day, held against the
// daily limits of the free plan. The costs are the measured ones; how people behave is assumed, and printed.

import { readWranglerConfig } from '../scripts/wrangler-config.ts'
import type { Counts } from '../test/support/guard/counters.ts'
import { burst, type Cost } from './costs.ts'

/** What the free plan gives a day. */
export interface Usage {
  readonly workerRequests: number
  readonly doRequests: number
  readonly doRowsWritten: number
  readonly doRowsRead: number
  readonly d1RowsWritten: number
  readonly d1RowsRead: number
}

export const freePlan: Usage = {
  workerRequests: 100_000,
  doRequests: 100_000,
  doRowsWritten: 100_000,
  doRowsRead: 5_000_000,
  d1RowsWritten: 100_000,
  d1RowsRead: 5_000_000,
}

const users = 5
const events = 10_000
const localEvents = 500
const remoteEvents = events - localEvents
const hoursOnline = 8
// Everybody is in all rooms; a poll is answered by an event, or by nothing for 30 seconds.
const wakes = Math.round((events * users * hoursOnline) / 24)
const emptyPolls = users * hoursOnline * 120
const rooms = 50
const secondsPerDay = 86_400
// A room arms its alarm with the first event after the last one.
const alarmSeconds = Number(readWranglerConfig().vars['ROOM_ALARM_SECONDS'])
const alarms = Math.round(rooms * (secondsPerDay / (alarmSeconds + (rooms * secondsPerDay) / events)))

export const assumptions: readonly string[] = [
  `${users} users with one device each, online ${hoursOnline} hours a day, all of them in all 50 rooms`,
  `${events.toLocaleString('en')} events a day, ${localEvents} of them by the local users; each of the others comes in a request of its own`,
  'every event wakes the waiting poll of every user who is online, whose next poll follows at once',
  `events are spread over the day: ${alarms.toLocaleString('en')} times a day a room has no alarm pending and arms one; it then tells the Hub once more what that knows`,
  '100 read receipts, 200 typing notices and 20 pages of history by each user; 2,000 receipts from other servers',
  'not counted: sending to other servers (the design allows 2 Durable Object requests an event and a row for each destination), the keys of other servers, push, to-device messages',
]

interface Item {
  readonly what: string
  readonly times: number
  /** Name of a cost. */
  readonly cost: string
  /** A cost that is part of it and counted elsewhere. */
  readonly less?: string
  readonly workerRequests: number
  /** Requests that follow only where an object was unloaded before. */
  readonly moreDoRequests?: number
}

const items: readonly Item[] = [
  { what: 'messages of local users', times: localEvents, cost: 'message', workerRequests: 1 },
  { what: 'messages from other servers', times: remoteEvents, cost: 'remote message', workerRequests: 1 },
  {
    what: 'alarms of rooms after them',
    times: alarms,
    cost: burst,
    less: 'message',
    workerRequests: 0,
    moreDoRequests: 1,
  },
  {
    what: 'polls woken by them',
    times: wakes,
    cost: 'message and the poll it wakes',
    less: 'message',
    workerRequests: 1,
  },
  { what: 'polls with nothing new', times: emptyPolls, cost: 'poll with nothing new', workerRequests: 1 },
  { what: 'read receipts', times: users * 100 + 2000, cost: 'read receipt', workerRequests: 1 },
  { what: 'typing notices', times: users * 200, cost: 'typing', workerRequests: 1 },
  { what: 'pages of history', times: users * 20, cost: 'page of 100 messages', workerRequests: 1 },
]

export interface Bill {
  readonly lines: readonly { readonly what: string; readonly times: number; readonly usage: Usage }[]
  readonly total: Usage
}

/** The bill of a day. Undefined when a cost it needs was not measured. */
export function dailyBill(costs: readonly Cost[]): Bill | undefined {
  const byName = new Map(costs.map(({ name, counts }) => [name, counts]))
  const lines = []
  for (const { what, times, cost, less, workerRequests, moreDoRequests = 0 } of items) {
    const counts = byName.get(cost)
    const without = less === undefined ? undefined : byName.get(less)
    if (!counts || (less !== undefined && !without)) return undefined
    const usage = usageOf(times, workerRequests, counts, without)
    lines.push({ what, times, usage: { ...usage, doRequests: usage.doRequests + times * moreDoRequests } })
  }
  return { lines, total: lines.map(({ usage }) => usage).reduce(add) }
}

function usageOf(times: number, workerRequests: number, counts: Counts, without?: Counts): Usage {
  const all = (name: keyof Counts) => Math.round(times * (counts[name] - (without?.[name] ?? 0)))
  return {
    workerRequests: times * workerRequests,
    // Twenty messages over a hibernating socket are billed as one request.
    doRequests: all('doRequests') + Math.ceil(all('doMessages') / 20),
    doRowsWritten: all('doRowsWritten'),
    doRowsRead: all('doRowsRead'),
    d1RowsWritten: all('d1RowsWritten'),
    d1RowsRead: all('d1RowsRead'),
  }
}

function add(a: Usage, b: Usage): Usage {
  return {
    workerRequests: a.workerRequests + b.workerRequests,
    doRequests: a.doRequests + b.doRequests,
    doRowsWritten: a.doRowsWritten + b.doRowsWritten,
    doRowsRead: a.doRowsRead + b.doRowsRead,
    d1RowsWritten: a.d1RowsWritten + b.d1RowsWritten,
    d1RowsRead: a.d1RowsRead + b.d1RowsRead,
  }
}
