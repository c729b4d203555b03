// Saying whose an address is, and taking that back. Specification: identity service API, "Establishing associations";
// server-server API, "Request Authentication".

import type { Env } from '../env.ts'
import { unreachable } from '../federation/client/transport.ts'
import { authorizationHeader } from '../federation/client/x-matrix.ts'
import { ownSigner } from '../keys/own-signer.ts'
import { canonicalJson } from '../matrix/canonical-json.ts'
import type { ServerName, UserId } from '../matrix/event.ts'
import { stringProperty } from '../matrix/json.ts'
import { identityRefusal } from './identity-refusal.ts'
import {
  askIdentityServer,
  type IdentityAnswer,
  identityRequest,
  type IdentityServer,
} from './identity-server.ts'

export interface ValidatedSession {
  readonly sid: string
  readonly client_secret: string
}

/** An identifier as the identity server has it. */
export interface BoundIdentifier {
  readonly medium: string
  readonly address: string
}

/**
 * Binds the identifier that was validated in a session at the identity server. Answers it. Refusals of the server, 502 and 504 as
 * `identityRequest`.
 */
export async function bindIdentifier(
  env: Env,
  server: IdentityServer,
  userId: UserId,
  { sid, client_secret }: ValidatedSession,
): Promise<BoundIdentifier> {
  const content = { sid, client_secret, mxid: userId }
  const body = await askIdentityServer(env, server, '/_matrix/identity/v2/3pid/bind', content)
  const medium = stringProperty(body, 'medium')
  const address = stringProperty(body, 'address')
  if (medium === undefined || address === undefined || stringProperty(body, 'mxid') !== userId) {
    throw unreachable(server.name, 'it does not say what it has bound')
  }
  return { medium, address }
}

export type UnbindResult = 'success' | 'no-support'

const unbindPath = '/_matrix/identity/v2/3pid/unbind'

/**
 * Unbinds an identifier of a user of this server, which signs the request. `no-support` where the server does not know how.
 * Refusals of the server, 502 and 504 as `identityRequest`.
 */
export async function unbindIdentifier(
  env: Env,
  server: ServerName,
  userId: UserId,
  { medium, address }: BoundIdentifier,
): Promise<UnbindResult> {
  const body = canonicalJson({ mxid: userId, threepid: { medium, address } }, { strict: false })
  const asked = await signedRequest(env, server, body, 'destination')
  // The identity server that most have names itself otherwise in what it verifies.
  const answer = isUnverified(asked) ? await signedRequest(env, server, body, 'destination_is') : asked
  if (answer.status === 200) return 'success'
  // No Matrix error with one of these says that there is no such endpoint.
  const isMatrixError = stringProperty(answer.body, 'errcode') !== undefined
  if (!isMatrixError && [400, 404, 501].includes(answer.status)) return 'no-support'
  throw identityRefusal(server, answer)
}

async function signedRequest(
  env: Env,
  server: ServerName,
  body: string,
  named: 'destination' | 'destination_is',
): Promise<IdentityAnswer> {
  const target = { method: 'POST', uri: unbindPath, destination: server }
  const authorization = authorizationHeader(await ownSigner(env), target, body, named)
  return await identityRequest(env, { server, path: unbindPath, body, authorization })
}

function isUnverified({ status, body }: IdentityAnswer): boolean {
  const errcode = stringProperty(body, 'errcode')
  return (status === 401 || status === 403) && (errcode === 'M_FORBIDDEN' || errcode === 'M_UNAUTHORIZED')
}
