// Nonces of registration by shared secret: each is good for one request within a minute.

import { eq, lt } from 'drizzle-orm'
import type { Env } from '../env.ts'
import { database } from './database.ts'
import { sharedSecretNonces } from './schema/registration.ts'
import { newSecretToken } from './secret-token.ts'

const lifetimeMs = 60_000

/** A new nonce. */
export async function createNonce(env: Env): Promise<string> {
  const db = database(env)
  const nonce = newSecretToken()
  const now = Date.now()
  await db.batch([
    db.delete(sharedSecretNonces).where(lt(sharedSecretNonces.expiresAt, now)),
    db.insert(sharedSecretNonces).values({ nonce, expiresAt: now + lifetimeMs }),
  ])
  return nonce
}

/** Uses a nonce up. Answers whether it was good. */
export async function useNonce(env: Env, nonce: string): Promise<boolean> {
  const [row] = await database(env)
    .delete(sharedSecretNonces)
    .where(eq(sharedSecretNonces.nonce, nonce))
    .returning()
  return row !== undefined && row.expiresAt > Date.now()
}
