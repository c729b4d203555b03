// Specification: client-server API, "Receipts", "Read and unread markers".

import * as v from 'valibot'
import { hubStub, roomStub } from '../env.ts'
import { MatrixError } from '../errors.ts'
import type { App, AppContext } from '../http/app-type.ts'
import { jsonBody, jsonObject } from '../http/json-body.ts'
import { requireSession } from '../http/session.ts'
import type { EventId, RoomId } from '../matrix/event.ts'
import { parseEventId } from '../matrix/identifiers.ts'
import { property } from '../matrix/json.ts'
import { tellOtherShards } from './other-shards.ts'
import { roomParam } from './own-user.ts'
import { eventParam, textParam } from './path-params.ts'

const receiptTypes = ['m.read', 'm.read.private'] as const
type ReceiptType = (typeof receiptTypes)[number]

const markersBody = v.looseObject({
  'm.fully_read': v.optional(v.string()),
  'm.read': v.optional(v.string()),
  'm.read.private': v.optional(v.string()),
})

/** POST …/receipt/{receiptType}/{eventId} and POST …/read_markers. */
export function receiptRoutes(app: App): void {
  // https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3roomsroomidreceiptreceipttypeeventid
  app.post('/_matrix/client/v3/rooms/:roomId/receipt/:receiptType/:eventId', requireSession(), async (c) => {
    const roomId = roomParam(c)
    const eventId = eventParam(c)
    const threadId = property(await jsonObject(c, { optional: true }), 'thread_id')
    const type = textParam(c, 'receiptType')
    if (type === 'm.fully_read') {
      if (threadId !== undefined) throw invalidThread('m.fully_read is for the whole room')
      await setFullyRead(c, roomId, eventId)
    } else {
      await setReceipt(
        c,
        roomId,
        receiptType(type),
        eventId,
        await checkedThread(c, roomId, eventId, threadId),
      )
    }
    return c.json({})
  })

  // https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3roomsroomidread_markers
  app.post('/_matrix/client/v3/rooms/:roomId/read_markers', requireSession(), async (c) => {
    const roomId = roomParam(c)
    const body = await jsonBody(c, markersBody, { optional: true })
    const fullyRead = eventField('m.fully_read', body['m.fully_read'])
    const receipts = receiptTypes.map((type) => ({ type, eventId: eventField(type, body[type]) }))
    if (fullyRead !== undefined) await setFullyRead(c, roomId, fullyRead)
    for (const { type, eventId } of receipts) {
      if (eventId !== undefined) await setReceipt(c, roomId, type, eventId)
    }
    return c.json({})
  })
}

async function setReceipt(
  c: AppContext,
  roomId: RoomId,
  type: ReceiptType,
  eventId: EventId,
  threadId?: string,
): Promise<void> {
  const { userId, shard } = c.var.session
  const news = await hubStub(c.env, shard).setReceipt({
    userId,
    roomId,
    type,
    eventId,
    ts: Date.now(),
    ...(threadId === undefined ? {} : { threadId }),
  })
  if (news) await tellOtherShards(c.env, shard, (hub) => hub.applyReceipt(news))
}

// The marker is account data of the room that only this server's endpoints may write.
async function setFullyRead(c: AppContext, roomId: RoomId, eventId: EventId): Promise<void> {
  const { userId, shard } = c.var.session
  const hub = hubStub(c.env, shard)
  const joined = await hub.membershipsIn(userId, [roomId])
  if (joined.length === 0) throw new MatrixError('M_FORBIDDEN', 403, 'You are not in this room')
  await hub.putAccountData(userId, roomId, {
    type: 'm.fully_read',
    content: JSON.stringify({ event_id: eventId }),
  })
}

/** The thread of a receipt: absent for all of the room, `main`, or the root of the thread the event is in. */
async function checkedThread(
  c: AppContext,
  roomId: RoomId,
  eventId: EventId,
  threadId: unknown,
): Promise<string | undefined> {
  if (threadId === undefined) return undefined
  if (typeof threadId !== 'string' || threadId === '')
    throw invalidThread('not a string with something in it')
  const { userId } = c.var.session
  const related = await roomStub(c.env, roomId).isEventInThread({ userId, eventId, threadId })
  if (!related) throw invalidThread('the event is not in that thread')
  return threadId
}

function invalidThread(reason: string): MatrixError {
  return new MatrixError('M_INVALID_PARAM', 400, `Invalid field thread_id: ${reason}`)
}

function receiptType(text: string): ReceiptType {
  const type = receiptTypes.find((known) => known === text)
  if (type === undefined) {
    throw new MatrixError('M_INVALID_PARAM', 400, 'Invalid parameter receiptType: not a type of receipt')
  }
  return type
}

function eventField(name: string, text: string | undefined): EventId | undefined {
  if (text === undefined) return undefined
  const eventId = parseEventId(text)
  if (eventId === undefined)
    throw new MatrixError('M_INVALID_PARAM', 400, `Invalid field ${name}: not an event id`)
  return eventId
}
