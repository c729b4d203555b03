import { expect, test } from 'vitest'
import { splitStatements } from '../../scripts/migrations.ts'

test('statements are split at semicolons', () => {
  expect(splitStatements('CREATE TABLE a (b);\n\nCREATE INDEX c ON a (b);\n')).toEqual([
    'CREATE TABLE a (b)',
    'CREATE INDEX c ON a (b)',
  ])
})

test('semicolons in quotes and comments split nothing', () => {
  const sql = `-- first; the table
INSERT INTO a VALUES ('x; -- y', 'it''s'); /* a; b */ INSERT INTO "a;b" VALUES (1 - 1 / 2)`
  expect(splitStatements(sql)).toEqual([
    `INSERT INTO a VALUES ('x; -- y', 'it''s')`,
    `INSERT INTO "a;b" VALUES (1 - 1 / 2)`,
  ])
})

test('comments alone are no statement', () => {
  expect(splitStatements('-- nothing yet;\n;')).toEqual([])
})

test('triggers are refused', () => {
  expect(() => splitStatements('CREATE TRIGGER t AFTER INSERT ON a BEGIN DELETE FROM b; END;')).toThrow(
    'triggers',
  )
})
