// The drizzle schema and the migrations describe the same tables.

import { DatabaseSync } from 'node:sqlite'
import { join } from 'node:path'
import { is } from 'drizzle-orm'
import { getTableConfig, SQLiteTable } from 'drizzle-orm/sqlite-core'
import { expect, it } from 'vitest'
import { readMigrations } from '../../scripts/migrations.ts'
import * as acceptedPolicies from '../../src/storage/schema/accepted-policies.ts'
import * as eventRooms from '../../src/storage/schema/event-rooms.ts'
import * as identityBindings from '../../src/storage/schema/identity-bindings.ts'
import * as interactiveAuth from '../../src/storage/schema/interactive-auth.ts'
import * as oauth from '../../src/storage/schema/oauth.ts'
import * as openid from '../../src/storage/schema/openid.ts'
import * as profiles from '../../src/storage/schema/profiles.ts'
import * as registration from '../../src/storage/schema/registration.ts'
import * as remoteKeys from '../../src/storage/schema/remote-keys.ts'
import * as reports from '../../src/storage/schema/reports.ts'
import * as serverNotices from '../../src/storage/schema/server-notices.ts'
import * as sessions from '../../src/storage/schema/sessions.ts'
import * as threepids from '../../src/storage/schema/threepids.ts'
import * as users from '../../src/storage/schema/users.ts'

const modules = [
  acceptedPolicies,
  eventRooms,
  identityBindings,
  interactiveAuth,
  oauth,
  openid,
  profiles,
  registration,
  remoteKeys,
  reports,
  serverNotices,
  sessions,
  threepids,
  users,
]
const tables = modules.flatMap((module) => Object.values(module)).filter((value) => is(value, SQLiteTable))

async function migrated(): Promise<DatabaseSync> {
  const db = new DatabaseSync(':memory:')
  const migrations = await readMigrations(join(import.meta.dirname, '../../migrations'))
  for (const statement of migrations.flatMap(({ statements }) => statements)) db.exec(statement)
  return db
}

it.each(tables.map((table) => [getTableConfig(table).name, table] as const))(
  'the table %s has the columns and indices of its schema',
  async (name, table) => {
    const db = await migrated()
    const { columns, indexes, primaryKeys } = getTableConfig(table)
    const keyColumns = primaryKeys.flatMap((key) => key.columns.map((column) => column.name))
    const actual = db
      .prepare(`SELECT name, type, "notnull", dflt_value, pk FROM pragma_table_info(?)`)
      .all(name)
    expect(actual).toEqual(
      columns.map((column) => ({
        name: column.name,
        type: column.getSQLType().toUpperCase(),
        notnull: column.notNull ? 1 : 0,
        dflt_value: sqlDefault(column.default),
        pk: column.primary ? 1 : keyColumns.indexOf(column.name) + 1,
      })),
    )
    const indices = db.prepare(`SELECT name FROM pragma_index_list(?) WHERE origin = 'c'`).all(name)
    expect(indices).toEqual(indexes.map((index) => ({ name: index.config.name })))
  },
)

function sqlDefault(value: unknown): string | null {
  if (value === undefined) return null
  return typeof value === 'string' ? `'${value}'` : String(Number(value))
}
