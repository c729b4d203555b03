// Pagination tokens of a room's timeline: `t<position>`, the place just after a position and before the next one.
// Specification: client-server API, "Pagination": tokens are opaque to clients.

const tokenShape = /^t(0|-?[1-9]\d{0,14})$/

/** The token of the place just after a position. Going back from it gives the event at the position first. */
export function formatToken(position: number): string {
  return `t${position}`
}

/** The position behind a token, undefined for what is no such token. */
export function parseToken(token: string): number | undefined {
  const position = tokenShape.exec(token)?.[1]
  return position === undefined ? undefined : Number(position)
}
