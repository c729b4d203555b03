// How requests to other servers leave this one: the one seam between the two places it runs on.
// On Cloudflare by `fetch`, which can do less than the specification asks for (cloudflare-transport.ts); on one's own
// machine by the launcher's process, which can do all of it (launcher-transport.ts).

import { MatrixError } from '../../errors.ts'
import type { ServerName } from '../../matrix/event.ts'

export interface OutboundRequest {
  readonly destination: ServerName
  readonly method: 'GET' | 'POST' | 'PUT'
  /** Path and query, escaped. */
  readonly uri: string
  readonly headers: Readonly<Record<string, string>>
  readonly body?: string
  readonly signal: AbortSignal
}

/** Finds the server, connects, checks its certificate, sends. Redirects are not followed. M_CONNECTION_FAILED. */
export type Transport = (request: OutboundRequest) => Promise<Response>

/** 502 M_CONNECTION_FAILED. */
export function unreachable(destination: string, reason: string): MatrixError {
  return new MatrixError('M_CONNECTION_FAILED', 502, `${destination} cannot be reached: ${reason}`)
}
