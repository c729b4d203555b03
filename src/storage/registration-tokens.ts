// Registration tokens. Specification: client-server API, "Token-authenticated registration".

import { sql } from 'drizzle-orm'
import type { Env } from '../env.ts'
import { database } from './database.ts'

/** Whether a registration token could be used now. */
export async function isRegistrationTokenValid(env: Env, token: string): Promise<boolean> {
  await offerFirstUserToken(env, token)
  const row = await database(env).get<{ n: number }>(
    sql`SELECT count(*) AS n FROM registration_tokens t WHERE ${usable(token, '')}`,
  )
  return row.n > 0
}

/**
 * Reserves a use of a registration token for an authentication session. Answers false for a token that is unknown,
 * expired or used up; uses reserved by other live sessions count as used.
 */
export async function reserveRegistrationToken(
  env: Env,
  token: string,
  authSession: string,
): Promise<boolean> {
  await offerFirstUserToken(env, token)
  const result = await database(env).run(sql`
    UPDATE interactive_auth_sessions SET registration_token = ${token}
    WHERE session_id = ${authSession} AND EXISTS (SELECT 1 FROM registration_tokens t WHERE ${usable(token, authSession)})`)
  return result.meta.changes > 0
}

function usable(token: string, ownSession: string) {
  const now = Date.now()
  return sql`
    t.token = ${token}
    AND (t.expires_at IS NULL OR t.expires_at > ${now})
    AND (t.makes_admin = 0 OR NOT EXISTS (SELECT 1 FROM users WHERE admin = 1))
    AND (t.uses_allowed IS NULL OR t.completed + (
      SELECT count(*) FROM interactive_auth_sessions s
      WHERE s.registration_token = t.token AND s.expires_at > ${now} AND s.session_id <> ${ownSession}
    ) < t.uses_allowed)`
}

/** Whether the configured token of the first user is still of use: it makes an administrator, where there is none. */
export async function awaitsFirstUser(env: Env): Promise<boolean> {
  if (!env.FIRST_USER_TOKEN) return false
  const row = await database(env).get<{ n: number }>(
    sql`SELECT EXISTS (SELECT 1 FROM users WHERE admin = 1) AS n`,
  )
  return row.n === 0
}

// The configured token gets its row when it is first presented. The row stays, so that it works exactly once.
async function offerFirstUserToken(env: Env, token: string): Promise<void> {
  if (env.FIRST_USER_TOKEN === undefined || env.FIRST_USER_TOKEN === '' || token !== env.FIRST_USER_TOKEN)
    return
  await database(env).run(sql`
    INSERT INTO registration_tokens (token, uses_allowed, makes_admin) VALUES (${token}, 1, 1)
    ON CONFLICT (token) DO NOTHING`)
}
