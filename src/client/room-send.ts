// Specification: client-server API, "Sending events to a room", "Redactions".

import { writeToRoom } from '../federation/write-to-room.ts'
import * as v from 'valibot'
import { refuseSuspendedIn } from '../admin/server-notices.ts'
import type { App, AppContext } from '../http/app-type.ts'
import { jsonBody, jsonObject } from '../http/json-body.ts'
import { rateLimitUser } from '../http/rate-limit.ts'
import { requireSession } from '../http/session.ts'
import type { EventDraft } from '../room/build-event.ts'
import { delayParam, scheduleDelayed } from './delayed-events.ts'
import { roomParam } from './own-user.ts'
import { clientTransaction } from './client-transaction.ts'
import { eventParam, textParam } from './path-params.ts'
import { timestampParam } from './timestamp-param.ts'

const redactionType = 'm.room.redaction'
const redactionBody = v.looseObject({ reason: v.optional(v.string()) })

/** PUT …/send/{eventType}/{txnId} and PUT …/redact/{eventId}/{txnId}. */
export function roomSendRoutes(app: App): void {
  // https://spec.matrix.org/v1.19/client-server-api/#put_matrixclientv3roomsroomidsendeventtypetxnid
  app.put(
    '/_matrix/client/v3/rooms/:roomId/send/:eventType/:txnId',
    requireSession({ guests: true }),
    async (c) => {
      const type = textParam(c, 'eventType')
      // The room finds out whose event a suspended user redacts.
      if (type !== redactionType) await refuseSuspendedIn(c.env, c.var.session, roomParam(c))
      const delay = delayParam(c)
      // The same request again may come without its body.
      const content = await jsonObject(c, { optional: delay !== undefined })
      if (delay !== undefined) return await scheduleDelayed(c, { type, content }, delay, type)
      return await send(c, { type, content, ...timestampParam(c) }, type)
    },
  )

  // https://spec.matrix.org/v1.19/client-server-api/#put_matrixclientv3roomsroomidredacteventidtxnid
  app.put('/_matrix/client/v3/rooms/:roomId/redact/:eventId/:txnId', requireSession(), async (c) => {
    const redacts = eventParam(c)
    const { reason } = await jsonBody(c, redactionBody, { optional: true })
    const content = reason === undefined ? {} : { reason }
    return await send(c, { type: redactionType, content, redacts }, `redact/${redacts}`)
  })
}

async function send(c: AppContext, event: Omit<EventDraft, 'sender'>, path: string): Promise<Response> {
  const { userId, admin, suspended } = c.var.session
  const roomId = roomParam(c)
  await rateLimitUser(c.env, c.env.SEND_LIMIT, c.var.session)
  const request = {
    draft: { ...event, sender: userId },
    transaction: clientTransaction(c, path),
    admin,
    suspended,
  }
  const eventId = await writeToRoom(c.env, roomId, (room) => room.sendEvent(request))
  return c.json({ event_id: eventId })
}
