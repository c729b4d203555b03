// What identity providers send browsers back to. Specification: client-server API, "Handling the callback from the Authentication
// server", of login and of user-interactive authentication alike.

import { config } from '../config.ts'
import { isMatrixError } from '../errors.ts'
import type { App, AppContext } from '../http/app-type.ts'
import type { UserId } from '../matrix/event.ts'
import {
  expectedAnswer,
  keepAnswer,
  ownAttempt,
  pageUrl,
  providerOf,
  redirectOnce,
  requireSso,
  ssoPath,
} from '../sso/attempt.ts'
import { foundAccount, refuseEnded } from '../sso/found-account.ts'
import { type NewIdentity, newIdentity } from '../sso/new-identity.ts'
import { type Identified, identify } from '../sso/openid-client.ts'
import { orRefusalPage, SsoRefusal } from '../sso/refusal.ts'
import type { SsoProvider, SsoSettings } from '../sso/sso-settings.ts'
import { findInteractiveAuth } from '../storage/interactive-auth-sessions.ts'
import { tokenHash } from '../storage/secret-token.ts'
import { answerSsoAttempt, type SsoAttempt } from '../storage/sso-attempts.ts'
import { linkedUser } from '../storage/sso-links.ts'
import { createAccount, freeUserId } from './create-account.ts'
import { goOn } from './sso-confirm.ts'

/** GET of the callback. */
export function ssoCallbackRoutes(app: App): void {
  // https://spec.matrix.org/v1.19/client-server-api/#handling-the-callback-from-the-authentication-server
  app.get(`${ssoPath}/callback/:provider`, (c) =>
    orRefusalPage(c, () => callback(c, c.req.param('provider'))),
  )
}

async function callback(c: AppContext, sentTo: string): Promise<Response> {
  const sso = requireSso(c.env)
  const query = new URL(c.req.url).searchParams
  const attempt = await ownAttempt(c, sso, tokenHash(query.get('state') ?? ''))
  if (sentTo !== attempt.provider) throw new SsoRefusal('invalid-answer', `${attempt.provider}: of another`)
  // An answer counts once.
  if (!(await answerSsoAttempt(c.env, attempt.id))) throw new SsoRefusal('answered-before', attempt.provider)
  const provider = providerOf(sso, attempt.provider)
  const identified = await identify(provider, expectedAnswer(sso, attempt), query)
  const known = await linkedUser(c.env, provider.id, identified.subject)
  if (attempt.authSession !== null) {
    return await confirmOwner(c, sso, attempt, await ownerOf(c, attempt.authSession), known)
  }
  if (known !== undefined) return await signIn(c, sso, attempt, known)
  return await welcome(c, sso, attempt, provider, identified)
}

async function ownerOf(c: AppContext, authSession: string): Promise<UserId> {
  const session = await findInteractiveAuth(c.env, authSession)
  if (!session || session.userId === null) throw new SsoRefusal('stage-over')
  return session.userId
}

/** It must be the very user of the provider that the account is linked with. */
async function confirmOwner(
  c: AppContext,
  sso: SsoSettings,
  attempt: SsoAttempt,
  owner: UserId,
  known: UserId | undefined,
): Promise<Response> {
  if (known !== owner) throw new SsoRefusal('another-account', attempt.provider)
  return await signIn(c, sso, attempt, owner)
}

async function signIn(
  c: AppContext,
  sso: SsoSettings,
  attempt: SsoAttempt,
  userId: UserId,
): Promise<Response> {
  await refuseEnded(c.env, userId)
  await keepAnswer(c, sso, attempt, { userId })
  return await goOn(c, sso, { ...attempt, userId }, 302)
}

/** Somebody the server has not seen yet. */
async function welcome(
  c: AppContext,
  sso: SsoSettings,
  attempt: SsoAttempt,
  provider: SsoProvider,
  identified: Identified,
): Promise<Response> {
  const identity = await newIdentity(provider, identified)
  const found = await foundAccount(c.env, provider, identity)
  if (found !== undefined) return await signIn(c, sso, attempt, found)
  if (!provider.register) throw new SsoRefusal('no-account', provider.id)
  const created = await createdAtOnce(c, attempt, provider, identity)
  if (created !== undefined) return await signIn(c, sso, attempt, created)
  await keepAnswer(c, sso, attempt, { identity: JSON.stringify(identity) })
  return redirectOnce(c, pageUrl(sso, 'account', attempt.id), 302)
}

/** An account without asking anything, where the provider has a user name that will do and there is nothing to accept. */
async function createdAtOnce(
  { env }: AppContext,
  { action }: SsoAttempt,
  provider: SsoProvider,
  { localpart, subject, displayName, email }: NewIdentity,
): Promise<UserId | undefined> {
  // Who wants to log in may have taken the wrong button: they are told first that they have no account yet.
  if (localpart === undefined || action === 'login' || config(env).terms) return undefined
  try {
    const singleSignOn = { provider: provider.id, subject, displayName, email, policies: [] }
    const account = await createAccount(env, {
      userId: await freeUserId(env, localpart),
      password: null,
      singleSignOn,
    })
    return account.userId
  } catch (error) {
    if (!isMatrixError(error)) throw error
    // The name is taken: by themselves, perhaps, who have signed in in another tab meanwhile.
    return await linkedUser(env, provider.id, subject)
  }
}
