// What sending pushes works on: the pushers of one Hub shard, in memory as they are on disk, and the ways out of it.
// Specification: client-server API, "Push Notifications"; push gateway API.

import type { JsonObject } from '../matrix/json.ts'
import type { Digest } from './email-digest.ts'
import type { GatewayAnswer } from './gateway.ts'

/** A pusher as a client sets it. `data` holds the URL of the gateway, checked when it was set. */
export interface PusherSettings {
  /** By mail, the pushkey being the address; to a gateway where absent. */
  readonly kind?: 'email'
  readonly appId: string
  readonly pushkey: string
  readonly appDisplayName: string
  readonly deviceDisplayName: string
  readonly profileTag?: string
  readonly lang: string
  readonly data: JsonObject
}

/** What is known of a pusher that sends mails. */
export interface EmailStanding {
  /** In the links that end it. */
  readonly secret: string
  /** Rooms that are in no further mail for a while. */
  readonly pauses: Map<number, Pause>
}

export interface Pause {
  /** Milliseconds, as is its length. */
  readonly until: number
  readonly length: number
}

export interface Pusher {
  readonly id: number
  readonly uid: number
  /** The device whose session set it: it goes with that. */
  deviceId: string
  settings: PusherSettings
  email: EmailStanding | undefined
  /** When the client set it last, in seconds. */
  pushkeyTs: number
  failures: number
  /** When to try next, in milliseconds. */
  retryAt: number
  /** Retries that memory alone knows of. */
  quickRetries: number
  /** How many pushes wait on disk. */
  waiting: number
  busy: boolean
  /** Whether it was removed, for what is under way. */
  gone: boolean
}

/** Where an event is said. */
export interface RoomPlace {
  /** The Hub's number of the room, 0 for what nobody reads: invites, and what is no event. */
  readonly rid: number
  /** The position in the room. */
  readonly roomPosition: number
  /** The root of its thread, if it is in one. */
  readonly thread?: string
}

export interface PushDeps {
  readonly sql: SqlStorage
  readonly now: () => number
  readonly random: () => number
  readonly later: (ms: number, run: () => void) => void
  readonly setAlarm: (time: number) => void
  /** Posts to a gateway. Rejects where it cannot be reached. */
  readonly notify: (url: string, body: JsonObject) => Promise<GatewayAnswer>
  /** Sends a mail. Rejects where that fails. */
  readonly mail: (pusher: Pusher, digest: Digest) => Promise<void>
  /** How long something is unread before a mail tells of it, in milliseconds. */
  readonly mailAfterMs: number
  /** How many unread messages a user has. */
  readonly unread: (uid: number) => number
  /** Whether a user has read something that was said in a room. */
  readonly hasRead: (uid: number, place: RoomPlace) => boolean
  /** How many requests may wait at once. */
  readonly connections: number
  /** How soon a gateway is tried again that has failed, at first, in milliseconds. */
  readonly firstBackOffMs: number
  /** How long after a push it is looked for what a crash may have left, in milliseconds. */
  readonly lookAfterMs: number
}

export interface Pushes {
  readonly deps: PushDeps
  /** By user. */
  readonly pushers: Map<number, Pusher[]>
  /** Pushers to be served, in this order. */
  readonly ready: Set<Pusher>
  active: number
  /** How many of the active ones have failed last. */
  activeFailing: number
  /** When the alarm comes, as far as memory knows. */
  alarmAt: number | undefined
  /** Those who wait for all work to be done. */
  idleWaiters: (() => void)[]
}

/** Arms the alarm unless it comes until then anyway: one row written a burst of pushes, not one a push. */
export function armAlarm(pushes: Pushes, time: number): void {
  if (pushes.alarmAt !== undefined && pushes.alarmAt <= time) return
  pushes.alarmAt = time
  pushes.deps.setAlarm(time)
}
