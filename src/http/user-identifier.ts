// Which user a client means. Specification: client-server API, "Identifier types".

import { config } from '../config.ts'
import type { Env } from '../env.ts'
import { MatrixError } from '../errors.ts'
import type { UserId } from '../matrix/event.ts'
import { newUserId } from '../matrix/identifiers.ts'
import { type JsonObject, objectProperty, stringProperty } from '../matrix/json.ts'

/**
 * The local user that auth data or a login names, by `identifier` or the old `user`; they need not exist. Undefined
 * for what cannot be a user of ours. M_MISSING_PARAM without a user, M_UNKNOWN for an unknown type of identifier.
 */
export function identifiedUser(env: Env, auth: JsonObject): UserId | undefined {
  const identifier = objectProperty(auth, 'identifier')
  const type = identifier === undefined ? 'm.id.user' : stringProperty(identifier, 'type')
  switch (type) {
    case 'm.id.user': {
      const user = stringProperty(identifier ?? auth, 'user')
      if (user === undefined) throw new MatrixError('M_MISSING_PARAM', 400, 'Missing field: identifier.user')
      return localUserId(env, user)
    }
    case 'm.id.thirdparty':
    case 'm.id.phone':
      // No account has a third-party identifier.
      return undefined
    case undefined:
    default:
      throw new MatrixError('M_UNKNOWN', 400, 'Unknown type of identifier')
  }
}

/** The user id of ours that a user id or localpart stands for, in lower case. */
function localUserId(env: Env, text: string): UserId | undefined {
  const { serverName } = config(env)
  const whole = text.startsWith('@') && text.endsWith(`:${serverName}`)
  const localpart = whole ? text.slice(1, -serverName.length - 1) : text
  return newUserId(asciiLowerCase(localpart), serverName)
}

/** Lower case of A-Z alone: some other letters have an ASCII letter as their lower case. */
export function asciiLowerCase(text: string): string {
  return text.replace(/[A-Z]/g, (letter) => letter.toLowerCase())
}
