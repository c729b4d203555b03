// The `since` and `next_batch` tokens of /sync: `s<log position>_<typing sequence>`.

import type { SyncPosition } from './sync.ts'

/** A position as a token. */
export function formatSyncToken({ log, typing }: SyncPosition): string {
  return `s${log}_${typing}`
}

/** The position behind a token, undefined for what is no token of /sync. */
export function parseSyncToken(token: string): SyncPosition | undefined {
  const match = /^s(\d{1,15})_(\d{1,15})$/.exec(token)
  return match ? { log: Number(match[1]), typing: Number(match[2]) } : undefined
}
