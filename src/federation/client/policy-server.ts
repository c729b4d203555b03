// Asking the policy server of a room for its signature on an event.
// Specification: server-server API, "Asking for a Policy Server signature on an event", POST /_matrix/policy/v1/sign.

import type { Env } from '../../env.ts'
import { type Errcode, isMatrixError, MatrixError } from '../../errors.ts'
import type { JsonObject } from '../../matrix/json.ts'
import { objectProperty, property, stringProperty } from '../../matrix/json.ts'
import { policyKeyId } from '../../matrix/policy-server.ts'
import type { UnsignedEvent } from '../../room/policy-server.ts'
import { unreachable } from './transport.ts'
import { backOff } from './back-off.ts'
import { type FederationAnswer, federationRequest } from './request.ts'

// A client waits for it, or those who are to see the event.
const timeoutMs = 10_000
const maxBytes = 65_536
const longestMessage = 500
const usualWaitMs = 5_000
const standing = backOff({ afterSuccess: 0, afterFailure: 2_000, longest: 60_000 })

// What a policy server may say, which is for the client to know. Anything else would speak of our request.
const handedOn: Readonly<Record<number, readonly Errcode[]>> = {
  400: ['M_FORBIDDEN', 'M_BAD_JSON', 'M_NOT_JSON'],
  403: ['M_FORBIDDEN'],
  404: ['M_NOT_FOUND', 'M_UNRECOGNIZED'],
  429: ['M_LIMIT_EXCEEDED'],
}

/**
 * The signature of a policy server on an event. What it refuses the event with; 502 M_CONNECTION_FAILED where it cannot be
 * reached, was not of late, or gives no signature; 504 M_CONNECTION_TIMEOUT.
 */
export async function policySignature(env: Env, { via, text }: UnsignedEvent): Promise<string> {
  if (!standing.allows(via)) throw unreachable(via, 'it did not answer of late')
  const answer = await asked(env, via, text)
  if (answer.status !== 200) throw refusal(answer)
  // Its signature alone, beside which it may have others.
  const signature = stringProperty(objectProperty(answer.body, via), policyKeyId)
  if (signature === undefined) throw unreachable(via, 'it gave no signature')
  return signature
}

async function asked(env: Env, via: UnsignedEvent['via'], text: string): Promise<FederationAnswer> {
  try {
    const answer = await federationRequest(env, {
      destination: via,
      method: 'POST',
      path: '/_matrix/policy/v1/sign',
      // The room's own text.
      content: JSON.parse(text) as JsonObject,
      timeoutMs,
      maxBytes,
    })
    if (answer.status >= 500) standing.failed(via)
    else standing.succeeded(via)
    return answer
  } catch (error) {
    if (isMatrixError(error)) standing.failed(via)
    throw error
  }
}

function refusal({ status, body }: FederationAnswer): MatrixError {
  const message = (stringProperty(body, 'error') ?? 'The policy server refuses the event').slice(
    0,
    longestMessage,
  )
  const errcode = handedOn[status]?.find((known) => known === stringProperty(body, 'errcode'))
  if (errcode === undefined) return new MatrixError('M_FORBIDDEN', status < 500 ? 403 : 502, message)
  const retryAfter = property(body, 'retry_after_ms')
  const isTime = typeof retryAfter === 'number' && Number.isSafeInteger(retryAfter) && retryAfter > 0
  // Every 429 says when to come again.
  const extra = status === 429 ? { retry_after_ms: isTime ? retryAfter : usualWaitMs } : {}
  return new MatrixError(errcode, status, message, extra)
}
