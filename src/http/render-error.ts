// The only place where errors become answers.
// Specification: client-server API, "Standard error response", "Rate limiting".

import type { AppContext } from './app-type.ts'
import { isMatrixError, MatrixError } from '../errors.ts'
import { errorMessage, errorStack, log } from '../log.ts'

/** Renders what a handler threw. Anything that is no MatrixError is logged and answered 500 without details. */
export function renderError(error: Error, c: AppContext): Response {
  const known = isMatrixError(error) ? error : unknownError(error, c)
  const { retry_after_ms: retryAfterMs } = known.extra ?? {}
  // Since v1.10 every 429 carries Retry-After in whole seconds, rounded up.
  const headers =
    typeof retryAfterMs === 'number' ? { 'Retry-After': `${Math.ceil(retryAfterMs / 1000)}` } : {}
  const body = { errcode: known.errcode, error: known.message, ...known.extra }
  return new Response(JSON.stringify(body), {
    status: known.status,
    headers: { 'Content-Type': 'application/json', ...headers },
  })
}

function unknownError(error: Error, c: AppContext): MatrixError {
  const stack = errorStack(error)
  log({
    event: 'request_failed',
    method: c.req.method,
    path: new URL(c.req.url).pathname,
    error: errorMessage(error),
    ...(stack === undefined ? {} : { stack }),
  })
  return new MatrixError('M_UNKNOWN', 500, 'Internal server error')
}
