// The `since` and `next_batch` tokens of /sync: `s<log position>_<ephemeral sequence>`, with `_<room number>` behind it
// while an initial sync goes on over several answers, and `d<log position>` while more messages to the device wait.

import type { SyncPosition } from './sync-request.ts'

/** A position as a token. */
export function formatSyncToken({ log, ephemeral, given, toDevice }: SyncPosition): string {
  const lag = toDevice === undefined ? '' : `d${toDevice}`
  return `s${log}_${ephemeral}${given === undefined ? '' : `_${given}`}${lag}`
}

/** The position behind a token, undefined for what is no token of /sync. */
export function parseSyncToken(token: string): SyncPosition | undefined {
  const match = /^s(\d{1,15})_(\d{1,15})(?:_(\d{1,15}))?(?:d(\d{1,15}))?$/.exec(token)
  if (!match) return undefined
  const given = match[3] === undefined ? {} : { given: Number(match[3]) }
  const toDevice = match[4] === undefined ? {} : { toDevice: Number(match[4]) }
  return { log: Number(match[1]), ephemeral: Number(match[2]), ...given, ...toDevice }
}
