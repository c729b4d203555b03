// A database in memory that looks like that of a Durable Object, as far as plain statements go.

import { DatabaseSync, type SQLInputValue } from 'node:sqlite'

/** An empty database. */
export function memorySql(): SqlStorage {
  const database = new DatabaseSync(':memory:')
  const exec = (query: string, ...params: SQLInputValue[]) => {
    const rows = database.prepare(query).all(...params)
    return { toArray: () => rows }
  }
  return { exec } as unknown as SqlStorage
}
