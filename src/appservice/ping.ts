// Whether an application service can be reached, and knows the token by which it is asked.
// Specification: application service API, "Pinging".

import { MatrixError } from '../errors.ts'
import type { Appservice } from './registration.ts'
import { appserviceRequest } from './request.ts'

// In characters, of what it answers instead of what it should.
const longestExcerpt = 4096

/**
 * Asks an application service for a sign of life. Answers how long that took, in milliseconds. 502 M_BAD_STATUS with `status` and
 * `body`, cut short where it is long; and as `appserviceRequest`.
 */
export async function pingAppservice(
  appservice: Appservice,
  transactionId: string | undefined,
  timeoutMs = 30_000,
): Promise<number> {
  const start = Date.now()
  const { status, text } = await appserviceRequest(appservice, {
    method: 'POST',
    path: '/_matrix/app/v1/ping',
    body: JSON.stringify({ transaction_id: transactionId }),
    timeoutMs,
  })
  if (status === 200) return Date.now() - start
  throw new MatrixError('M_BAD_STATUS', 502, `The application service answered with status ${status}`, {
    status,
    body: text.slice(0, longestExcerpt),
  })
}
