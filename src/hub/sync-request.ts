// What a sync asks of the Hub.

import type { UserId } from '../matrix/event.ts'

export interface SyncRequest {
  readonly userId: UserId
  /** Undefined for an application service that acts as none. */
  readonly deviceId?: string
  /** The generation of the device that the session was opened for. */
  readonly generation?: number
  /** Absent for an initial sync. */
  readonly since?: SyncPosition
  /** Every room with its whole state, whatever `since` says. */
  readonly fullState: boolean
  /** Whether rooms that were left come with an initial sync. */
  readonly includeLeave: boolean
  /** Whether messages to the device are left where they are, for streams that have no place for them. */
  readonly eventsOnly?: boolean
  /** The address of the client, where it is known. */
  readonly ip?: string
  /** What the device shows its user to be as long as it syncs. Absent: nothing. */
  readonly setPresence?: 'online' | 'unavailable'
}

/** Where a client has read up to: a position in the log, and one in typing and presence. */
export interface SyncPosition {
  readonly log: number
  readonly ephemeral: number
  /** While an initial sync goes on over several answers: rooms with higher numbers are still to be given. */
  readonly given?: number
  /** While more messages to the device wait than an answer takes: the position in the log that they were given up to. */
  readonly toDevice?: number
}

/** What a message about a device's keys begins with, to a sync that waits; all others are plans, or empty for large ones. */
export const keyCountsMark = 'keys:'

/** What a waiting sync is told with when it goes on from a later position, which follows: there was nothing for it until then. */
export const movedMark = 'moved:'

/** The header that carries a request that waits, as JSON text with what a header cannot hold percent-encoded. */
export const syncRequestHeader = 'Hearth-Sync-Request'

/** The position in the log up to which the device has its messages, undefined where it does not say. */
export function seenToDevice({ since, eventsOnly }: SyncRequest): number | undefined {
  return eventsOnly === true ? undefined : since && (since.toDevice ?? since.log)
}
