// Sessions kept in memory, where this process is the only one that writes them: a server on one's own machine. There
// a look-up in D1 costs more than all else about a small request. On Workers many isolates run side by side, one would
// not hear of a logout in another, and every request is looked up (the variable SESSION_CACHE is not set there).

import type { Env } from '../env.ts'
import type { Session } from '../http/session.ts'

interface CachedSession {
  readonly session: Session
  /** Milliseconds; null for a token that does not expire. */
  readonly expiresAt: number | null
}

const capacity = 10_000
const cached = new Map<string, CachedSession>()
let epoch = 0

/** Counts the changes; a look-up that began before one must not be kept. */
export function sessionEpoch(): number {
  return epoch
}

/** The session of a token hash, if memory has it and it has not expired. */
export function cachedSession(tokenHash: string): Session | undefined {
  const entry = cached.get(tokenHash)
  if (!entry || (entry.expiresAt !== null && entry.expiresAt <= Date.now())) return undefined
  return entry.session
}

/** Keeps what was looked up at an epoch. */
export function cacheSession(env: Env, lookedUpAt: number, session: Session, expiresAt: number | null): void {
  if (env.SESSION_CACHE !== 'on' || lookedUpAt !== epoch) return
  if (cached.size >= capacity) cached.clear()
  cached.set(session.tokenHash, { session, expiresAt })
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
}
