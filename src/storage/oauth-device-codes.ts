// Device codes in D1: a client asks again and again until somebody has agreed elsewhere. Specification: client-server API, "Device
// authorisation flow"; RFC 8628.

import { and, eq, gt, isNull, lt } from 'drizzle-orm'
import type { Env } from '../env.ts'
import type { UserId } from '../matrix/event.ts'
import { database, isUniqueViolation } from './database.ts'
import { oauthDeviceCodes as table } from './schema/oauth.ts'

type DeviceCode = typeof table.$inferSelect

/** How long a code is good for, and how long a client waits between two questions, in milliseconds. */
export const deviceCodeLifetimeMs = 15 * 60 * 1000
export const pollIntervalMs = 5000

// How long it is remembered after that, so that clients are told that it has expired.
const watchMs = 60 * 60 * 1000

/** Adds a code, and forgets old ones. False where the user code is another's. */
export async function insertDeviceCode(
  env: Env,
  code: Pick<DeviceCode, 'codeHash' | 'userCode' | 'clientId' | 'scope' | 'deviceId'>,
): Promise<boolean> {
  const db = database(env)
  const now = Date.now()
  try {
    await db.batch([
      db.delete(table).where(lt(table.expiresAt, now - watchMs)),
      db.insert(table).values({
        ...code,
        expiresAt: now + deviceCodeLifetimeMs,
        nextPollAt: now,
        intervalMs: pollIntervalMs,
      }),
    ])
    return true
  } catch (error) {
    if (isUniqueViolation(error)) return false
    throw error
  }
}

/** The request that a user code is of, where nobody has answered it. */
export async function findUserCode(env: Env, userCode: string): Promise<DeviceCode | undefined> {
  return await database(env)
    .select()
    .from(table)
    .where(and(eq(table.userCode, userCode), unanswered()))
    .get()
}

/** Answers a request, once. The client that it is of; undefined where it was answered before, or has expired. */
export async function answerUserCode(
  env: Env,
  userCode: string,
  answer: { readonly userId: UserId } | { readonly denied: true },
): Promise<string | undefined> {
  const [answered] = await database(env)
    .update(table)
    .set(answer)
    .where(and(eq(table.userCode, userCode), unanswered()))
    .returning({ clientId: table.clientId })
  return answered?.clientId
}

const unanswered = () => and(isNull(table.userId), eq(table.denied, false), gt(table.expiresAt, Date.now()))

export type Polled =
  | { readonly outcome: 'unknown' | 'expired' | 'too-fast' | 'pending' | 'denied' }
  | { readonly outcome: 'agreed'; readonly agreed: DeviceCode & { readonly userId: UserId } }

/** What has become of a client's request; one that was agreed to is used up. */
export async function pollDeviceCode(env: Env, codeHash: string, clientId: string): Promise<Polled> {
  const db = database(env)
  const own = eq(table.codeHash, codeHash)
  const code = await db.select().from(table).where(own).get()
  if (!code || code.clientId !== clientId) return { outcome: 'unknown' }
  const now = Date.now()
  if (code.expiresAt <= now) return { outcome: 'expired' }
  if (code.denied) return { outcome: 'denied' }
  if (code.userId !== null) {
    const [used] = await db.delete(table).where(own).returning()
    return used?.userId == null
      ? { outcome: 'unknown' }
      : { outcome: 'agreed', agreed: { ...used, userId: used.userId } }
  }
  // RFC 8628, section 3.5: who asks too early waits five seconds longer from then on.
  const tooFast = now < code.nextPollAt
  const intervalMs = code.intervalMs + (tooFast ? pollIntervalMs : 0)
  // Clocks and networks are not that exact.
  const nextPollAt = now + intervalMs - 500
  await db.update(table).set({ intervalMs, nextPollAt }).where(own)
  return { outcome: tooFast ? 'too-fast' : 'pending' }
}
