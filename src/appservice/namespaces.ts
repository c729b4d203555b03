// Which application service somebody is, and what belongs to it.
// Specification: application service API, "Identity assertion", "Server admin style permissions".

import { config } from '../config.ts'
import type { Env } from '../env.ts'
import { MatrixError } from '../errors.ts'
import type { RoomAlias, UserId } from '../matrix/event.ts'
import { serverNameOf } from '../matrix/identifiers.ts'
import { tokenHash } from '../storage/secret-token.ts'
import type { Appservice } from './registration.ts'

/** The application service that a token is of. */
export function appserviceOfToken(env: Env, token: string): Appservice | undefined {
  const { appservices } = config(env)
  if (appservices.length === 0) return undefined
  const hash = tokenHash(token)
  return appservices.find(({ asTokenHash }) => asTokenHash === hash)
}

/** Whether a user is one that an application service looks after: its sender, or a local user in its namespace. */
export function looksAfterUser(env: Env, appservice: Appservice, userId: UserId): boolean {
  // "application services can only register interest in local users"
  if (serverNameOf(userId) !== config(env).serverName) return false
  return appservice.sender === userId || appservice.users.some(({ matches }) => matches(userId))
}

/** Whether an alias is in the namespace of an application service. */
export function looksAfterAlias(appservice: Appservice, alias: RoomAlias): boolean {
  return appservice.aliases.some(({ matches }) => matches(alias))
}

/** Refuses a user whom an application service does not look after. 400 M_EXCLUSIVE. */
export function refuseOutsider(env: Env, userId: UserId, asking: Appservice): void {
  if (!looksAfterUser(env, asking, userId)) {
    throw exclusive('The user id is not in the namespace of the application service')
  }
}

/**
 * Refuses a user id that belongs to an application service alone, unless it is that one that asks. 400 M_EXCLUSIVE. With
 * `asking`, an application service, also what is outside of its own namespace.
 */
export function refuseForeignUser(env: Env, userId: UserId, asking?: Appservice): void {
  if (asking) refuseOutsider(env, userId, asking)
  const owners = ownersOf(env, userId)
  if (owners.length > 0 && !owners.some((owner) => owner === asking)) {
    throw exclusive('The user id belongs to an application service')
  }
}

/** Whether a user id belongs to an application service alone, so that nobody else has any business with it. */
export function belongsToAppservice(env: Env, userId: UserId): boolean {
  return ownersOf(env, userId).length > 0
}

function ownersOf(env: Env, userId: UserId): Appservice[] {
  return config(env).appservices.filter(
    ({ sender, users }) =>
      sender === userId || users.some((space) => space.exclusive && space.matches(userId)),
  )
}

/** Refuses a room alias that belongs to an application service alone, in the same way. */
export function refuseForeignAlias(env: Env, alias: RoomAlias, asking?: Appservice): void {
  if (asking && !looksAfterAlias(asking, alias)) {
    throw exclusive('The room alias is not in the namespace of the application service')
  }
  const owners = config(env).appservices.filter(({ aliases }) =>
    aliases.some((space) => space.exclusive && space.matches(alias)),
  )
  if (owners.length > 0 && !owners.some((owner) => owner === asking)) {
    throw exclusive('The room alias belongs to an application service')
  }
}

function exclusive(message: string): MatrixError {
  return new MatrixError('M_EXCLUSIVE', 400, message)
}
