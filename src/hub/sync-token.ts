// The `since` and `next_batch` tokens of /sync: `s<log position>_<ephemeral sequence>`, with `_<room number>` behind it
// while an initial sync goes on over several answers.

import type { SyncPosition } from './sync-request.ts'

/** A position as a token. */
export function formatSyncToken({ log, ephemeral, given }: SyncPosition): string {
  return `s${log}_${ephemeral}${given === undefined ? '' : `_${given}`}`
}

/** The position behind a token, undefined for what is no token of /sync. */
export function parseSyncToken(token: string): SyncPosition | undefined {
  const match = /^s(\d{1,15})_(\d{1,15})(?:_(\d{1,15}))?$/.exec(token)
  if (!match) return undefined
  const given = match[3] === undefined ? {} : { given: Number(match[3]) }
  return { log: Number(match[1]), ephemeral: Number(match[2]), ...given }
}
