// Whose account it is that somebody signs in to. Specification: client-server API, "Handling the callback from the Authentication
// server".

import { belongsToAppservice } from '../appservice/namespaces.ts'
import { config } from '../config.ts'
import type { Env } from '../env.ts'
import { log } from '../log.ts'
import type { UserId } from '../matrix/event.ts'
import { newUserId } from '../matrix/identifiers.ts'
import { linkedUser, linkUser } from '../storage/sso-links.ts'
import { threepidOwner } from '../storage/threepids.ts'
import { findUser } from '../storage/users.ts'
import type { NewIdentity } from './new-identity.ts'
import { SsoRefusal } from './refusal.ts'
import type { SsoProvider } from './sso-settings.ts'

/**
 * The account that was there before the provider, where the operator lets one be found, and links it. Undefined where there is
 * none, and for one that is another user of the provider.
 */
export async function foundAccount(
  env: Env,
  provider: SsoProvider,
  identity: NewIdentity,
): Promise<UserId | undefined> {
  const userId = await meantUser(env, provider, identity)
  const user = userId === undefined ? undefined : await findUser(env, userId)
  // A guest is nobody's in particular, and what a bridge looks after is no person's.
  if (!user || user.guest || belongsToAppservice(env, user.userId)) return undefined
  await refuseEnded(env, user.userId)
  if (await linkUser(env, provider.id, identity.subject, user.userId)) {
    log({ event: 'sso_linked', user_id: user.userId, provider: provider.id })
    return user.userId
  }
  return await linkedUser(env, provider.id, identity.subject)
}

async function meantUser(
  env: Env,
  { linkExisting }: SsoProvider,
  { localpart, email }: NewIdentity,
): Promise<UserId | undefined> {
  if (linkExisting === 'email' && email !== undefined) return await threepidOwner(env, 'email', email)
  return linkExisting === 'localpart' && localpart !== undefined
    ? newUserId(localpart, config(env).serverName)
    : undefined
}

/** SsoRefusal for an account that is locked or was deactivated: nobody signs in to it. */
export async function refuseEnded(env: Env, userId: UserId): Promise<void> {
  const user = await findUser(env, userId)
  if (!user || user.deactivatedAt !== null) throw new SsoRefusal('deactivated', userId)
  if (user.locked) throw new SsoRefusal('locked', userId)
}
