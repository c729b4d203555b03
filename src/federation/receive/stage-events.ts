// Events that are handed to a room as outliers: known because others cite them or because they are state.

import { roomStub } from '../../env.ts'
import type { JsonObject } from '../../matrix/json.ts'
import type { Asking } from './asking.ts'
import { eventKeys } from './event-keys.ts'

// Keeps a call far below what one RPC carries.
const eventsPerCall = 200

/** Hands outliers to the room, in calls of bounded size. */
export async function stage(
  { env, roomId }: Pick<Asking, 'env' | 'roomId'>,
  pdus: readonly JsonObject[],
): Promise<void> {
  for (let at = 0; at < pdus.length; at += eventsPerCall) {
    const chunk = pdus.slice(at, at + eventsPerCall)
    await roomStub(env, roomId).receiveOutliers(chunk, await eventKeys(env, chunk))
  }
}
