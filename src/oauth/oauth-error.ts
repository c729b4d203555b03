// Errors of the endpoints that clients call: not Matrix's own, but those of the RFCs. RFC 6749, section 5.2; RFC 7591, section 3.2.2;
// RFC 8628, section 3.5.

import { config } from '../config.ts'
import type { Env } from '../env.ts'
import { isMatrixError, MatrixError } from '../errors.ts'
import type { AppContext } from '../http/app-type.ts'
import { boundedBody } from '../http/bounded-body.ts'
import { errorMessage, log } from '../log.ts'
import type { OauthSettings } from './oauth-settings.ts'

export type OauthErrorCode =
  | 'invalid_request'
  | 'invalid_client'
  | 'invalid_grant'
  | 'unauthorized_client'
  | 'unsupported_grant_type'
  | 'unsupported_response_type'
  | 'request_not_supported'
  | 'request_uri_not_supported'
  | 'interaction_required'
  | 'invalid_scope'
  | 'invalid_target'
  | 'invalid_redirect_uri'
  | 'invalid_client_metadata'
  | 'access_denied'
  | 'authorization_pending'
  | 'slow_down'
  | 'expired_token'
  | 'temporarily_unavailable'
  | 'server_error'

/** A refusal; the description is for developers. */
export class OauthError extends Error {
  readonly code: OauthErrorCode

  constructor(code: OauthErrorCode, description: string) {
    super(description)
    this.name = 'OauthError'
    this.code = code
  }
}

/** Where the OAuth 2.0 API is. 404 M_UNRECOGNIZED where it is off: then there is nothing of it. */
export function requireOauth(env: Env): OauthSettings {
  const { oauth } = config(env)
  if (oauth) return oauth
  throw new MatrixError('M_UNRECOGNIZED', 404, 'This server does not offer the OAuth 2.0 API')
}

/** Answers a client, with an error of the RFCs where there is one. Nothing of it is to be kept by caches. */
export async function orOauthError(c: AppContext, answer: () => Promise<Response>): Promise<Response> {
  requireOauth(c.env)
  c.header('Cache-Control', 'no-store')
  c.header('Pragma', 'no-cache')
  try {
    return await answer()
  } catch (error) {
    return error instanceof OauthError ? refused(c, error) : failed(c, error)
  }
}

function refused(c: AppContext, { code, message }: OauthError): Response {
  const body = { error: code, error_description: message }
  // RFC 6749, section 5.2: only who tried to authenticate by a header is answered with one.
  if (code !== 'invalid_client' || c.req.header('Authorization') === undefined) return c.json(body, 400)
  c.header('WWW-Authenticate', 'Basic realm="Matrix"')
  return c.json(body, 401)
}

function failed(c: AppContext, error: unknown): Response {
  const told = isMatrixError(error) ? error : undefined
  // Clients take any 4xx for the end of their session. What may go better another time is a 5xx: a lock is lifted, and the session
  // of whoever was locked goes on then.
  if (told?.status === 429 || told?.errcode === 'M_USER_LOCKED') {
    c.header('Retry-After', String(Math.ceil(Number(told.extra['retry_after_ms'] ?? 10_000) / 1000)))
    return c.json({ error: 'temporarily_unavailable', error_description: told.message }, 503)
  }
  log({ event: 'request_failed', method: c.req.method, path: c.req.path, error: errorMessage(error) })
  return c.json({ error: 'server_error', error_description: 'Internal server error' }, 500)
}

const maxFormBytes = 16 * 1024

/** The parameters of a request, as a form. RFC 6749, section 3.2: none may come twice, and empty ones are as if not there. */
export async function formParameters(c: AppContext): Promise<Map<string, string>> {
  const type = c.req.header('Content-Type') ?? ''
  if (!/^application\/x-www-form-urlencoded *(;|$)/i.test(type)) {
    throw new OauthError('invalid_request', 'The body must be application/x-www-form-urlencoded')
  }
  const bytes = await boundedBody(c.req.raw.body, maxFormBytes)
  if (bytes === undefined) throw new OauthError('invalid_request', 'The request is too large')
  return uniqueParameters(new URLSearchParams(new TextDecoder().decode(bytes)))
}

/** The same of parameters that were read before. OauthError invalid_request where one comes twice. */
export function uniqueParameters(parameters: URLSearchParams): Map<string, string> {
  const found = new Map<string, string>()
  for (const [name, value] of parameters) {
    if (found.has(name)) {
      // Anybody may put anything into a link: only what looks like a name is said again.
      const told = /^[a-z_]{1,40}$/.test(name) ? name : 'A parameter'
      throw new OauthError('invalid_request', `${told} comes twice`)
    }
    found.set(name, value)
  }
  return new Map([...found].filter(([, value]) => value !== ''))
}

/** A parameter that must be there. OauthError invalid_request. */
export function requiredParameter(parameters: ReadonlyMap<string, string>, name: string): string {
  const value = parameters.get(name)
  if (value === undefined) throw new OauthError('invalid_request', `Missing parameter: ${name}`)
  return value
}
