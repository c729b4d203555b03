// Sessions kept in memory, where this process is the only one that writes them: a server on one's own machine. There
// a look-up in D1 costs more than all else about a small request. On Workers many isolates run side by side, one would
// not hear of a logout in another, and every request is looked up (the variable SESSION_CACHE is not set there).

import type { Env } from '../env.ts'
import type { AppserviceSession, DeviceSession } from '../http/session.ts'
import type { UserId } from '../matrix/event.ts'

interface CachedSession {
  readonly session: DeviceSession
  /** Milliseconds; null for a token that does not expire. */
  readonly expiresAt: number | null
}

const capacity = 10_000
const cached = new Map<string, CachedSession>()
// Users that application services act as, by the service and the user.
const acting = new Map<string, AppserviceSession>()
let epoch = 0

/** Counts the changes; a look-up that began before one must not be kept. */
export function sessionEpoch(): number {
  return epoch
}

/** The session of a token hash, if memory has it and it has not expired. */
export function cachedSession(tokenHash: string): DeviceSession | undefined {
  const entry = cached.get(tokenHash)
  if (!entry || (entry.expiresAt !== null && entry.expiresAt <= Date.now())) return undefined
  return entry.session
}

/** Keeps what was looked up at an epoch. */
export function cacheSession(
  env: Env,
  lookedUpAt: number,
  tokenHash: string,
  session: DeviceSession,
  expiresAt: number | null,
): void {
  if (env.SESSION_CACHE !== 'on' || lookedUpAt !== epoch) return
  if (cached.size >= capacity) cached.clear()
  cached.set(tokenHash, { session, expiresAt })
}

/** The session of an application service, by the hash of its token, that acts as a user, if memory has it. */
export function cachedActing(asTokenHash: string, userId: UserId): AppserviceSession | undefined {
  return acting.get(`${asTokenHash} ${userId}`)
}

/** Keeps what was looked up at an epoch. */
export function cacheActing(env: Env, lookedUpAt: number, session: AppserviceSession): void {
  if (env.SESSION_CACHE !== 'on' || lookedUpAt !== epoch) return
  if (acting.size >= capacity) acting.clear()
  acting.set(`${session.appservice.asTokenHash} ${session.userId}`, session)
}

/**
 * Runs a write to sessions or users. What memory holds is dropped before and after it, so that no look-up that runs
 * beside the write outlives it. Every write to these tables goes through here.
 */
export async function changingSessions<T>(write: () => Promise<T>): Promise<T> {
  forget()
  try {
    return await write()
  } finally {
    forget()
  }
}

function forget(): void {
  epoch += 1
  cached.clear()
  acting.clear()
}
