// What the guard counts and what it found. One isolate runs the Worker and all its Durable Objects here, so module
// scope sees everything; the test reads it over HTTP, see guarded-entry.ts.

import { AsyncLocalStorage } from 'node:async_hooks'

export interface Counts {
  /** RPC calls, fetches and alarms that Durable Objects answered: what is billed as requests. */
  doRequests: number
  /** Messages that came in over hibernatable WebSockets: 20 of them are billed as one request. */
  doMessages: number
  doRowsWritten: number
  doRowsRead: number
  d1Queries: number
  d1RowsWritten: number
  /** A lower bound: what a SELECT through `raw()` scanned is not told, only what it returned. */
  d1RowsRead: number
  r2Operations: number
  /** Three a message. */
  queueOperations: number
  /** Outbound requests to other servers. */
  fetches: number
  /** All calls that leave a Worker request or a Durable Object call: bindings and fetches. */
  subrequests: number
}

export interface GuardReport {
  readonly counts: Counts
  /** Requests and rows written by class, such as `Room`. */
  readonly byClass: Record<string, { requests: number; rowsWritten: number; rowsRead: number }>
  /** Limits of every plan that were broken. */
  readonly violations: string[]
  /** The invocation with the most subrequests, to hold against the 50 of the free plan. */
  readonly mostSubrequests: { invocation: string; subrequests: number }
  /** Calls that are still going on, those that wait for a long poll aside. */
  readonly active: number
  /** When alarms of Durable Objects come, or came just now, in milliseconds since the epoch. */
  readonly alarms: number[]
}

/** One Worker request, or one call of a Durable Object. */
export interface Invocation {
  readonly name: string
  /** The Durable Object that answers; undefined for the Worker. */
  readonly object?: object
  subrequests: number
  d1Queries: number
}

export const counts: Counts = {
  doRequests: 0,
  doMessages: 0,
  doRowsWritten: 0,
  doRowsRead: 0,
  d1Queries: 0,
  d1RowsWritten: 0,
  d1RowsRead: 0,
  r2Operations: 0,
  queueOperations: 0,
  fetches: 0,
  subrequests: 0,
}
const byClass: GuardReport['byClass'] = {}
const violations: string[] = []
let mostSubrequests = { invocation: 'none', subrequests: 0 }
let active = 0
// An alarm that is set takes the place of the object's last one.
const alarms = new Map<object, number>()

const invocations = new AsyncLocalStorage<Invocation>()

/** The invocation that the caller runs in. */
export function currentInvocation(): Invocation | undefined {
  return invocations.getStore()
}

/** Runs something as an invocation of its own. */
export function invoke<T>(name: string, object: object | undefined, run: () => T): T {
  const invocation: Invocation = { name, subrequests: 0, d1Queries: 0, ...(object && { object }) }
  return invocations.run(invocation, run)
}

/** Counts as active until the promise is settled. */
export async function whileActive<T>(promise: Promise<T>): Promise<T> {
  active += 1
  try {
    return await promise
  } finally {
    active -= 1
  }
}

/** The figures of one class of Durable Objects. */
export function classCounts(name: string): GuardReport['byClass'][string] {
  return (byClass[name] ??= { requests: 0, rowsWritten: 0, rowsRead: 0 })
}

/** Notes when the alarm of an object comes. */
export function noteAlarm(object: object, time: number): void {
  alarms.set(object, time)
}

/** Notes a call that leaves the current invocation. */
export function countSubrequest(what: string): void {
  counts.subrequests += 1
  const invocation = currentInvocation()
  if (!invocation) return
  invocation.subrequests += 1
  if (invocation.subrequests > mostSubrequests.subrequests) {
    mostSubrequests = { invocation: invocation.name, subrequests: invocation.subrequests }
  }
  if (invocation.subrequests === 10_001) violate(`more than 10,000 subrequests, the last to ${what}`)
}

/** Notes that a limit of the platform was broken, and throws, as the platform would. */
export function violate(what: string): never {
  const violation = `${currentInvocation()?.name ?? 'outside of a request'}: ${what}`
  violations.push(violation)
  throw new Error(`platform limit: ${violation}`)
}

/** All that was counted so far. */
export function report(): GuardReport {
  const times = [...alarms.values()]
  return { counts: { ...counts }, byClass, violations, mostSubrequests, active, alarms: times }
}
