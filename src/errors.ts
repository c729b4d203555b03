// The one error that reaches the wire. Handlers and rooms throw it, only `app.onError` renders it.
// Specification: client-server API, "Standard error response" and the errcodes named by the endpoints.

import type { JsonObject } from './matrix/json.ts'

export type Errcode =
  | 'M_FORBIDDEN'
  | 'M_UNKNOWN_TOKEN'
  | 'M_MISSING_TOKEN'
  | 'M_USER_LOCKED'
  | 'M_USER_SUSPENDED'
  | 'M_USER_DEACTIVATED'
  | 'M_USER_LIMIT_EXCEEDED'
  | 'M_BAD_JSON'
  | 'M_NOT_JSON'
  | 'M_NOT_FOUND'
  | 'M_LIMIT_EXCEEDED'
  | 'M_UNRECOGNIZED'
  | 'M_UNKNOWN'
  | 'M_UNAUTHORIZED'
  | 'M_USER_IN_USE'
  | 'M_INVALID_USERNAME'
  | 'M_ROOM_IN_USE'
  | 'M_INVALID_ROOM_STATE'
  | 'M_THREEPID_DENIED'
  | 'M_THREEPID_NOT_FOUND'
  | 'M_THREEPID_IN_USE'
  | 'M_THREEPID_AUTH_FAILED'
  | 'M_THREEPID_MEDIUM_NOT_SUPPORTED'
  | 'M_SERVER_NOT_TRUSTED'
  | 'M_TOKEN_INCORRECT'
  | 'M_SESSION_EXPIRED'
  | 'M_SESSION_NOT_VALIDATED'
  | 'M_NO_VALID_SESSION'
  | 'M_TERMS_NOT_SIGNED'
  | 'M_INVALID_ADDRESS'
  | 'M_INVALID_EMAIL'
  | 'M_EMAIL_SEND_ERROR'
  | 'M_SEND_ERROR'
  | 'M_UNSUPPORTED_ROOM_VERSION'
  | 'M_INCOMPATIBLE_ROOM_VERSION'
  | 'M_BAD_STATE'
  | 'M_GUEST_ACCESS_FORBIDDEN'
  | 'M_MISSING_PARAM'
  | 'M_CAPTCHA_NEEDED'
  | 'M_CAPTCHA_INVALID'
  | 'M_INVALID_PARAM'
  | 'M_TOO_LARGE'
  | 'M_EXCLUSIVE'
  | 'M_UNKNOWN_DEVICE'
  | 'ORG.MATRIX.MSC4326.M_UNKNOWN_DEVICE'
  | 'M_CANNOT_LEAVE_SERVER_NOTICE_ROOM'
  | 'M_WEAK_PASSWORD'
  | 'M_UNABLE_TO_AUTHORISE_JOIN'
  | 'M_UNABLE_TO_GRANT_JOIN'
  | 'M_BAD_ALIAS'
  | 'M_DUPLICATE_ANNOTATION'
  | 'M_NOT_YET_UPLOADED'
  | 'M_CANNOT_OVERWRITE_MEDIA'
  | 'M_URL_NOT_SET'
  | 'M_BAD_STATUS'
  | 'M_CONNECTION_FAILED'
  | 'M_CONNECTION_TIMEOUT'
  | 'M_PROFILE_TOO_LARGE'
  | 'M_KEY_TOO_LARGE'
  | 'M_INVALID_SIGNATURE'
  | 'M_INVITE_BLOCKED'
  | 'M_RESOURCE_LIMIT_EXCEEDED'
  | 'M_WRONG_ROOM_KEYS_VERSION'
  | 'M_UNKNOWN_POS'
  | 'ORG.MATRIX.MSC4140_MAX_DELAY_EXCEEDED'
  | 'IO.ELEMENT.MSC4306.M_NOT_IN_THREAD'
  | 'IO.ELEMENT.MSC4306.M_CONFLICTING_UNSUBSCRIPTION'

/**
 * An error with everything the answer needs. `extra` holds further top-level fields of the body
 * (`retry_after_ms`, `soft_logout`, the UIA fields …). It crosses Durable Object RPC with its fields kept
 * (compatibility flag `enhanced_error_serialization`), but not its class: recognise it by `errcode`.
 */
export class MatrixError extends Error {
  readonly errcode: Errcode
  readonly status: number
  readonly extra: JsonObject

  constructor(errcode: Errcode, status: number, message: string, extra: JsonObject = {}) {
    super(message)
    this.name = 'MatrixError'
    this.errcode = errcode
    this.status = status
    this.extra = extra
  }
}

/** Whether something caught is a MatrixError, also one that crossed RPC and lost its class. */
export function isMatrixError(error: unknown): error is MatrixError {
  return (
    error instanceof Error &&
    'errcode' in error &&
    typeof error.errcode === 'string' &&
    'status' in error &&
    typeof error.status === 'number'
  )
}
