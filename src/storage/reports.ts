// Reports of events, rooms and users, for the administrators.

import type { Env } from '../env.ts'
import { database } from './database.ts'
import { reports } from './schema/reports.ts'

export type NewReport = typeof reports.$inferInsert

/** Keeps a report. */
export async function insertReport(env: Env, report: NewReport): Promise<void> {
  await database(env).insert(reports).values(report)
}
