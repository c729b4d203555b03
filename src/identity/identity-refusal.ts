// What an identity server refuses, as our client is told of it. Specification: identity service API, "Standard error response",
// "Terms of service"; client-server API, POST /account/3pid/bind: its errors are the client's to know.

import { type Errcode, MatrixError } from '../errors.ts'
import type { ServerName } from '../matrix/event.ts'
import { type JsonObject, property, stringProperty } from '../matrix/json.ts'
import type { IdentityAnswer } from './identity-server.ts'

const longestMessage = 300
const standardRetryMs = 10_000
const longestRetryMs = 24 * 3_600_000

// Not those that clients take for the end of their session here, such as M_UNKNOWN_TOKEN.
const handedOn: readonly Errcode[] = [
  'M_TERMS_NOT_SIGNED',
  'M_UNAUTHORIZED',
  'M_FORBIDDEN',
  'M_NO_VALID_SESSION',
  'M_SESSION_EXPIRED',
  'M_SESSION_NOT_VALIDATED',
  'M_THREEPID_IN_USE',
  'M_INVALID_ADDRESS',
  'M_INVALID_EMAIL',
  'M_INVALID_PARAM',
  'M_MISSING_PARAM',
  'M_EMAIL_SEND_ERROR',
  'M_SEND_ERROR',
  'M_NOT_FOUND',
  'M_UNRECOGNIZED',
  'M_LIMIT_EXCEEDED',
]

/** The error of an identity server: 502 where it is the server's own, or no Matrix error at all. */
export function identityRefusal(server: ServerName, { status, body }: IdentityAnswer): MatrixError {
  const errcode = stringProperty(body, 'errcode')
  if (errcode === undefined) {
    return new MatrixError('M_UNKNOWN', 502, `${server} answered with status ${status}`)
  }
  const known = handedOn.find((code) => code === errcode) ?? (status === 401 ? 'M_UNAUTHORIZED' : 'M_UNKNOWN')
  const message = (stringProperty(body, 'error') ?? 'no reason given').slice(0, longestMessage)
  const shown = status >= 400 && status < 500 ? status : 502
  return new MatrixError(known, shown, message, shown === 429 ? retry(body) : {})
}

// Since v1.10 every 429 says when to try again.
function retry(body: JsonObject | undefined): JsonObject {
  const asked = property(body, 'retry_after_ms')
  const ms =
    typeof asked === 'number' && asked > 0 ? Math.min(Math.ceil(asked), longestRetryMs) : standardRetryMs
  return { retry_after_ms: ms }
}
