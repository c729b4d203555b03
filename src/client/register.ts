// Registration: open to all, with a registration token, or closed. Guests only where it is open to all.
// Specification: client-server API, "Account registration", "Token-authenticated registration", "Guest Access".

import * as v from 'valibot'
import { config } from '../config.ts'
import type { Env } from '../env.ts'
import { MatrixError } from '../errors.ts'
import type { App, AppContext } from '../http/app-type.ts'
import { asksWhetherConfirmed } from '../http/auth-stages/email-identity.ts'
import { checkNewPassword } from '../http/check-password.ts'
import { interactiveAuth } from '../http/interactive-auth.ts'
import { checked, jsonObject, queryParams } from '../http/json-body.ts'
import { clientAddress, rateLimitByAddress } from '../http/rate-limit.ts'
import { type JsonObject, stringProperty } from '../matrix/json.ts'
import { isRegistrationTokenValid } from '../storage/registration-tokens.ts'
import { isOfAppservice, registerForAppservice } from './appservice-account.ts'
import { type Account, createAccount, freeUserId, generatedUserId } from './create-account.ts'
import { deviceFields, newSession } from './new-session.ts'
import { registrationFlows } from './registration-flows.ts'
import { upgradedGuest } from './upgrade-guest.ts'

const registerQuery = v.object({ kind: v.optional(v.picklist(['user', 'guest']), 'user') })

const registerBody = v.object({
  username: v.optional(v.string()),
  password: v.optional(v.string()),
  inhibit_login: v.optional(v.boolean()),
  /** Not in the OpenAPI document: the guest access module describes it. */
  guest_access_token: v.optional(v.string()),
  ...deviceFields,
})

/** POST /register, GET /register/available, GET /register/m.login.registration_token/validity. */
export function registerRoutes(app: App): void {
  // https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3register
  app.post('/_matrix/client/v3/register', async (c) => {
    const { kind } = queryParams(c, registerQuery)
    const body = await jsonObject(c, { optional: kind === 'guest' })
    // No limit, no captcha, no terms: who runs the server has let it in.
    if (kind === 'user' && isOfAppservice(body)) return await registerForAppservice(c, body)
    await rateLimitByAddress(c, asksWhetherConfirmed(body) ? c.env.SEND_LIMIT : c.env.REGISTER_LIMIT)
    return kind === 'guest' ? await registerGuest(c, body) : await registerUser(c, body)
  })

  // https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3registeravailable
  app.get('/_matrix/client/v3/register/available', async (c) => {
    await rateLimitByAddress(c, c.env.REGISTER_LIMIT)
    const { username } = queryParams(c, v.object({ username: v.string() }))
    await freeUserId(c.env, username)
    return c.json({ available: true })
  })

  // https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv1registermloginregistration_tokenvalidity
  app.get('/_matrix/client/v1/register/m.login.registration_token/validity', async (c) => {
    await rateLimitByAddress(c, c.env.REGISTER_LIMIT)
    const { token } = queryParams(c, v.object({ token: v.string() }))
    refuseIfClosed(c.env)
    return c.json({ valid: await isRegistrationTokenValid(c.env, token) })
  })
}

async function registerUser(c: AppContext, body: JsonObject): Promise<Response> {
  refuseIfClosed(c.env)
  const request = checked(registerBody, body, 'M_BAD_JSON')
  if (request.password !== undefined) checkNewPassword(request.password)
  const { guest_access_token: guestToken, username, password } = request
  const account =
    guestToken === undefined
      ? await newAccount(c, body, request)
      : await upgradedGuest(c, body, { guest_access_token: guestToken, username, password })
  if (account instanceof Response) return account
  if (request.inhibit_login === true) {
    return c.json({ user_id: account.userId, home_server: config(c.env).serverName })
  }
  return c.json(await newSession(c.env, account, request, clientAddress(c)))
}

async function newAccount(
  c: AppContext,
  body: JsonObject,
  { username, password }: v.InferOutput<typeof registerBody>,
): Promise<Response | Account> {
  // The user name is judged before anybody has to authenticate.
  const userId = username === undefined ? generatedUserId(c.env) : await freeUserId(c.env, username)
  const flows = await registrationFlows(c.env)
  const auth = await interactiveAuth(c, { body, flows, session: undefined, usedByCaller: true })
  if (auth instanceof Response) return auth
  if (password === undefined) throw new MatrixError('M_MISSING_PARAM', 400, 'Missing field: password')
  return await createAccount(c.env, { userId, password, auth })
}

async function registerGuest(c: AppContext, body: JsonObject): Promise<Response> {
  if (config(c.env).registration !== 'open') {
    throw new MatrixError('M_FORBIDDEN', 403, 'This server has no guest accounts')
  }
  const account = await createAccount(c.env, {
    userId: generatedUserId(c.env, 'guest-'),
    password: null,
    admin: false,
    guest: true,
  })
  // Of a guest's parameters only the device's name counts.
  const name = stringProperty(body, 'initial_device_display_name')?.slice(0, 255)
  return c.json(await newSession(c.env, account, { initial_device_display_name: name }, clientAddress(c)))
}

function refuseIfClosed(env: Env): void {
  const { registration, passwordLogin } = config(env)
  if (registration === 'closed') {
    throw new MatrixError('M_FORBIDDEN', 403, 'Registration is closed on this server')
  }
  // Who registers does so with a password, and could not log in with it.
  if (!passwordLogin) throw new MatrixError('M_FORBIDDEN', 403, 'Accounts come by single sign-on alone')
}
