// The module that scripts/bundle.ts makes of migrations/*.sql.

declare module 'hearth:migrations' {
  import type { Migration } from './migrations.ts'
  const migrations: readonly Migration[]
  export default migrations
}
