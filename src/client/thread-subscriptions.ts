// Subscriptions to threads. Not in the specification yet: MSC4306, and MSC4308 for those that sliding sync leaves out.

import * as v from 'valibot'
import { hubStub, roomStub } from '../env.ts'
import { MatrixError } from '../errors.ts'
import type { App, AppContext } from '../http/app-type.ts'
import { jsonBody, queryParams } from '../http/json-body.ts'
import { requireSession } from '../http/session.ts'
import { parseSlidingPosition } from '../hub/sliding-sync-position.ts'
import type { ThreadName, ThreadSubscription, ThreadSubscriptions } from '../hub/thread-subscriptions.ts'
import { parseEventId } from '../matrix/identifiers.ts'
import type { JsonObject } from '../matrix/json.ts'
import type { ThreadStanding } from '../room/thread-standing.ts'
import { roomParam } from './own-user.ts'
import { textParam } from './path-params.ts'
import { countParam, refuseForgotten } from './room-read.ts'

/** How many subscriptions an answer has where a client says nothing of it, and at most. */
export const threadSubscriptionCounts = { usual: 100, most: 512 }

const subscription = v.object({
  automatic: v.nullish(
    v.pipe(
      v.string(),
      v.check((id) => parseEventId(id) !== undefined, 'not an event id'),
    ),
  ),
})
const pageQuery = v.object({
  dir: v.literal('b'),
  from: v.optional(v.string()),
  to: v.optional(v.string()),
  limit: countParam,
})

/** GET, PUT and DELETE …/thread/{threadRootId}/subscription, GET /thread_subscriptions. */
export function threadSubscriptionRoutes(app: App): void {
  const path = '/_matrix/client/unstable/io.element.msc4306/rooms/:roomId/thread/:threadRootId/subscription'

  // https://github.com/matrix-org/matrix-spec-proposals/pull/4306
  app.get(path, requireSession(), async (c) => {
    const { userId, shard } = c.var.session
    const thread = threadOf(c)
    await standing(c, thread)
    const found = await hubStub(c.env, shard).threadSubscription(userId, thread)
    if (!found) throw new MatrixError('M_NOT_FOUND', 404, 'Not subscribed to this thread')
    return c.json({ automatic: found.automatic })
  })

  app.put(path, requireSession(), async (c) => {
    const { userId, shard } = c.var.session
    const thread = threadOf(c)
    const { automatic } = await jsonBody(c, subscription, { optional: true })
    const { cause } = await standing(c, thread, automatic ?? undefined)
    await hubStub(c.env, shard).subscribeToThread(userId, thread, cause)
    return c.json({})
  })

  app.delete(path, requireSession(), async (c) => {
    const { userId, shard } = c.var.session
    const thread = threadOf(c)
    const { end } = await standing(c, thread)
    await hubStub(c.env, shard).unsubscribeFromThread(userId, thread, end)
    return c.json({})
  })

  // https://github.com/matrix-org/matrix-spec-proposals/pull/4308
  app.get('/_matrix/client/unstable/io.element.msc4308/thread_subscriptions', requireSession(), async (c) => {
    const { userId, shard } = c.var.session
    const { from, to, limit } = queryParams(c, pageQuery)
    if (limit === 0) throw new MatrixError('M_INVALID_PARAM', 400, 'Invalid field limit: greater than zero')
    // Backwards: `from` is where the newest of them is, `to` lies before the oldest, or is a `pos` of sliding sync.
    const page = await hubStub(c.env, shard).threadSubscriptionsSince(userId, {
      since: to === undefined ? 0 : (parseSlidingPosition(to)?.log ?? positionOf('to', to)),
      upTo: from === undefined ? Number.MAX_SAFE_INTEGER : positionOf('from', from),
      limit: Math.min(limit ?? threadSubscriptionCounts.usual, threadSubscriptionCounts.most),
    })
    const { before } = page
    return c.json({ ...subscriptionsByRoom(page), ...(before === undefined ? {} : { end: `${before}` }) })
  })
}

function threadOf(c: AppContext): ThreadName {
  const roomId = roomParam(c)
  const root = parseEventId(textParam(c, 'threadRootId'))
  if (root === undefined) {
    throw new MatrixError('M_INVALID_PARAM', 400, 'Invalid parameter threadRootId: not an event id')
  }
  return { roomId, root }
}

/** Where the thread stands for the user. M_NOT_FOUND where they do not see it. */
async function standing(
  c: AppContext,
  { roomId, root }: ThreadName,
  cause?: string,
): Promise<ThreadStanding> {
  const { userId } = c.var.session
  const found = await roomStub(c.env, roomId).threadStanding({
    userId,
    root,
    ...(cause === undefined ? {} : { cause }),
  })
  if (found.left) await refuseForgotten(c, roomId)
  return found
}

function positionOf(parameter: string, token: string): number {
  if (/^\d{1,15}$/.test(token)) return Number(token)
  throw new MatrixError(
    'M_INVALID_PARAM',
    400,
    `Invalid parameter ${parameter}: not a token of this endpoint`,
  )
}

/** Changes as they are answered: by room, then by thread. What there is none of is absent. */
export function subscriptionsByRoom({ changes }: Pick<ThreadSubscriptions, 'changes'>): JsonObject {
  const of = (subscribed: boolean, content: (change: ThreadSubscription) => JsonObject) => {
    const rooms = Map.groupBy(
      changes.filter((change) => change.subscribed === subscribed),
      ({ roomId }) => roomId,
    )
    const threads = (ofRoom: readonly ThreadSubscription[]) =>
      Object.fromEntries(ofRoom.map((change) => [change.root, content(change)]))
    const byRoom = Object.fromEntries([...rooms].map(([roomId, ofRoom]) => [roomId, threads(ofRoom)]))
    return rooms.size === 0 ? {} : { [subscribed ? 'subscribed' : 'unsubscribed']: byRoom }
  }
  return {
    ...of(true, ({ automatic, position }) => ({ automatic, bump_stamp: position })),
    ...of(false, ({ position }) => ({ bump_stamp: position })),
  }
}
