// What the functions of the FederationSender work on: what it needs of the world, and what it keeps in memory.

import type { EventId, RoomId, ServerName } from '../../matrix/event.ts'
import type { JsonObject } from '../../matrix/json.ts'
import type { EduQueue, KeptEdu } from './edus.ts'

export interface TransactionAnswer {
  readonly status: number
  readonly body: JsonObject
}

/** What the sender asks of rooms. */
export interface SenderRooms {
  /** Events in wire form as JSON texts, in the order asked for; null for those that are not there. */
  readonly pduTexts: (roomId: RoomId, eventIds: readonly EventId[]) => Promise<(string | null)[]>
  /** The newest events for a server that has missed those from a position on, as JSON texts. */
  readonly newestFor: (roomId: RoomId, serverName: ServerName, from: number) => Promise<string[]>
  /** The other servers in the room. */
  readonly otherServers: (roomId: RoomId) => Promise<ServerName[]>
}

export interface SenderDeps {
  readonly sql: SqlStorage
  readonly transact: <T>(work: () => T) => T
  readonly serverName: ServerName
  /** Milliseconds. */
  readonly now: () => number
  /** From 0 to 1. */
  readonly random: () => number
  readonly later: (ms: number, run: () => void) => void
  /** Sets the one alarm, which calls `onAlarm` at a time in milliseconds. */
  readonly setAlarm: (time: number) => void
  /** Sends a transaction. Rejects where the server cannot be reached. */
  readonly send: (destination: ServerName, txnId: string, content: JsonObject) => Promise<TransactionAnswer>
  readonly rooms: SenderRooms
  /** Puts messages into the queue of the consumers. Rejects where it takes no more. */
  readonly enqueue: (messages: readonly QueuedWork[]) => Promise<void>
  /** So many destinations to be served at once are left to the consumers. Fewer are served within one call or alarm. */
  readonly queueFrom: number
  /** How many requests to other servers may wait for their answers at once. */
  readonly connections: number
  /** How soon a transaction is tried again at first, in milliseconds: what breaks a single request is often over by then. */
  readonly quickRetriesMs: readonly number[]
  /** How long the back-off from a destination is at first, in milliseconds. */
  readonly firstBackOffMs: number
}

/** A message to the consumers: destinations that one of them may serve. */
export interface QueuedWork {
  readonly lease: number
}

/** The right of one consumer to serve a destination, until a time in milliseconds. In memory alone. */
export interface Lease {
  readonly number: number
  readonly until: number
  /** Whether the consumer has fetched what to send. */
  readonly pulled: boolean
}

/** A row of the outbox. */
export interface OutboxRow {
  readonly slot: number
  readonly roomId: RoomId
  /** How many deliveries of its events are left. */
  left: number
}

/** An event on its way to some destinations. */
export interface OutboxEvent {
  readonly seq: number
  readonly roomId: RoomId
  readonly eventId: EventId
  readonly position: number
  readonly row: OutboxRow
  /** The event in wire form as JSON text, as long as memory has room for it. */
  text: string | undefined
  /** How many deliveries are left. */
  left: number
}

/** A transaction that was sent, or is about to be, and is not acknowledged. */
export interface Flight {
  readonly txn: number
  /** The number of the last event that is done with once the transaction is acknowledged. */
  readonly upTo: number
  /** The content as JSON text. Undefined: to be read from disk. */
  readonly body: string | undefined
  /** Without PDUs it is kept in memory alone. */
  readonly durable: boolean
}

export interface Destination {
  readonly id: number
  readonly name: ServerName
  cursor: number
  flight: Flight | undefined
  /** What comes after the transaction in flight, by number. */
  queue: OutboxEvent[]
  readonly edus: EduQueue
  /** EDUs that must not be lost, in order. */
  readonly kept: Map<string, KeptEdu>
  /** The keys of those that are on disk. */
  readonly keptOnDisk: Set<string>
  /** How often it failed in a row; 0 while all is well. */
  failures: number
  /** How many of the quick retries the transaction in flight has used up, as far as memory knows. */
  quickRetries: number
  failingSince: number
  /** When to try next. */
  retryAt: number
  lastError: string | undefined
  lastSuccess: number
  /** When a transaction was last tried, as far as memory knows. */
  lastTry: number
  /** Whether its backlog was given up for `catch_up`, and not all of that was made good yet. */
  catchingUp: boolean
  /** Room → position of the first event missed there; undefined until read. */
  missed: Map<RoomId, number> | undefined
  /** The rooms whose newest events are being fetched: what comes now must be queued. */
  fetching: ReadonlySet<RoomId>
  /** Whether it is being served, by the sender or by who has the lease. */
  busy: boolean
  lease: Lease | undefined
}

export interface Sender {
  readonly deps: SenderDeps
  readonly destinations: Map<ServerName, Destination>
  readonly byId: Map<number, Destination>
  /** The slots of the outbox that can be overwritten. */
  readonly spareSlots: number[]
  /** Done with as well, but the newest of its room, which tells how far the room has told. Oldest first. */
  readonly restingSlots: Map<RoomId, number>
  /** The newest row of each room. */
  readonly newestRows: Map<RoomId, OutboxRow>
  slots: number
  /** The number of the last event. */
  seq: number
  /** The last transaction. */
  txn: number
  /** How far each room has told, as far as memory knows. */
  readonly toldUpTo: Map<RoomId, number>
  /** Destinations to be served, in this order. */
  readonly ready: Set<Destination>
  active: number
  /** How many the sender has served itself since the last call or alarm. */
  served: number
  /** The number of the last lease. */
  lease: number
  /** When the queue is tried again after it took no more, in milliseconds. */
  queueAgainAt: number
  /** Destinations that do not fail and have a transaction on disk in flight, the oldest transaction first. */
  readonly unacknowledged: Set<Destination>
  /** Those who wait for all work to be done. */
  idleWaiters: (() => void)[]
  alarmAt: number | undefined
  /** The mark that the disk has. */
  writtenMark: number
  /** Characters of event texts in memory. */
  textLength: number
  readonly serversOf: Map<RoomId, { readonly servers: readonly ServerName[]; readonly until: number }>
}

/**
 * The highest transaction up to which all are acknowledged, those of failing destinations aside, whose rows tell
 * themselves.
 */
export function acknowledgedMark({ unacknowledged, txn }: Sender): number {
  const [oldest] = unacknowledged
  return oldest?.flight ? oldest.flight.txn - 1 : txn
}
