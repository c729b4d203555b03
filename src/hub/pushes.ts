// Pushes of this shard's users: which events and which reading lead to one, and what sending them (src/push) has to know.
// Users without pushers cost nothing. Specification: client-server API, "Push Notifications".

import { config } from '../config.ts'
import { MatrixError } from '../errors.ts'
import { digestMail } from '../mail/digest-mail.ts'
import { requireMail, sendMail, unsubscribePath } from '../mail/send-mail.ts'
import { canonicalEmail } from '../matrix/email-address.ts'
import type { RoomId, UserId } from '../matrix/event.ts'
import { objectProperty, stringProperty } from '../matrix/json.ts'
import type { PushAction } from '../matrix/push-rules/push-rule.ts'
import { armAlarm, type Pusher, type PusherSettings, type Pushes } from '../push/context.ts'
import { markReady, pump, resume, whenIdle } from '../push/deliver.ts'
import { type Digest, digestNotification, scheduleDigest } from '../push/email-digest.ts'
import { notifyGateway } from '../push/gateway.ts'
import { type PushedEvent, type StoredNotification, storedNotification } from '../push/notification.ts'
import { isFor, mostPushers, openPushes, pushersOf, removePushers, setPusher } from '../push/pushers.ts'
import { dropWaiting, hasBadgeWaiting, isWaitingAt, queuePush, wasQueued } from '../push/queue.ts'
import { wakeAt } from './alarm.ts'
import type { HubContext } from './context.ts'
import { deviceGeneration } from './devices.ts'
import { internUser, userIdOf } from './interned.ts'
import { factsOf } from './room-facts.ts'
import type { EventNews } from './room-news.ts'
import { whatIsRead } from './unread.ts'
import { unreadTotal } from './unread-total.ts'

/** A user whom an event is to be pushed to. */
export interface PushTarget {
  readonly uid: number
  /** What the rule that matched wants done. */
  readonly actions: readonly PushAction[]
}

/** The session that sets a pusher. */
export interface PusherOwner {
  readonly userId: UserId
  readonly deviceId: string
  readonly generation: number
}

const opened = new WeakMap<HubContext, Pushes>()

function pushesOf(hub: HubContext): Pushes {
  const known = opened.get(hub)
  if (known) return known
  const { mail, roomAlarmMs, senderBackOffMs, senderConnections } = config(hub.env)
  const fresh = openPushes({
    sql: hub.sql,
    now: hub.now,
    random: Math.random,
    later: (ms, run) => void setTimeout(run, ms),
    setAlarm: (time) => wakeAt(hub, time),
    notify: (url, body) => notifyGateway(hub.env, url, body),
    mail: (pusher, digest) => mailDigest(hub, pusher, digest),
    mailAfterMs: mail?.notifyAfterMs ?? 0,
    unread: (uid) => unreadTotal(hub, uid),
    hasRead: (uid, { rid, roomPosition, thread }) => whatIsRead(hub, uid, rid)(thread, roomPosition),
    connections: senderConnections,
    firstBackOffMs: senderBackOffMs,
    lookAfterMs: roomAlarmMs,
  })
  opened.set(hub, fresh)
  // What an earlier life of this object has left: not within whatever transaction asks now.
  queueMicrotask(() => work(hub, fresh, resume))
  return fresh
}

function work(hub: HubContext, pushes: Pushes, run: (pushes: Pushes) => void): void {
  run(pushes)
  hub.waitUntil(whenIdle(pushes))
}

/** The alarm: sends what is due, and what a crash has left. */
export function onPushAlarm(hub: HubContext): void {
  const pushes = pushesOf(hub)
  pushes.alarmAt = undefined
  work(hub, pushes, resume)
}

/** Whether a user has pushers. */
export function hasPushers(hub: HubContext, uid: number): boolean {
  return pushersOf(pushesOf(hub), uid).length > 0
}

/** Whether anything is pushed to a user: one with pushers, whose account is not locked. */
export function isPushedTo(hub: HubContext, uid: number): boolean {
  if (!hasPushers(hub, uid)) return false
  return hub.sql.exec('SELECT 1 FROM locked_users WHERE uid = ?', uid).toArray().length === 0
}

/** Forgets what waits to be pushed to a user. */
export function dropWaitingPushes(hub: HubContext, uid: number): void {
  const pushes = pushesOf(hub)
  for (const pusher of pushersOf(pushes, uid)) dropWaiting(pushes, pusher)
}

/** The pushers of a user, the oldest first. */
export function listPushers(hub: HubContext, uid: number): PusherSettings[] {
  return pushersOf(pushesOf(hub), uid).map(({ settings }) => settings)
}

/**
 * Sets a pusher for a session, and removes those of other users of this shard for the same app and pushkey unless it is one
 * to be added. M_UNKNOWN_TOKEN where the device is gone, M_INVALID_PARAM for one too many.
 */
export function setUserPusher(
  hub: HubContext,
  { userId, deviceId, generation }: PusherOwner,
  settings: PusherSettings,
  append: boolean,
): void {
  const uid = internUser(hub, userId)
  // Logged out meanwhile: nobody would remove the pusher any more.
  if (deviceGeneration(hub, uid, deviceId) !== generation) {
    throw new MatrixError('M_UNKNOWN_TOKEN', 401, 'Unknown access token')
  }
  const pushes = pushesOf(hub)
  if (!setPusher(pushes, uid, deviceId, settings)) {
    throw new MatrixError('M_INVALID_PARAM', 400, `A user may have ${mostPushers} pushers`)
  }
  if (!append) removePushers(pushes, (pusher) => pusher.uid !== uid && isFor(pusher, settings))
}

/** Removes the pushers of a user, or of anyone, for an app and a pushkey. */
export function dropPusher(
  hub: HubContext,
  settings: Pick<PusherSettings, 'appId' | 'pushkey'>,
  userId?: UserId,
): void {
  const uid = userId === undefined ? undefined : internUser(hub, userId)
  removePushers(
    pushesOf(hub),
    (pusher) => (uid === undefined || pusher.uid === uid) && isFor(pusher, settings),
  )
}

/** Removes the pushers that sessions of some devices have set. */
export function dropPushersOf(hub: HubContext, uid: number, deviceIds: readonly string[]): void {
  if (!hasPushers(hub, uid)) return
  const gone = new Set(deviceIds)
  removePushers(pushesOf(hub), (pusher) => pusher.uid === uid && gone.has(pusher.deviceId))
}

/** Removes the pushers of a user that send mails to an address, or the one whose mails carry a secret. */
export function dropEmailPushers(
  hub: HubContext,
  userId: UserId,
  which: { readonly address: string } | { readonly secret: string },
): void {
  const uid = internUser(hub, userId)
  const isMeant = ({ email, settings }: Pusher) =>
    'secret' in which ? email?.secret === which.secret : canonicalEmail(settings.pushkey) === which.address
  removePushers(
    pushesOf(hub),
    (pusher) => pusher.uid === uid && pusher.email !== undefined && isMeant(pusher),
  )
}

async function mailDigest(hub: HubContext, { email, uid, settings }: Pusher, digest: Digest): Promise<void> {
  const query = new URLSearchParams({ user: userIdOf(hub, uid), token: email?.secret ?? '' }).toString()
  const unsubscribe = `${requireMail(hub.env).baseUrl}${unsubscribePath}?${query}`
  // Checked when it was set.
  const address = canonicalEmail(settings.pushkey) ?? settings.pushkey
  await sendMail(hub.env, await digestMail(hub.serverName, address, digest, unsubscribe))
}

/** What is pushed of an event. */
export interface PushNews extends Pick<
  EventNews,
  'eventId' | 'event' | 'senderMember' | 'memberships' | 'push'
> {
  /** The position in the room. */
  readonly to: number
  readonly thread?: string
}

/**
 * Writes down what is to be pushed of an event, in the transaction that applies it. `startPushes` must be told of what it
 * answers once that is committed.
 */
export function queueNews(
  hub: HubContext,
  { position, rid }: { readonly position: number; readonly rid: number },
  roomId: RoomId,
  news: PushNews,
  targets: readonly PushTarget[],
): Pusher[] {
  if (targets.length === 0) return []
  const pushed = pushedEvent(roomId, news)
  // Nobody reads a room that they are only invited to.
  const isInvite = news.memberships.some(({ next }) => next === 'invite')
  const { thread, to: roomPosition } = news
  const place = { rid: isInvite ? 0 : rid, roomPosition, ...(thread === undefined ? {} : { thread }) }
  const pushes = pushesOf(hub)
  return targets.flatMap(({ uid, actions }) => {
    const pushers = pushersOf(pushes, uid)
    for (const pusher of pushers) {
      const userId = userIdOf(hub, uid)
      const notification = pusher.email
        ? digestNotification(pushed, userId, factsOf(hub, rid).encrypted)
        : storedNotification(pusher.settings, pushed, userId, actions)
      queuePush(pushes, pusher, { ...place, position, ts: hub.now(), notification })
    }
    return pushers
  })
}

/** An event as a gateway is told of it. */
function pushedEvent(roomId: RoomId, { eventId, event, senderMember, push }: PushNews): PushedEvent {
  const displayName = stringProperty(objectProperty(senderMember?.event, 'content'), 'displayname')
  const { roomName, roomAlias } = push
  return {
    eventId,
    roomId,
    event,
    ...(displayName === undefined ? {} : { senderDisplayName: displayName }),
    ...(roomName === undefined ? {} : { roomName }),
    ...(roomAlias === undefined ? {} : { roomAlias }),
  }
}

/** Sends what was written down. */
export function startPushes(hub: HubContext, queued: readonly Pusher[]): void {
  if (queued.length === 0) return
  const pushes = pushesOf(hub)
  for (const pusher of queued) {
    wasQueued(pushes, pusher)
    if (pusher.email) scheduleDigest(pushes, pusher)
    else markReady(pushes, pusher)
  }
  if (queued.some(({ email }) => !email)) armAlarm(pushes, hub.now() + pushes.deps.lookAfterMs)
  work(hub, pushes, pump)
}

const newCount: StoredNotification = {}

/** Tells the pushers of a user that there is less to be read than there was, if there is. */
export function pushCount(hub: HubContext, uid: number, before: number): void {
  const pushes = pushesOf(hub)
  if (unreadTotal(hub, uid) >= before) return
  const { position } = hub
  // A count that waits will be that of the moment it is sent in, as will that of a push of the last event, whose place it is.
  const pushers = pushersOf(pushes, uid).filter(
    (pusher) => !pusher.email && !hasBadgeWaiting(pushes, pusher) && !isWaitingAt(pushes, pusher, position),
  )
  const push = { position, ts: hub.now(), rid: 0, roomPosition: 0, notification: newCount }
  for (const pusher of pushers) queuePush(pushes, pusher, push)
  startPushes(hub, pushers)
}
