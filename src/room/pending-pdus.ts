// Events of other servers that wait in the room: for the events that they build upon or the signature of the policy server,
// which the EventFetcher asks for, or for the end of the join that brings this server into the room. Their format, signatures and hashes were checked when they
// came. The table is the to-do: nothing of it is lost when a Worker ends, since the room's alarm has it taken up again.
// Specification: server-server API, "Transactions", "Checks performed on receipt of a PDU", "Joining Rooms".

import { eventFetcherStub } from '../env.ts'
import { errorMessage, log } from '../log.ts'
import type { Event, EventId, ServerName } from '../matrix/event.ts'
import { parseEvent } from '../matrix/event-format.ts'
import type { JsonObject } from '../matrix/json.ts'
import { isServerAllowed } from '../matrix/server-acl.ts'
import { transact } from './append.ts'
import { findIdentity, identity, meta, type RoomContext, setMeta } from './context.ts'
import { extremityIds, findEvent } from './events.ts'
import { isResident, otherServers } from './federation-access.ts'
import { armAlarm, soonMs } from './outbox.ts'
import { policyAnswered, policyServer } from './policy-server.ts'
import { missingFor, missingParents, type Receipt, receiveChecked } from './receive-pdu.ts'
import { currentEvent } from './state-at.ts'

// Bounds what a server can make this one keep, and all of them together: up to 64 KiB each.
const mostPerServer = 60
const mostPending = 200
// A join of a large room takes its time; one that nobody took up again after a crash is over.
const longestJoinMs = 6 * 3_600_000
// How long after an attempt that did not help, or ended with the object that made it, comes the next one.
const backOffMs = [30_000, 2 * 60_000, 15 * 60_000, 2 * 3_600_000] as const
const mostPasses = 10

interface PendingRow {
  readonly n: number
  readonly event_id: EventId
  readonly origin: ServerName
  readonly json: string
  readonly attempts: number
  readonly due: number
  readonly [column: string]: SqlStorageValue
}

/** Keeps an event until it can be judged. Whether there was room for it. */
export function keepPending(room: RoomContext, origin: ServerName, event: Event): boolean {
  return transact(room, () => {
    const known = room.sql.exec('SELECT 1 FROM pending_pdus WHERE event_id = ?', event.event_id).toArray()
    if (known.length > 0) return true
    const { all, own } = room.sql
      .exec<{ all: number; own: number | null }>(
        'SELECT count(*) AS "all", sum(origin = ?) AS own FROM pending_pdus',
        origin,
      )
      .one()
    if (all >= mostPending || (own ?? 0) >= mostPerServer) return false
    room.sql.exec(
      'INSERT INTO pending_pdus (event_id, origin, json, attempts, due) VALUES (?, ?, ?, 0, ?)',
      event.event_id,
      origin,
      JSON.stringify(event.pdu),
      room.now(),
    )
    armAlarm(room, soonMs)
    return true
  })
}

/** Notes that the room is being joined: what other servers send meanwhile waits for that. Call inside `transact`. */
export function expectPending(room: RoomContext): void {
  setMeta(room, 'joining', room.now())
}

/** Notes that the room is joined, or that the join came to nothing. Call inside `transact`. */
export function expectNoMore(room: RoomContext): void {
  room.sql.exec("DELETE FROM meta WHERE key = 'joining'")
}

/** Whether the room is being joined. */
export function isJoining(room: RoomContext): boolean {
  if (!findIdentity(room) || isResident(room)) return false
  const since = meta(room, 'joining')
  return typeof since === 'number' && room.now() - since < longestJoinMs
}

/** Judges the waiting events that are complete by now. */
export function retryPending(room: RoomContext): void {
  if (!hasPending(room) || !isResident(room)) return
  const acl = currentEvent(room, 'm.room.server_acl')?.content
  let waiting = rows(room)
    .map((row) => ({ row, event: eventOf(room, row) }))
    .toSorted((a, b) => a.event.depth - b.event.depth || a.row.n - b.row.n)
  // Parents mostly come first; each pass more takes up those for which they did not.
  for (let before = Infinity, passes = 0; waiting.length < before && passes < mostPasses; passes++) {
    before = waiting.length
    waiting = waiting.filter(({ row, event }) => {
      const isOver = !isServerAllowed(acl, row.origin) || findEvent(room, row.event_id) !== undefined
      return transact(room, () => {
        if (!isOver && !isSettled(receiveChecked(room, event))) return true
        forget(room, row)
        return false
      })
    })
  }
}

/** Whether an event waits for nothing any more. */
function isSettled({ outcome }: Receipt): boolean {
  return outcome !== 'incomplete' && outcome !== 'unsigned'
}

function hasPending(room: RoomContext): boolean {
  return room.sql.exec('SELECT 1 FROM pending_pdus LIMIT 1').toArray().length > 0
}

function rows(room: RoomContext): PendingRow[] {
  return room.sql.exec<PendingRow>('SELECT * FROM pending_pdus ORDER BY n').toArray()
}

function eventOf(room: RoomContext, { json, event_id: eventId }: PendingRow): Event {
  // Written by `keepPending` alone, from a checked event.
  return parseEvent(JSON.parse(json) as JsonObject, identity(room).rules, eventId)
}

function forget(room: RoomContext, { n }: PendingRow): void {
  room.sql.exec('DELETE FROM pending_pdus WHERE n = ?', n)
}

/** Events of one server that wait for others, to be fetched now. */
export interface DueEvents {
  /** Whom to ask: who sent them, and at later attempts others in turn. */
  readonly server: ServerName
  readonly extremities: readonly EventId[]
  readonly events: readonly DueEvent[]
}

export interface DueEvent {
  readonly eventId: EventId
  /** The event as JSON text. */
  readonly text: string
  /** What the event lacks: parents whose state is not known, and auth events. */
  readonly parents: readonly EventId[]
  readonly authEvents: readonly EventId[]
  /** Where it lacks nothing else: the policy server to be asked for its signature. */
  readonly policyServer?: ServerName
}

/** An event that something was fetched for, and how much it lacked before. */
export interface TriedEvent {
  readonly eventId: EventId
  readonly lacked: number
}

const mostDue = 20

/**
 * The next events to fetch something for, undefined if there are none now. That counts as an attempt, whatever becomes of the
 * caller.
 */
export function dueEvents(room: RoomContext): DueEvents | undefined {
  if (!findIdentity(room) || !isResident(room)) return undefined
  retryPending(room)
  const due = dueRows(room).filter(({ row }) => {
    // The last attempt ended with who made it.
    if (isLastAttempt(row)) giveUp(room, row)
    return !isLastAttempt(row)
  })
  const [first] = due
  if (!first) return undefined
  const { origin, attempts } = first.row
  const servers = [origin, ...otherServers(room).filter((server) => server !== origin)]
  const batch = due.filter(({ row }) => row.origin === origin && row.attempts === attempts).slice(0, mostDue)
  const next = room.now() + (backOffMs[attempts] ?? backOffMs[0])
  transact(room, () => {
    for (const { row } of batch) {
      room.sql.exec('UPDATE pending_pdus SET attempts = attempts + 1, due = ? WHERE n = ?', next, row.n)
    }
  })
  return {
    server: servers[attempts % servers.length] ?? origin,
    extremities: extremityIds(room).slice(-mostDue),
    events: batch.map(({ event }) => event),
  }
}

/** The rows that are due. What builds upon others that wait comes after them, without asking for them again. */
function dueRows(room: RoomContext): { readonly row: PendingRow; readonly event: DueEvent }[] {
  const waiting = rows(room)
  const pending = new Set(waiting.map((row) => row.event_id))
  return waiting
    .filter(({ due }) => due <= room.now())
    .map((row) => ({ row, event: dueEvent(room, row) }))
    .filter(({ event }) => !event.parents.some((id) => pending.has(id)))
}

function dueEvent(room: RoomContext, row: PendingRow): DueEvent {
  const event = eventOf(room, row)
  const parents = missingParents(room, event)
  const authEvents = missingFor(room, event).filter((id) => event.auth_events.includes(id))
  const due = { eventId: row.event_id, text: row.json, parents, authEvents }
  const via = lacks(due) > 0 ? undefined : policyServer(room)?.via
  return via === undefined ? due : { ...due, policyServer: via }
}

/**
 * Judges those of the events that have what they lacked. The others wait for the next attempt, or are given up: after the last, or
 * where the server has answered and shown nothing. Who sends events without what they build upon is not asked for it again.
 */
export function settleDue(room: RoomContext, tried: readonly TriedEvent[], answered: boolean): void {
  if (!findIdentity(room)) return
  transact(room, () => {
    retryPending(room)
    const lackedBefore = new Map(tried.map(({ eventId, lacked }) => [eventId, lacked]))
    for (const row of rows(room)) {
      const before = lackedBefore.get(row.event_id)
      if (before === undefined) continue
      const due = dueEvent(room, row)
      if (isLastAttempt(row) || (answered && lacks(due) === before)) giveUp(room, row)
      else if (due.policyServer !== undefined && lacks(due) < before) askAtOnce(room, row)
    }
  })
}

/** How much an event lacks: two for each event, and one for the signature that is asked for when all of them are there. */
export function lacks({
  parents,
  authEvents,
  policyServer: via,
}: Omit<DueEvent, 'eventId' | 'text'>): number {
  return 2 * (parents.length + authEvents.length) + (via === undefined ? 0 : 1)
}

// The policy server has not been asked yet.
function askAtOnce(room: RoomContext, { n }: PendingRow): void {
  room.sql.exec('UPDATE pending_pdus SET due = ? WHERE n = ?', room.now(), n)
}

function isLastAttempt({ attempts }: PendingRow): boolean {
  return attempts > backOffMs.length
}

function giveUp(room: RoomContext, row: PendingRow): void {
  const event = eventOf(room, row)
  if (missingFor(room, event).length === 0) return refuseUnsigned(room, row, event)
  forget(room, row)
  log({
    event: 'pdu_refused',
    room_id: identity(room).roomId,
    event_id: row.event_id,
    server: row.origin,
    outcome: 'incomplete',
    rule: 'incomplete',
    reason: 'what the event builds upon cannot be had',
  })
}

// All that it lacks is the signature of the policy server: it is kept, but soft-failed.
function refuseUnsigned(room: RoomContext, row: PendingRow, event: Event): void {
  transact(room, () => {
    policyAnswered(room, row.event_id, null)
    receiveChecked(room, event)
    forget(room, row)
  })
}

/** The alarm's part: has what is due fetched, forgets what waits for nothing any more, and comes again in time. */
export async function resumePending(room: RoomContext): Promise<void> {
  const { roomId } = identity(room)
  if (!hasPending(room)) return
  if (!isResident(room) && !isJoining(room)) {
    room.sql.exec('DELETE FROM pending_pdus')
    return
  }
  // While the room is joined, and while what is due is fetched, there is nothing to do but to look again.
  const isDue = !isJoining(room) && dueRows(room).length > 0
  armAlarm(room, isDue ? backOffMs[0] : untilNextDue(room))
  if (!isDue) return
  try {
    await eventFetcherStub(room.env, roomId).resume(roomId)
  } catch (error) {
    log({ event: 'missing_events_failed', room_id: roomId, server: '', error: errorMessage(error) })
  }
}

function untilNextDue(room: RoomContext): number {
  const { due } = room.sql
    .exec<{ due: number | null }>('SELECT min(due) AS due FROM pending_pdus WHERE due > ?', room.now())
    .one()
  return Math.max(backOffMs[0], (due ?? 0) - room.now())
}
