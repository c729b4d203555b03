// Login by password or login token, the latter also at the end of single sign-on. Specification: client-server API, "Login" of the legacy API.

import * as v from 'valibot'
import { type Config, config } from '../config.ts'
import type { Env } from '../env.ts'
import { MatrixError } from '../errors.ts'
import type { App } from '../http/app-type.ts'
import { checkPassword } from '../http/check-password.ts'
import { interactiveAuth } from '../http/interactive-auth.ts'
import { checked, jsonObject } from '../http/json-body.ts'
import { ownerFlows } from '../http/owner-flows.ts'
import { clientAddress, rateLimitByAddress, rateLimitUser } from '../http/rate-limit.ts'
import { requireSession } from '../http/session.ts'
import { identifiedUser } from '../http/user-identifier.ts'
import { type JsonObject, stringProperty } from '../matrix/json.ts'
import type { SsoProvider } from '../sso/sso-settings.ts'
import { createLoginToken, useLoginToken } from '../storage/login-tokens.ts'
import { userLocked } from '../storage/sessions.ts'
import { findUser, type User } from '../storage/users.ts'
import { appserviceLogin, isOfAppservice, userOfAppservice } from './appservice-account.ts'
import { deviceFields, newSession } from './new-session.ts'

const loginBody = v.object({ type: v.string(), ...deviceFields })

// The specification's recommendation.
const loginTokenLifetimeMs = 120_000

/** GET and POST /login, POST /login/get_token. */
export function loginRoutes(app: App): void {
  // https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3login
  app.get('/_matrix/client/v3/login', (c) => c.json({ flows: loginFlows(config(c.env)) }))

  // https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3login
  app.post('/_matrix/client/v3/login', async (c) => {
    const body = await jsonObject(c)
    const ofAppservice = isOfAppservice(body)
    if (!ofAppservice) await rateLimitByAddress(c, c.env.LOGIN_LIMIT)
    const request = checked(loginBody, body, 'M_BAD_JSON')
    const user = ofAppservice
      ? await userOfAppservice(c, body)
      : await authenticated(c.env, request.type, body)
    if (!user || user.deactivatedAt !== null)
      throw new MatrixError('M_FORBIDDEN', 403, 'Invalid user name or password')
    if (user.locked) throw userLocked()
    return c.json(await newSession(c.env, user, request, clientAddress(c)))
  })

  // https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv1loginget_token
  app.post('/_matrix/client/v1/login/get_token', requireSession(), async (c) => {
    const { session } = c.var
    await rateLimitUser(c.env, c.env.LOGIN_LIMIT, c.var.session)
    const body = await jsonObject(c, { optional: true })
    const auth = await interactiveAuth(c, { body, flows: await ownerFlows(c.env, session), session })
    if (auth instanceof Response) return auth
    const token = await createLoginToken(c.env, session.userId, Date.now() + loginTokenLifetimeMs)
    return c.json({ login_token: token, expires_in_ms: loginTokenLifetimeMs })
  })
}

function loginFlows({ sso, oauth, passwordLogin, appservices }: Config): JsonObject[] {
  const providers = sso ? { identity_providers: sso.providers.map(identityProvider) } : {}
  return [
    ...(sso || oauth ? [{ type: 'm.login.sso', ...providers, ...(oauth ? preferred : {}) }] : []),
    ...(passwordLogin ? [{ type: 'm.login.password' }] : []),
    { type: 'm.login.token', get_login_token: true },
    ...(appservices.length > 0 ? [{ type: appserviceLogin }] : []),
  ]
}

// MSC3824: our pages have all ways to sign in, and an account page besides. Deployed clients know the second name.
const preferred = {
  oauth_aware_preferred: true,
  'org.matrix.msc3824.delegated_oidc_compatibility': true,
}

function identityProvider({ id, name, icon, brand }: SsoProvider): JsonObject {
  return { id, name, ...(icon !== undefined && { icon }), ...(brand !== undefined && { brand }) }
}

async function authenticated(env: Env, type: string, body: JsonObject): Promise<User | undefined> {
  switch (type) {
    case 'm.login.password': {
      if (!config(env).passwordLogin) throw new MatrixError('M_UNKNOWN', 400, 'Passwords are no login here')
      const password = required(body, 'password')
      const userId = await identifiedUser(env, body)
      return userId && (await checkPassword(env, userId, password))
    }
    case 'm.login.token': {
      const userId = await useLoginToken(env, required(body, 'token'))
      return userId && (await findUser(env, userId))
    }
    default:
      throw new MatrixError('M_UNKNOWN', 400, 'Unknown login type')
  }
}

function required(body: JsonObject, field: string): string {
  const value = stringProperty(body, field)
  if (value === undefined) throw new MatrixError('M_MISSING_PARAM', 400, `Missing field: ${field}`)
  return value
}
