// What a client of sliding sync has to be told: its lists, the rooms of them in which there is something new to it, and
// what else it asks for. The other rendering of the log beside v3 sync: the Worker puts the answer together.
// Specification: MSC4186 (simplified sliding sync).

import type { HubContext } from './context.ts'
import { ignoredUsers } from './account-data.ts'
import { ephemeralSequence } from './ephemeral.ts'
import { internUser } from './interned.ts'
import { keyCounts, type KeyCounts } from './one-time-keys.ts'
import { lastLook, rememberLook } from './sliding-sync-look.ts'
import { keepSent, type SentRoom, type SentState, sentAt } from './sliding-sync-connection.ts'
import { type ExtensionNews, extensionNews, tellsAnything } from './sliding-sync-extensions.ts'
import type { SlidingPosition } from './sliding-sync-position.ts'
import type { SlidingSyncRequest } from './sliding-sync-request.ts'
import { asksRoom, type RoomScope, roomUpdate, type SlidingRoom } from './sliding-sync-room.ts'
import { type WantedRooms, wantedRooms } from './sliding-sync-rooms.ts'
import { wishesOf } from './sliding-sync-wishes.ts'

export interface SlidingPlan {
  /** Nothing to tell: the client may wait. */
  readonly idle: boolean
  readonly next: SlidingPosition
  /** How many rooms each list has. */
  readonly counts: Readonly<Record<string, number>>
  readonly rooms: readonly SlidingRoom[]
  readonly extensions: ExtensionNews
  readonly keyCounts: KeyCounts
  /** Users whose messages are not shown to this one. */
  readonly ignored: readonly string[]
}

/**
 * The plan for a sliding sync as of now. Notes what it sends where that changes what the client has; an idle answer
 * writes nothing, and costs no query where nothing happened since the last. M_UNKNOWN_POS.
 */
export function planSlidingSync(hub: HubContext, request: SlidingSyncRequest): SlidingPlan {
  const uid = internUser(hub, request.userId)
  const look = lastLook(hub, uid, request)
  if (look) return idlePlan(hub, uid, request, look.counts, request.pos?.log ?? look.upTo)
  const sent = sentAt(hub, uid, request)
  const upTo = hub.position
  const wanted = wantedRooms(hub, uid, request, sent)
  const { rooms, updates, caughtUp, left } = roomUpdates(
    { hub, uid, request, upTo, wishes: wishesOf(request) },
    sent,
    wanted,
  )
  const extensions = extensionNews({
    hub,
    uid,
    request,
    wanted,
    rooms,
    hasAccountData: sent.accountData,
    hasThreads: sent.threads,
    caughtUp,
    upTo,
  })
  const next: SentState = {
    rooms,
    accountData: request.extensions.accountData !== undefined,
    threads: request.extensions.threadSubscriptions !== undefined,
  }
  const changed = !isSame(sent, next)
  if (request.pos && updates.length === 0 && !tellsAnything(extensions)) {
    // What must be noted is noted with the next answer: until then the client stays where it is.
    const log = changed ? request.pos.log : upTo
    rememberLook(hub, uid, request, {
      state: request.pos.state,
      from: request.pos.log,
      upTo,
      counts: wanted.counts,
    })
    return idlePlan(hub, uid, request, wanted.counts, log)
  }
  const state = changed || !request.pos ? keepSent(hub, uid, request, next) : request.pos.state
  // Messages to the device come again until they are acknowledged.
  if (left === 0 && !extensions.toDevice?.events.length) {
    rememberLook(hub, uid, request, { state, from: upTo, upTo, counts: wanted.counts })
  }
  return {
    idle: false,
    next: { state, log: upTo, ephemeral: ephemeralSequence(hub) },
    counts: wanted.counts,
    rooms: updates,
    extensions,
    keyCounts: keyCounts(hub, uid, request.deviceId),
    ignored: ignoredUsers(hub, uid),
  }
}

function idlePlan(
  hub: HubContext,
  uid: number,
  request: SlidingSyncRequest,
  counts: SlidingPlan['counts'],
  log: number,
): SlidingPlan {
  const { toDevice } = request.extensions
  return {
    idle: true,
    next: { state: request.pos?.state ?? 0, log, ephemeral: ephemeralSequence(hub) },
    counts,
    rooms: [],
    extensions: toDevice ? { toDevice: { nextBatch: toDevice.since ?? log, events: [] } } : {},
    keyCounts: keyCounts(hub, uid, request.deviceId),
    ignored: [],
  }
}

/**
 * What there is to tell of the rooms that are asked for, what the client has with it, and how many rooms had to be left for
 * the next answer since this one can ask no more of them.
 */
function roomUpdates(
  scope: RoomScope,
  sent: SentState,
  wanted: WantedRooms,
): { rooms: Map<number, SentRoom>; updates: SlidingRoom[]; caughtUp: Set<number>; left: number } {
  const rooms = new Map(sent.rooms)
  const updates: SlidingRoom[] = []
  const caughtUp = new Set<number>()
  let asked = 0
  let left = 0
  for (const one of wanted.rooms.values()) {
    const update = roomUpdate(scope, one, sent.rooms.get(one.room.rid))
    if (!update) continue
    if (asksRoom(update.room)) asked += 1
    if (asked > scope.hub.roomsPerSync && asksRoom(update.room)) {
      left += 1
      continue
    }
    const { rid } = one.room
    updates.push(update.room)
    if (update.room.initial || sent.rooms.get(rid)?.behind !== undefined) caughtUp.add(rid)
    rooms.set(rid, update.sent)
  }
  const told = new Set(updates.map(({ rid }) => rid))
  // Where there are news that were not told, the client is behind from here on.
  for (const [rid, room] of sent.rooms) {
    const since = scope.request.pos?.log ?? 0
    const newest = wanted.newest.get(rid) ?? 0
    if (!told.has(rid) && room.behind === undefined && newest > since)
      rooms.set(rid, { ...room, behind: since })
  }
  return { rooms, updates, caughtUp, left }
}

function isSame(before: SentState, after: SentState): boolean {
  if (before.accountData !== after.accountData || before.threads !== after.threads) return false
  if (before.rooms.size !== after.rooms.size) return false
  for (const [rid, room] of after.rooms) {
    const known = before.rooms.get(rid)
    if (known !== room && JSON.stringify(known) !== JSON.stringify(room)) return false
  }
  return true
}
