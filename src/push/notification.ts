// What a push gateway is told. Specification: push gateway API, POST /_matrix/push/v1/notify.

import type { EventId, RoomId } from '../matrix/event.ts'
import { type JsonObject, objectProperty, property, stringProperty } from '../matrix/json.ts'
import { tweaks } from '../matrix/push-rules/evaluate.ts'
import type { PushAction } from '../matrix/push-rules/push-rule.ts'
import type { Pusher, PusherSettings } from './context.ts'

/** An event that somebody is to be notified of. */
export interface PushedEvent {
  readonly eventId: EventId
  readonly roomId: RoomId
  /** As clients see it. */
  readonly event: JsonObject
  readonly senderDisplayName?: string
  readonly roomName?: string
  readonly roomAlias?: string
}

/** A notification as it waits: without the counts and the device, which are those of the moment it is sent in. */
export interface StoredNotification {
  /** Absent where there is nothing but a new count. */
  readonly about?: JsonObject
  readonly tweaks?: JsonObject
}

/** The notification of an event for one user, as a pusher wants it. */
export function storedNotification(
  { data }: PusherSettings,
  pushed: PushedEvent,
  userId: string,
  actions: readonly PushAction[],
): StoredNotification {
  const tweaked = tweaks(actions)
  const ids = { event_id: pushed.eventId, room_id: pushed.roomId, prio: priority(pushed.event, tweaked) }
  const whole = property(data, 'format') !== 'event_id_only'
  return { about: whole ? { ...ids, ...described(pushed, userId) } : ids, tweaks: tweaked }
}

function described(pushed: PushedEvent, userId: string): JsonObject {
  const { event, senderDisplayName, roomName, roomAlias } = pushed
  const type = stringProperty(event, 'type') ?? ''
  return {
    type,
    sender: stringProperty(event, 'sender') ?? '',
    ...(senderDisplayName === undefined ? {} : { sender_display_name: senderDisplayName }),
    ...(roomName === undefined ? {} : { room_name: roomName }),
    ...(roomAlias === undefined ? {} : { room_alias: roomAlias }),
    ...(type === 'm.room.member' ? { user_is_target: property(event, 'state_key') === userId } : {}),
    content: objectProperty(event, 'content') ?? {},
  }
}

// What makes itself heard or seen must not wait for the phone to wake; of what is encrypted nobody here knows.
function priority(event: JsonObject, tweaked: JsonObject): string {
  const loud = property(tweaked, 'sound') !== undefined || property(tweaked, 'highlight') === true
  return loud || property(event, 'type') === 'm.room.encrypted' ? 'high' : 'low'
}

/** The body of the request that carries a notification to a pusher. */
export function notifyBody(
  { settings, pushkeyTs }: Pick<Pusher, 'settings' | 'pushkeyTs'>,
  { about, tweaks: tweaked }: StoredNotification,
  unread: number,
): JsonObject {
  // The whole of it without the URL, custom keys and all.
  const { url: _, ...data } = settings.data
  const device: JsonObject = {
    app_id: settings.appId,
    pushkey: settings.pushkey,
    pushkey_ts: pushkeyTs,
    data,
    ...(tweaked ? { tweaks: tweaked } : {}),
  }
  // Counts of zero are left out, but where a new count is all there is to say: gateways take what is absent for
  // unchanged, and the badge would stay.
  const counts: JsonObject = about && unread === 0 ? {} : { unread }
  return { notification: { ...(about ?? { prio: 'low' }), counts, devices: [device] } }
}
