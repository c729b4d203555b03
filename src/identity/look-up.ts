// Whose an address is, as an identity server knows it. Addresses go out hashed (MSC2134).
// Specification: identity service API, "Association lookup".

import { createHash } from 'node:crypto'
import type { Env } from '../env.ts'
import { unreachable } from '../federation/client/transport.ts'
import type { UserId } from '../matrix/event.ts'
import { parseUserId } from '../matrix/identifiers.ts'
import { objectProperty, property, stringProperty } from '../matrix/json.ts'
import { askIdentityServer, identityRequest, type IdentityServer } from './identity-server.ts'
import { identityRefusal } from './identity-refusal.ts'
import type { ThirdPartyIdentifier } from './third-party-identifier.ts'

type Algorithm = 'sha256' | 'none'

interface HashDetails {
  readonly pepper: string
  readonly algorithm: Algorithm
}

/** The user of each identifier, undefined where it has none. Refusals of the server, 502 and 504 as `identityRequest`. */
export async function lookUp(
  env: Env,
  server: IdentityServer,
  identifiers: readonly ThirdPartyIdentifier[],
): Promise<(UserId | undefined)[]> {
  const found = await lookUpOnce(env, server, identifiers)
  if (found) return found
  // The pepper was replaced since it was asked for. Twice in a row that does not happen.
  const again = await lookUpOnce(env, server, identifiers)
  if (again) return again
  throw unreachable(server.name, 'it takes no pepper, not even the one it has given')
}

/** Undefined where the pepper does not count any more. */
async function lookUpOnce(
  env: Env,
  server: IdentityServer,
  identifiers: readonly ThirdPartyIdentifier[],
): Promise<(UserId | undefined)[] | undefined> {
  const details = await hashDetails(env, server)
  const { algorithm, pepper } = details
  const addresses = identifiers.map((identifier) => lookUpAddress(identifier, details))
  const answer = await identityRequest(env, {
    server: server.name,
    path: '/_matrix/identity/v2/lookup',
    authorization: `Bearer ${server.accessToken}`,
    // The pepper belongs to the request even where nothing is hashed with it.
    body: JSON.stringify({ algorithm, pepper, addresses }),
  })
  if (answer.status === 400 && stringProperty(answer.body, 'errcode') === 'M_INVALID_PEPPER') return undefined
  if (answer.status !== 200) throw identityRefusal(server.name, answer)
  const mappings = objectProperty(answer.body, 'mappings')
  if (!mappings) throw unreachable(server.name, 'its answer to a look-up is none')
  return addresses.map((address) => {
    const named = property(mappings, address)
    if (named === undefined) return undefined
    const userId = typeof named === 'string' ? parseUserId(named) : undefined
    if (userId === undefined) throw unreachable(server.name, 'it names somebody who is no user')
    return userId
  })
}

async function hashDetails(env: Env, server: IdentityServer): Promise<HashDetails> {
  const body = await askIdentityServer(env, server, '/_matrix/identity/v2/hash_details')
  const pepper = stringProperty(body, 'lookup_pepper')
  const offered = property(body, 'algorithms')
  const algorithm = Array.isArray(offered) ? preferred.find((name) => offered.includes(name)) : undefined
  if (pepper !== undefined && algorithm !== undefined) return { pepper, algorithm }
  throw unreachable(server.name, 'it offers no way of looking up that is known here')
}

// All servers must know sha256. In the clear only where a server cannot compare hashes, such as one before a directory.
const preferred: readonly Algorithm[] = ['sha256', 'none']

/** An identifier as an algorithm wants it. */
export function lookUpAddress(
  { address, medium }: ThirdPartyIdentifier,
  { algorithm, pepper }: HashDetails,
): string {
  if (algorithm === 'none') return `${address} ${medium}`
  return createHash('sha256').update(`${address} ${medium} ${pepper}`).digest('base64url')
}
