// D1 migrations as files: read in order, and split into statements, since D1 runs one statement at a time.

import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'

export interface Migration {
  /** The file's name, the key in wrangler's table `d1_migrations`. */
  readonly name: string
  readonly statements: readonly string[]
}

/** The migrations of a folder in the order of their names, which is the order wrangler applies them in. */
export async function readMigrations(folder: string): Promise<Migration[]> {
  const names = (await readdir(folder)).filter((name) => name.endsWith('.sql')).sort()
  return await Promise.all(
    names.map(async (name) => ({
      name,
      statements: splitStatements(await readFile(join(folder, name), 'utf8')),
    })),
  )
}

const token = /--[^\n]*|\/\*[\s\S]*?\*\/|'(?:[^']|'')*'|"(?:[^"]|"")*"|;|[^;'"\-/]+|[\s\S]/g

/** Splits SQL at the semicolons outside of quotes and comments. Comments are dropped. Triggers are refused. */
export function splitStatements(sql: string): string[] {
  const statements = ['']
  for (const [part] of sql.matchAll(token)) {
    if (part === ';') statements.push('')
    else if (!part.startsWith('--') && !part.startsWith('/*')) statements.push(`${statements.pop()}${part}`)
  }
  const trimmed = statements.map((statement) => statement.trim()).filter((statement) => statement !== '')
  // The body of a trigger has semicolons of its own.
  const trigger = trimmed.find((statement) => /^create\s+(temp\w*\s+)?trigger\b/i.test(statement))
  if (trigger !== undefined) throw new Error('migrations cannot have triggers')
  return trimmed
}
