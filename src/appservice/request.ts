// Requests to application services, at the URLs that the operator has given: private addresses are as good as others.
// Specification: application service API, "Homeserver -> Application Service API", "Authorisation", "Legacy routes".

import { isMatrixError, MatrixError } from '../errors.ts'
import { boundedBody } from '../http/bounded-body.ts'
import { implementation } from '../version.ts'
import { knownForms, legacyPath } from './legacy-routes.ts'
import type { Appservice } from './registration.ts'

export interface AppserviceCall {
  readonly method: 'GET' | 'POST' | 'PUT'
  /** From `/_matrix/app/v1/` on, each identifier in it escaped with encodeURIComponent. */
  readonly path: string
  readonly query?: URLSearchParams
  /** JSON text. */
  readonly body?: string
  /** For the whole answer, in milliseconds, with the try of the older path. */
  readonly timeoutMs: number
}

export interface AppserviceAnswer {
  readonly status: number
  readonly text: string
}

const maxAnswerBytes = 1024 * 1024
const forms = knownForms<Appservice>()

/**
 * Sends a request to an application service and reads the answer, whatever its status; redirects are answers. 400 M_URL_NOT_SET
 * where it has no URL, 502 M_CONNECTION_FAILED where it cannot be reached or says more than 1 MiB, 504 M_CONNECTION_TIMEOUT.
 */
export async function appserviceRequest(
  appservice: Appservice,
  call: AppserviceCall,
): Promise<AppserviceAnswer> {
  if (appservice.url === undefined) {
    throw new MatrixError('M_URL_NOT_SET', 400, `The application service ${appservice.id} has no URL`)
  }
  const signal = AbortSignal.timeout(call.timeoutMs)
  try {
    return await sendInKnownForm(appservice, call, signal)
  } catch (error) {
    if (signal.aborted) {
      throw new MatrixError(
        'M_CONNECTION_TIMEOUT',
        504,
        `The application service ${appservice.id} did not answer in time`,
      )
    }
    if (isMatrixError(error)) throw error
    // What went wrong may have the URL in it, and that the token.
    throw unreachable(appservice, 'cannot be reached')
  }
}

async function sendInKnownForm(
  appservice: Appservice,
  call: AppserviceCall,
  signal: AbortSignal,
): Promise<AppserviceAnswer> {
  const known = forms.formOf(appservice)
  const older = legacyPath(call.path)
  // "if the application service [answers with] an HTTP status code that does not indicate success […] fall back"; one that
  // has understood the newer path before means what it says.
  if (older === undefined || known === 'versioned') return await send(appservice, call, call.path, signal)
  const versioned = { form: 'versioned', path: call.path } as const
  const legacy = { form: 'legacy', path: older } as const
  const [first, second] = known === 'legacy' ? [legacy, versioned] : [versioned, legacy]
  const answer = await send(appservice, call, first.path, signal)
  if (isSuccess(answer)) {
    forms.succeeded(appservice, first.form)
    return answer
  }
  const other = await send(appservice, call, second.path, signal)
  if (!isSuccess(other)) return answer
  forms.succeeded(appservice, second.form)
  return other
}

async function send(
  appservice: Appservice,
  call: AppserviceCall,
  path: string,
  signal: AbortSignal,
): Promise<AppserviceAnswer> {
  const { method, query, body } = call
  const url = new URL(`${appservice.url}${path}`)
  for (const [name, value] of query ?? []) url.searchParams.append(name, value)
  // Those of the older paths know no header. The token is in the address for them alone, since addresses are logged.
  if (path !== call.path) url.searchParams.set('access_token', appservice.hsToken)
  const response = await fetch(url, {
    method,
    headers: {
      Authorization: `Bearer ${appservice.hsToken}`,
      'User-Agent': `${implementation.name}/${implementation.version}`,
      ...(body === undefined ? {} : { 'Content-Type': 'application/json' }),
    },
    ...(body === undefined ? {} : { body }),
    redirect: 'manual',
    signal,
  })
  const bytes = await boundedBody(response.body, maxAnswerBytes)
  if (!bytes) throw unreachable(appservice, 'says too much')
  return { status: response.status, text: new TextDecoder().decode(bytes) }
}

function isSuccess({ status }: AppserviceAnswer): boolean {
  return status >= 200 && status < 300
}

function unreachable({ id }: Appservice, what: string): MatrixError {
  return new MatrixError('M_CONNECTION_FAILED', 502, `The application service ${id} ${what}`)
}
