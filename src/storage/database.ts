// D1 through drizzle, and the one failure of it that is an answer: a row that is already there.

import type { SQL } from 'drizzle-orm'
import { drizzle, type DrizzleD1Database } from 'drizzle-orm/d1'
import { SQLiteAsyncDialect } from 'drizzle-orm/sqlite-core'

/** The database of a Worker. */
export function database(env: { readonly DB: D1Database }): DrizzleD1Database {
  return drizzle(env.DB)
}

const dialect = new SQLiteAsyncDialect()

/** A statement for `env.DB.batch`: drizzle's own batch does not take SQL with parameters. */
export function statement(env: { readonly DB: D1Database }, query: SQL): D1PreparedStatement {
  const { sql, params } = dialect.sqlToQuery(query)
  return env.DB.prepare(sql).bind(...params)
}

/** Whether a write failed because a row with that primary or unique key exists. */
export function isUniqueViolation(error: unknown): boolean {
  return isConstraintViolation(error, 'UNIQUE constraint failed')
}

/** Whether a write failed with something that SQLite says of a constraint. */
export function isConstraintViolation(error: unknown, text: string): boolean {
  for (let cause = error; cause instanceof Error; cause = cause.cause) {
    if (cause.message.includes(text)) return true
  }
  return false
}
