// What a sliding sync asks of the Hub. The two forms of the API on the wire are parsed into this one.
// Specification: MSC4186 (simplified sliding sync), "Request Body".

import type { RoomId, UserId } from '../matrix/event.ts'
import type { RequiredState } from '../matrix/required-state.ts'
import type { SlidingPosition } from './sliding-sync-position.ts'

export interface SlidingSyncRequest {
  /** Tells it from the request of a v3 sync. */
  readonly sliding: true
  readonly userId: UserId
  readonly deviceId: string
  /** The generation of the device that the session was opened for. */
  readonly generation: number
  /** The address of the client, where it is known. */
  readonly ip?: string
  /** What the device shows its user to be as long as it syncs. Absent: nothing. */
  readonly setPresence?: 'online' | 'unavailable'
  readonly connId: string
  /** Absent for the first request of a connection. */
  readonly pos?: SlidingPosition
  /** The state of the connection that the client has, where the Worker has gone on from there by itself. */
  readonly held?: number
  /** The distinct wishes for state; room configs name them by their places in this list. */
  readonly required: readonly RequiredState[]
  readonly lists: readonly RoomList[]
  readonly subscriptions: readonly RoomSubscription[]
  readonly extensions: SlidingExtensions
}

export interface RoomConfig {
  readonly timelineLimit: number
  /** A place in the request's list. */
  readonly required: number
}

export interface RoomList extends RoomConfig {
  readonly name: string
  /** Both ends included; absent: all rooms. */
  readonly ranges?: readonly (readonly [number, number])[]
  readonly filters?: RoomListFilters
}

export interface RoomSubscription extends RoomConfig {
  readonly roomId: RoomId
}

/** Absent filters let everything through. */
export interface RoomListFilters {
  readonly isDm?: boolean
  readonly spaces?: readonly string[]
  readonly isEncrypted?: boolean
  readonly isInvited?: boolean
  /** null: rooms without a type. */
  readonly roomTypes?: readonly (string | null)[]
  readonly notRoomTypes?: readonly (string | null)[]
  readonly tags?: readonly string[]
  readonly notTags?: readonly string[]
}

/** What is asked for beside rooms. Absent: not asked for. */
export interface SlidingExtensions {
  readonly toDevice?: { readonly since?: number; readonly limit?: number }
  readonly e2ee?: true
  readonly accountData?: ExtensionRooms
  readonly receipts?: ExtensionRooms
  readonly typing?: ExtensionRooms
  readonly threadSubscriptions?: { readonly limit: number }
}

/** The rooms that an extension is about, as lists and room ids; `*` and absence stand for all lists or subscriptions. */
export interface ExtensionRooms {
  readonly lists?: readonly string[]
  readonly rooms?: readonly string[]
}

/** What a message to a sliding sync that waits begins with when it says where the client stands while nothing happens. */
export const idleMark = 'idle:'

/** The message to a sliding sync that waits while its client has sent another request. */
export const supersededMark = 'superseded'
