// Validation of third-party identifiers: from the request for a token to the one use of what was shown with it.
// Specification: client-server API, the requestToken endpoints; identity service API, "Establishing associations".

import { and, eq, gt, type SQL, sql } from 'drizzle-orm'
import type { Env } from '../env.ts'
import type { UserId } from '../matrix/event.ts'
import { database, isConstraintViolation, statement } from './database.ts'
import { threepidValidations as table } from './schema/threepids.ts'

export type Validation = typeof table.$inferSelect

// Of a session, from the last mail on, and of what was validated in it, from then on.
const lifetimeMs = 24 * 60 * 60 * 1000
const mailWindowMs = 60 * 60 * 1000

export type ValidationRequest = Pick<
  Validation,
  'sid' | 'purpose' | 'medium' | 'address' | 'tokenHash' | 'sendAttempt' | 'nextLink'
>

/**
 * Notes a request for a token. Answers whether a mail is to be sent for it: one that has a higher number than the last.
 * Those that have expired are forgotten.
 */
export async function requestValidation(env: Env, request: ValidationRequest, now: number): Promise<boolean> {
  const { sid, purpose, medium, address, tokenHash, sendAttempt, nextLink } = request
  const [, noted] = await env.DB.batch(
    [
      sql`DELETE FROM threepid_validations WHERE expires_at <= ${now}`,
      // What was validated lasts no longer for another mail.
      sql`
        INSERT INTO threepid_validations
          (sid, purpose, medium, address, token_hash, send_attempt, next_link, expires_at)
        VALUES (${sid}, ${purpose}, ${medium}, ${address}, ${tokenHash}, ${sendAttempt}, ${nextLink}, ${now + lifetimeMs})
        ON CONFLICT (sid) DO UPDATE SET token_hash = excluded.token_hash, send_attempt = excluded.send_attempt,
          next_link = excluded.next_link,
          expires_at = CASE WHEN validated_at IS NULL THEN excluded.expires_at ELSE expires_at END
        WHERE excluded.send_attempt > send_attempt`,
    ].map((query) => statement(env, query)),
  )
  return (noted?.meta.changes ?? 0) > 0
}

/** Takes back that a mail was sent, so that the same request can be made again. */
export async function withdrawMail(env: Env, sid: string, sendAttempt: number): Promise<void> {
  await database(env)
    .update(table)
    .set({ sendAttempt: sendAttempt - 1 })
    .where(and(eq(table.sid, sid), eq(table.sendAttempt, sendAttempt)))
}

/** Counts a mail to an address. Answers how many it has got within an hour, this one included. */
export async function countMail(env: Env, addressHash: string, now: number): Promise<number> {
  const [, counted] = await env.DB.batch<{ mails: number }>(
    [
      sql`DELETE FROM validation_mails WHERE since <= ${now - mailWindowMs}`,
      sql`
        INSERT INTO validation_mails (address_hash, since, mails) VALUES (${addressHash}, ${now}, 1)
        ON CONFLICT (address_hash) DO UPDATE SET mails = mails + 1
        RETURNING mails`,
    ].map((query) => statement(env, query)),
  )
  return counted?.results[0]?.mails ?? 1
}

/** A session that has not expired. */
export async function findValidation(env: Env, sid: string, now: number): Promise<Validation | undefined> {
  return await database(env)
    .select()
    .from(table)
    .where(and(eq(table.sid, sid), gt(table.expiresAt, now)))
    .get()
}

/** Marks an address as validated. Doing so again changes nothing. */
export async function markValidated(env: Env, sid: string, tokenHash: string, now: number): Promise<void> {
  await database(env).run(sql`
    UPDATE threepid_validations SET validated_at = ${now}, expires_at = ${now + lifetimeMs}
    WHERE sid = ${sid} AND token_hash = ${tokenHash} AND validated_at IS NULL AND expires_at > ${now}`)
}

/** What a statement can use of a session: validated, for that purpose, not used before. */
function usable(sid: string, purpose: Validation['purpose'], now: number) {
  return sql`
    sid = ${sid} AND purpose = ${purpose} AND validated_at IS NOT NULL AND used_by IS NULL AND expires_at > ${now}`
}

/**
 * Statements of a registration that add the address validated in a session to the new account, where `rows` selects one row:
 * `FROM`, and what follows. They fail, and with them the transaction: see `failedAddress`.
 */
export function addAtRegistration(sid: string, userId: UserId, now: number, rows: SQL): SQL[] {
  const session = usable(sid, 'register', now)
  return [
    sql`
      INSERT INTO threepids (medium, address, user_id, validated_at, added_at)
      SELECT 'email', (SELECT address FROM threepid_validations WHERE ${session}), ${userId},
        (SELECT validated_at FROM threepid_validations WHERE ${session}), ${now} ${rows}`,
    sql`UPDATE threepid_validations SET used_by = ${userId} WHERE ${session} AND EXISTS (SELECT 1 ${rows})`,
  ]
}

export type FailedAddress = 'threepid-in-use' | 'not-validated'

/** Why a registration with `addAtRegistration` failed: the address has an account by now, or was used up by another one. */
export function failedAddress(error: unknown): FailedAddress | undefined {
  if (isConstraintViolation(error, 'UNIQUE constraint failed: threepids.')) return 'threepid-in-use'
  return isConstraintViolation(error, 'NOT NULL constraint failed: threepids.') ? 'not-validated' : undefined
}

/**
 * Adds the address that was validated in a session to a user's account. `in-use`: it is another's. `not-validated`: there is
 * no such session, or it was used for something else; asking twice for the same is no matter.
 */
export async function addThreepid(
  env: Env,
  sid: string,
  userId: UserId,
  now: number,
): Promise<'added' | 'in-use' | 'not-validated'> {
  const found = sql`
    SELECT v.used_by AS usedBy, t.user_id AS owner FROM threepid_validations v
    LEFT JOIN threepids t ON t.medium = v.medium AND t.address = v.address
    WHERE v.sid = ${sid} AND v.purpose = 'add' AND v.validated_at IS NOT NULL AND v.expires_at > ${now}`
  const results = await env.DB.batch<{ usedBy: string | null; owner: string | null }>(
    [
      sql`
        INSERT INTO threepids (medium, address, user_id, validated_at, added_at)
        SELECT medium, address, ${userId}, validated_at, ${now} FROM threepid_validations
        WHERE ${usable(sid, 'add', now)}
        ON CONFLICT (medium, address) DO UPDATE SET validated_at = excluded.validated_at
        WHERE user_id = excluded.user_id`,
      sql`
        UPDATE threepid_validations SET used_by = ${userId}
        WHERE ${usable(sid, 'add', now)} AND EXISTS (
          SELECT 1 FROM threepids t WHERE t.medium = threepid_validations.medium
            AND t.address = threepid_validations.address AND t.user_id = ${userId})`,
      found,
    ].map((query) => statement(env, query)),
  )
  const row = results.at(-1)?.results[0]
  if (row?.usedBy === userId && row.owner === userId) return 'added'
  return row?.usedBy === null && row.owner !== null ? 'in-use' : 'not-validated'
}

/** Uses up a session in which a password is reset. Answers false where it is not validated, or was used before. */
export async function usePasswordValidation(
  env: Env,
  sid: string,
  userId: UserId,
  now: number,
): Promise<boolean> {
  const result = await database(env).run(
    sql`UPDATE threepid_validations SET used_by = ${userId} WHERE ${usable(sid, 'password', now)}`,
  )
  return result.meta.changes > 0
}

/**
 * Nothing comes any more of the sessions in which a user's password was to be reset. They stay, as if the address had no account:
 * whoever began one learns nothing by it.
 */
export async function voidPasswordValidations(env: Env, userId: UserId): Promise<void> {
  await database(env).run(sql`
    UPDATE threepid_validations SET token_hash = NULL, validated_at = NULL WHERE purpose = 'password' AND used_by IS NULL
    AND EXISTS (SELECT 1 FROM threepids t WHERE t.user_id = ${userId} AND t.medium = threepid_validations.medium
      AND t.address = threepid_validations.address)`)
}
