// Schema migrations of a Durable Object's own SQLite: append-only, each applied once, in one transaction.

export interface DurableMigration {
  readonly id: string
  readonly sql: string
}

/**
 * Brings a Durable Object's database up to date. A crash in between leaves the old schema, since all runs in one
 * transaction. Throws when applied history was rewritten, or when the database is newer than the code.
 */
export function migrate(storage: DurableObjectStorage, migrations: readonly DurableMigration[]): void {
  const { sql } = storage
  sql.exec('CREATE TABLE IF NOT EXISTS migrations (n INTEGER PRIMARY KEY, id TEXT NOT NULL)')
  const applied = sql
    .exec<{ id: string }>('SELECT id FROM migrations ORDER BY n')
    .toArray()
    .map((row) => row.id)
  if (applied.length > migrations.length) throw new Error('the database is newer than this code')
  applied.forEach((id, n) => {
    if (migrations[n]?.id !== id) throw new Error(`migrations are append-only: ${id} was applied`)
  })
  if (applied.length === migrations.length) return
  storage.transactionSync(() => {
    migrations.slice(applied.length).forEach(({ id, sql: statements }, i) => {
      sql.exec(statements)
      sql.exec('INSERT INTO migrations VALUES (?, ?)', applied.length + i, id)
    })
  })
}
