// What the functions of an AppserviceSender work on: what it needs of the world, and what it keeps in memory.

import type { RoomId, UserId } from '../../matrix/event.ts'
import type { Appservice } from '../registration.ts'
import type { EduQueue } from './edus.ts'

export interface SenderDeps {
  readonly sql: SqlStorage
  readonly transact: <T>(work: () => T) => T
  readonly appservice: Pick<Appservice, 'id' | 'unstableEphemeral'>
  readonly looksAfter: (userId: UserId) => boolean
  /** Milliseconds. */
  readonly now: () => number
  /** From 0 to 1. */
  readonly random: () => number
  readonly later: (ms: number, run: () => void) => void
  /** Sets the one alarm, which calls `onAlarm` at a time in milliseconds. */
  readonly setAlarm: (time: number) => void
  /** Sends a transaction, the body being JSON text. Resolves to the status; rejects where there is none. */
  readonly send: (txnId: string, body: string) => Promise<number>
  /** Asks a room whether the application service is interested in what happens there. */
  readonly isInterested: (roomId: RoomId) => Promise<boolean>
  /** A text that no other life of this object, nor of one in its place, has had. */
  readonly incarnation: string
  /** How long after an event the alarm looks after what a crash may have interrupted, in milliseconds. */
  readonly lookAfterMs: number
}

/** A transaction that was sent, or is about to be, and is not acknowledged. */
export interface Flight {
  readonly txnId: string
  /** The body as JSON text. */
  readonly body: string
  /** Whether it is on disk. Without events it is in memory alone. */
  readonly kept: boolean
}

export interface Interest {
  readonly interested: boolean
  /** Milliseconds. */
  readonly until: number
}

export interface Sender {
  readonly deps: SenderDeps
  flight: Flight | undefined
  /** Whether the disk has a transaction, be it acknowledged. */
  flightOnDisk: boolean
  /** Whether events wait in the outbox. */
  waiting: boolean
  /** The number of the last row of the outbox. */
  seq: number
  /** How many transactions there were in this life. */
  transactions: number
  /** How often the transaction in flight failed in a row. */
  failures: number
  /** When to try next, in milliseconds. */
  retryAt: number
  /** How far each room has told, as far as memory knows. */
  readonly toldUpTo: Map<RoomId, number>
  readonly interests: Map<RoomId, Interest>
  readonly asking: Map<RoomId, Promise<boolean>>
  readonly edus: EduQueue
  /** How many transactions were sent since the last call or alarm. */
  sent: number
  /** The delivery under way. */
  serving: Promise<void> | undefined
  alarmAt: number | undefined
}

/** Whether there is something to do that must not be lost. */
export function hasKeptWork({ flight, waiting }: Sender): boolean {
  return waiting || flight?.kept === true
}

/** Arms the alarm unless it comes until then anyway: a row each time. */
export function armAlarm(sender: Sender, time: number): void {
  if (sender.alarmAt !== undefined && sender.alarmAt <= time) return
  sender.alarmAt = time
  sender.deps.setAlarm(time)
}
