// Specification: client-server API, "Reporting Content". Reports are kept for the administrators.

import * as v from 'valibot'
import { roomStub } from '../env.ts'
import { MatrixError } from '../errors.ts'
import type { App, AppContext } from '../http/app-type.ts'
import { jsonBody } from '../http/json-body.ts'
import { rateLimitUser } from '../http/rate-limit.ts'
import { requireSession } from '../http/session.ts'
import { log } from '../log.ts'
import { insertReport, type NewReport } from '../storage/reports.ts'
import { roomParam } from './own-user.ts'
import { checkedUserId, eventParam, textParam } from './path-params.ts'
import { viewerOf } from './room-read.ts'

const longestReason = 10_000
const reason = v.pipe(v.string(), v.maxLength(longestReason))
const score = v.pipe(v.number(), v.integer(), v.minValue(-100), v.maxValue(0))

/** POST …/report for events, rooms and users. */
export function reportingContentRoutes(app: App): void {
  // https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3roomsroomidreporteventid
  app.post('/_matrix/client/v3/rooms/:roomId/report/:eventId', requireSession(), async (c) => {
    const [roomId, eventId] = [roomParam(c), eventParam(c)]
    const body = await jsonBody(c, v.looseObject({ reason: v.nullish(reason), score: v.nullish(score) }))
    const { userId } = c.var.session
    const room = roomStub(c.env, roomId)
    // "The caller must be joined to the room to report it."
    const joined = (await room.knownMembership(userId)) === 'joined'
    if (!joined) throw new MatrixError('M_NOT_FOUND', 404, 'Event not found')
    await room.readEvent(viewerOf(c), eventId)
    return await keep(c, { roomId, eventId, reason: body.reason ?? '', score: body.score ?? null })
  })

  // https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3roomsroomidreport
  for (const base of ['/_matrix/client/v3/rooms', '/_matrix/client/unstable/org.matrix.msc4151/rooms']) {
    app.post(`${base}/:roomId/report`, requireSession(), async (c) => {
      const roomId = roomParam(c)
      const body = await jsonBody(c, v.looseObject({ reason }))
      // Whether there is such a room is not told: the answer is the same.
      return await keep(c, { roomId, reason: body.reason })
    })
  }

  // https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3usersuseridreport
  for (const base of ['/_matrix/client/v3/users', '/_matrix/client/unstable/org.matrix.msc4260/users']) {
    app.post(`${base}/:userId/report`, requireSession(), async (c) => {
      const userId = checkedUserId('userId', textParam(c, 'userId'))
      const body = await jsonBody(c, v.looseObject({ reason }))
      // Whether there is such a user is not told either.
      return await keep(c, { userId, reason: body.reason })
    })
  }
}

async function keep(c: AppContext, report: Omit<NewReport, 'reporter' | 'createdAt'>): Promise<Response> {
  const reporter = c.var.session.userId
  await rateLimitUser(c.env, c.env.SEND_LIMIT, c.var.session, 'report ')
  await insertReport(c.env, { ...report, reporter, createdAt: Date.now() })
  log({ event: 'reported', reporter, about: report.eventId ?? report.roomId ?? report.userId ?? '' })
  return c.json({})
}
