// Pushers that send mails: what stays unread for a while is told in one mail, and a room that was in one is in no further
// one for a time, which grows. Specification: client-server API, POST /pushers/set, kind `email`.

import { errorMessage } from '../log.ts'
import { type JsonObject, objectProperty, property, stringProperty } from '../matrix/json.ts'
import { backOff, isWanted, succeeded } from './back-off.ts'
import { armAlarm, type EmailStanding, type Pause, type Pusher, type Pushes } from './context.ts'
import type { PushedEvent, StoredNotification } from './notification.ts'
import { dropPush, type Push, waitingPushes } from './queue.ts'

/** What a mail tells. */
export interface Digest {
  readonly rooms: readonly DigestRoom[]
  /** How many rooms it leaves out. */
  readonly more: number
}

export interface DigestRoom {
  /** Undefined for rooms without one. */
  readonly name: string | undefined
  readonly entries: readonly DigestEntry[]
  /** How many entries it leaves out, of those that came before. */
  readonly more: number
}

export interface DigestEntry {
  readonly sender: string
  readonly text: string
}

const mostRooms = 10
const mostEntries = 5
const longestText = 200
// In times of the first delay: an hour where that is ten minutes.
const firstPause = 6
const growth = 4
const longestPauseMs = 12 * 60 * 60_000

/** An event as it waits for a mail. What is said in encrypted rooms stays there, though it may be legible. */
export function digestNotification(
  pushed: PushedEvent,
  userId: string,
  isEncrypted: boolean,
): StoredNotification {
  const { event, roomId, senderDisplayName, roomName, roomAlias } = pushed
  const room = roomName ?? roomAlias
  return {
    about: {
      room_id: roomId,
      sender: senderDisplayName ?? stringProperty(event, 'sender') ?? '',
      ...(room === undefined ? {} : { room_name: room }),
      text: isEncrypted ? 'an encrypted message' : textOf(event, userId),
    },
  }
}

function textOf(event: JsonObject, userId: string): string {
  const content = objectProperty(event, 'content')
  const invited =
    property(event, 'state_key') === userId && stringProperty(content, 'membership') === 'invite'
  if (invited) return 'an invitation'
  if (property(event, 'type') === 'm.room.encrypted') return 'an encrypted message'
  const body = property(event, 'type') === 'm.room.message' ? stringProperty(content, 'body') : undefined
  if (body === undefined) return 'something new'
  return body.length > longestText ? `${body.slice(0, longestText)}…` : body
}

/** Has a mail come soon enough for what was just queued. */
export function scheduleDigest(pushes: Pushes, pusher: Pusher): void {
  if (pusher.failures > 0) return
  const { now, mailAfterMs } = pushes.deps
  const due = now() + mailAfterMs
  if (pusher.retryAt <= now() || pusher.retryAt > due) pusher.retryAt = due
  armAlarm(pushes, pusher.retryAt)
}

/** Sends a mail with what is unread, if some of it has been for long enough, in a room that was in no mail lately. */
export async function sendDigest(pushes: Pushes, pusher: Pusher, email: EmailStanding): Promise<void> {
  const { now, mail, mailAfterMs } = pushes.deps
  const told = wanted(pushes, pusher).filter(({ rid }) => pausedUntil(email, rid) <= now())
  if (told.some(({ ts }) => ts + mailAfterMs <= now())) {
    try {
      await mail(pusher, digestOf(told))
    } catch (error) {
      if (!pusher.gone) backOff(pushes, pusher, { error: errorMessage(error), gateway: 'mail' })
      return
    }
    if (pusher.gone) return
    for (const push of told) dropPush(pushes, pusher, push)
    pause(pushes, pusher, email, new Set(told.map(({ rid }) => rid)))
    succeeded(pushes, pusher)
  }
  awaitNext(pushes, pusher, email)
}

/** What waits and is of use; the rest is dropped. */
function wanted(pushes: Pushes, pusher: Pusher): Push[] {
  const waiting = waitingPushes(pushes, pusher)
  const useful = waiting.filter((push) => isWanted(pushes, pusher, push))
  for (const push of waiting) if (!useful.includes(push)) dropPush(pushes, pusher, push)
  pusher.waiting = useful.length
  return useful
}

function awaitNext(pushes: Pushes, pusher: Pusher, email: EmailStanding): void {
  const times = waitingPushes(pushes, pusher).map(({ ts, rid }) =>
    Math.max(ts + pushes.deps.mailAfterMs, pausedUntil(email, rid)),
  )
  pusher.waiting = times.length
  if (times.length === 0) {
    pusher.retryAt = 0
    return
  }
  // Not this moment again, whatever the clock says.
  pusher.retryAt = Math.max(Math.min(...times), pushes.deps.now() + 1)
  armAlarm(pushes, pusher.retryAt)
}

// Invitations, which are in no room yet, are few.
function pausedUntil({ pauses }: EmailStanding, rid: number): number {
  return rid === 0 ? 0 : (pauses.get(rid)?.until ?? 0)
}

/** Leaves rooms out of further mails for a while, four times as long as the last time, unless that is long over. */
function pause({ deps }: Pushes, { id }: Pusher, { pauses }: EmailStanding, rids: ReadonlySet<number>): void {
  const now = deps.now()
  for (const [rid, { until }] of pauses) if (until + longestPauseMs < now) pauses.delete(rid)
  for (const rid of rids) {
    if (rid === 0) continue
    const before = pauses.get(rid)
    const length = Math.min(before ? before.length * growth : deps.mailAfterMs * firstPause, longestPauseMs)
    pauses.set(rid, { until: now + length, length })
  }
  deps.sql.exec('UPDATE email_pushers SET pauses = ? WHERE pusher = ?', JSON.stringify([...pauses]), id)
}

/** The pauses of a pusher as they are kept. */
export function readPauses(text: string): Map<number, Pause> {
  // Written by `pause` alone.
  return new Map(JSON.parse(text) as [number, Pause][])
}

function digestOf(told: readonly Push[]): Digest {
  const rooms = new Map<string, { name: string | undefined; entries: DigestEntry[] }>()
  for (const { notification } of told) {
    const { about } = notification
    const id = stringProperty(about, 'room_id') ?? ''
    const room = rooms.get(id) ?? { name: undefined, entries: [] }
    rooms.set(id, room)
    // As it is called by now.
    room.name = stringProperty(about, 'room_name')
    room.entries.push({
      sender: stringProperty(about, 'sender') ?? '',
      text: stringProperty(about, 'text') ?? '',
    })
  }
  return {
    rooms: [...rooms.values()].slice(0, mostRooms).map(({ name, entries }) => ({
      name,
      entries: entries.slice(-mostEntries),
      more: Math.max(0, entries.length - mostEntries),
    })),
    more: Math.max(0, rooms.size - mostRooms),
  }
}
