// What a room tells a Hub shard about each of its events: all that the shard needs to keep its log, evaluate push
// rules and answer those who wait, without asking back.

import type { EventId, RoomId, UserId } from '../matrix/event.ts'
import type { JsonObject } from '../matrix/json.ts'
import type { OtherMember } from './other-members.ts'

export interface RoomNews {
  readonly roomId: RoomId
  /** In the order of the room; repeating what was told before changes nothing. */
  readonly events: readonly EventNews[]
  /** Whether other servers are in the room now. */
  readonly federated?: boolean
  /** Who of other shards and servers was joined before these events, where the shard was told nothing of them. */
  readonly members?: readonly OtherMember[]
  /** What the room is, where the shard may not know it yet. */
  readonly facts?: RoomFacts
}

/** What lists of rooms are filtered by. */
export interface RoomFacts {
  /** The type in the create event; absent for rooms without one. */
  readonly type?: string
  readonly encrypted: boolean
  /** The rooms of a space; absent for other rooms. */
  readonly children?: readonly string[]
  /** The room that it says to replace, and the one that it says to be replaced by. */
  readonly predecessor?: RoomId
  readonly replacement?: RoomId
}

export interface EventNews {
  /** The live end of the room before the event. */
  readonly from: number
  /** The event's position. */
  readonly to: number
  readonly eventId: EventId
  readonly sender: UserId
  /** The event as /sync gives it, without what depends on the viewer; what else depends on them comes beside it. */
  readonly event: JsonObject
  /** The transaction of a local send: only the device that made it is told. */
  readonly transaction?: { readonly userId: string; readonly deviceId: string; readonly txnId: string }
  /** The delay id of an event that was sent with a delay: only the sender is told. */
  readonly delayId?: string
  /** Whether the event changed state other than by its own slot: then a waiting client needs the room's own answer. */
  readonly resolved: boolean
  /** Whether clients are not shown the event: it is told for what it changed alone. */
  readonly hidden?: boolean
  /** The sender's member event, for those who load members lazily. */
  readonly senderMember?: SenderMember
  /** The root of the thread that the event is in, if it is in one. */
  readonly thread?: string
  /** The event that a redaction took back. */
  readonly takenBack?: EventId
  readonly memberships: readonly MembershipNews[]
  /** Users of other servers and other shards who joined or are no longer joined by this event. */
  readonly others?: readonly OtherMember[]
  /** Those who stay and are called otherwise by this event. */
  readonly renamed?: readonly OtherMember[]
  readonly push: PushFacts
}

/** A member event that goes with an event of its user. */
export interface SenderMember {
  /** As /sync gives it to those who may see all that it replaced, but for their membership. */
  readonly event: JsonObject
  /**
   * Where it stands among the memberships of whoever reads it: at a position, and whether those who were not there may see what it
   * replaced; `unknown` to everybody, as what came along with a join; or to be `asked` of the room.
   */
  readonly standing: { readonly at: number; readonly open: boolean } | 'unknown' | 'asked'
}

/** A change of a local user's member event in the room's current state. */
export interface MembershipNews {
  readonly userId: UserId
  readonly prev: string | null
  readonly next: string | null
  readonly displayName?: string
  /** For invites and knocks: the stripped state that the client is shown. */
  readonly stripped?: readonly JsonObject[]
}

/** What push rules and push gateways ask about a room beside the event itself. */
export interface PushFacts {
  readonly memberCount: number
  readonly senderPowerLevel: number
  /** The `notifications` levels of the room's power levels. */
  readonly notificationLevels: { readonly [key: string]: number }
  /** For those who are shown what they were notified of. */
  readonly roomName?: string
  readonly roomAlias?: string
}
