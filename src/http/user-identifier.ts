// Which user a client means. Specification: client-server API, "Identifier types".

import { createHash } from 'node:crypto'
import { config } from '../config.ts'
import type { Env } from '../env.ts'
import { MatrixError } from '../errors.ts'
import type { ServerName, UserId } from '../matrix/event.ts'
import { canonicalEmail } from '../matrix/email-address.ts'
import { newUserId } from '../matrix/identifiers.ts'
import { type JsonObject, objectProperty, property, stringProperty } from '../matrix/json.ts'
import { threepidOwner } from '../storage/threepids.ts'

/**
 * The local user that auth data or a login names, by `identifier` or the old fields beside it; they need not exist. Undefined
 * for what cannot be a user of ours. M_MISSING_PARAM without a user, M_UNKNOWN for an unknown type of identifier. `toUserId` makes
 * an id of a localpart: in lower case, unless something else is given.
 */
export async function identifiedUser(
  env: Env,
  auth: JsonObject,
  toUserId: ToUserId = lowerCaseUserId,
): Promise<UserId | undefined> {
  const identifier = objectProperty(auth, 'identifier') ?? auth
  const type = identifier === auth ? undefined : stringProperty(identifier, 'type')
  // Without a type: the old form, and an example of the specification.
  const isThreepid =
    property(identifier, 'medium') !== undefined && property(identifier, 'user') === undefined
  switch (type ?? (isThreepid ? 'm.id.thirdparty' : 'm.id.user')) {
    case 'm.id.user':
      // Only the old form has no type.
      if (type === undefined && identifier !== auth) throw unknownType()
      return localUserId(env, required(identifier, 'user'), toUserId)
    case 'm.id.thirdparty':
      return await threepidUser(env, required(identifier, 'medium'), required(identifier, 'address'))
    case 'm.id.phone':
      // No account has a phone number.
      return undefined
    default:
      throw unknownType()
  }
}

function unknownType(): MatrixError {
  return new MatrixError('M_UNKNOWN', 400, 'Unknown type of identifier')
}

function required(identifier: JsonObject, field: string): string {
  const value = stringProperty(identifier, field)
  if (value === undefined) throw new MatrixError('M_MISSING_PARAM', 400, `Missing field: identifier.${field}`)
  return value
}

async function threepidUser(env: Env, medium: string, text: string): Promise<UserId | undefined> {
  const address = medium === 'email' ? canonicalEmail(text) : undefined
  if (address === undefined) return undefined
  const owner = await threepidOwner(env, 'email', address)
  // Somebody who cannot exist: checking their password takes as long as that of others, and locks out as it does.
  return owner ?? newUserId(`_${createHash('sha256').update(address).digest('hex')}`, config(env).serverName)
}

type ToUserId = (localpart: string, serverName: ServerName) => UserId | undefined

/** The user id of ours that a user id or localpart stands for. */
function localUserId(env: Env, text: string, toUserId: ToUserId): UserId | undefined {
  const { serverName } = config(env)
  const whole = text.startsWith('@') && text.endsWith(`:${serverName}`)
  const localpart = whole ? text.slice(1, -serverName.length - 1) : text
  return toUserId(localpart, serverName)
}

function lowerCaseUserId(localpart: string, serverName: ServerName): UserId | undefined {
  return newUserId(asciiLowerCase(localpart), serverName)
}

/** Lower case of A-Z alone: some other letters have an ASCII letter as their lower case. */
export function asciiLowerCase(text: string): string {
  return text.replace(/[A-Z]/g, (letter) => letter.toLowerCase())
}
