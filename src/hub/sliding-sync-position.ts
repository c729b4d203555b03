// `pos` of sliding sync: `c<state of the connection>_<log position>_<ephemeral sequence>`. As long as a connection goes on
// as before, its state stays and the rest moves, so that most answers cost no row.

export interface SlidingPosition {
  /** Names the record of what was sent before; see sliding-sync-connection.ts. */
  readonly state: number
  readonly log: number
  readonly ephemeral: number
}

/** A position as a token. */
export function formatSlidingPosition({ state, log, ephemeral }: SlidingPosition): string {
  return `c${state}_${log}_${ephemeral}`
}

/** The position behind a token, undefined for what is no token of sliding sync. */
export function parseSlidingPosition(token: string): SlidingPosition | undefined {
  const match = /^c(\d{1,15})_(\d{1,15})_(\d{1,15})$/.exec(token)
  return match ? { state: Number(match[1]), log: Number(match[2]), ephemeral: Number(match[3]) } : undefined
}
