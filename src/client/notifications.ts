// Specification: client-server API, "Listing Notifications": GET /notifications.

import * as v from 'valibot'
import { type Env, hubStub, roomStub } from '../env.ts'
import { MatrixError } from '../errors.ts'
import type { App, AppContext } from '../http/app-type.ts'
import { queryParams } from '../http/json-body.ts'
import { requireSession } from '../http/session.ts'
import type { NotificationPage, NotifiedEvent } from '../hub/notifications.ts'
import type { EventId, RoomId } from '../matrix/event.ts'
import type { JsonObject, JsonValue } from '../matrix/json.ts'
import { evaluate } from '../matrix/push-rules/evaluate.ts'
import { readEvent } from '../matrix/push-rules/event-reader.ts'
import type { PushAction, PushRuleset } from '../matrix/push-rules/push-rule.ts'
import type { Viewer } from '../room/client-event.ts'
import type { NotifiedEventText } from '../room/notified-events.ts'
import { countParam, readerOf } from './room-read.ts'

const usualLimit = 20
const largestLimit = 100

const querySchema = v.object({
  from: v.optional(v.string()),
  limit: countParam,
  only: v.optional(v.string()),
})

/** GET /notifications. */
export function notificationRoutes(app: App): void {
  // https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3notifications
  app.get('/_matrix/client/v3/notifications', requireSession(), (c) => listNotifications(c))
}

async function listNotifications(c: AppContext): Promise<Response> {
  const { userId, shard } = c.var.session
  const { from, limit = usualLimit, only } = queryParams(c, querySchema)
  const text = await hubStub(c.env, shard).notifications(userId, {
    ...(from === undefined ? {} : { before: positionOf(from) }),
    limit: Math.min(limit, largestLimit),
    // Nothing else is defined.
    onlyHighlights: only === 'highlight',
  })
  // Written by our own object.
  const page = JSON.parse(text) as NotificationPage
  const found = await eventsOf(c.env, await readerOf(c), page.events)
  return c.json({
    notifications: page.events.flatMap((entry) => {
      const event = found.get(entry.eventId)
      return event ? [notification(userId, page, entry, event)] : []
    }),
    ...(page.next === undefined ? {} : { next_token: `n${page.next}` }),
  })
}

function positionOf(token: string): number {
  const match = /^n(\d{1,15})$/.exec(token)
  if (!match) throw new MatrixError('M_INVALID_PARAM', 400, 'from is not a token of this endpoint')
  return Number(match[1])
}

/** The events that the user may see, each room asked once. */
async function eventsOf(
  env: Env,
  viewer: Viewer,
  entries: readonly NotifiedEvent[],
): Promise<Map<EventId, NotifiedEventText>> {
  const byRoom = new Map<RoomId, EventId[]>()
  for (const { roomId, eventId } of entries) byRoom.set(roomId, [...(byRoom.get(roomId) ?? []), eventId])
  const found = await Promise.all(
    [...byRoom].map(([roomId, eventIds]) => roomStub(env, roomId).notifiedEvents(viewer, eventIds)),
  )
  return new Map(found.flat().map((event) => [event.eventId, event]))
}

function notification(
  userId: string,
  { rules }: Pick<NotificationPage, 'rules'>,
  entry: NotifiedEvent,
  found: NotifiedEventText,
): JsonObject {
  // Written by the room itself.
  const event = JSON.parse(found.text) as JsonObject
  return {
    actions: actionsFor(userId, rules, entry, { ...event, room_id: entry.roomId }, found),
    event,
    read: entry.read,
    room_id: entry.roomId,
    ts: event['origin_server_ts'] ?? 0,
  }
}

// What the rules say of the event now. Where they have changed so much that it would notify nobody, what is known of then.
function actionsFor(
  userId: string,
  rules: PushRuleset,
  { highlight, displayName }: NotifiedEvent,
  event: JsonObject,
  { push }: NotifiedEventText,
): JsonValue[] {
  const { notify, actions } = evaluate(rules, readEvent(event), {
    userId,
    ...(displayName === undefined ? {} : { displayName }),
    memberCount: push.memberCount,
    senderPowerLevel: push.senderPowerLevel,
    notificationLevels: push.notificationLevels,
  })
  const then: PushAction[] = ['notify', ...(highlight ? [{ set_tweak: 'highlight' }] : [])]
  return [...(notify ? actions : then)]
}
