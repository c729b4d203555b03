// Accounts that application services register and log in: without a password, whether registration is open or not, and
// however others log in. Specification: application service API, "Server admin style permissions".

import * as v from 'valibot'
import { appserviceOfToken, refuseOutsider } from '../appservice/namespaces.ts'
import type { Appservice } from '../appservice/registration.ts'
import { config } from '../config.ts'
import { MatrixError } from '../errors.ts'
import type { AppContext } from '../http/app-type.ts'
import { checked } from '../http/json-body.ts'
import { clientAddress, rateLimitByAddress } from '../http/rate-limit.ts'
import { accessToken } from '../http/session.ts'
import { identifiedUser } from '../http/user-identifier.ts'
import { bridgedUserId } from '../matrix/identifiers.ts'
import { type JsonObject, property } from '../matrix/json.ts'
import { unknownToken } from '../storage/sessions.ts'
import { findUser, type User } from '../storage/users.ts'
import { createAccount } from './create-account.ts'
import { deviceFields, newSession } from './new-session.ts'

/** The type by which registrations and logins of application services are told from others. */
export const appserviceLogin = 'm.login.application_service'

const registration = v.object({
  username: v.string(),
  inhibit_login: v.optional(v.boolean()),
  ...deviceFields,
})

/** Whether a registration or a login is that of an application service. */
export function isOfAppservice(body: JsonObject): boolean {
  return property(body, 'type') === appserviceLogin
}

/**
 * Registers a user of an application service, and logs them in unless that is not wanted. 401 M_MISSING_TOKEN and
 * M_UNKNOWN_TOKEN, 400 M_EXCLUSIVE for what is not in its namespace, M_INVALID_USERNAME, M_USER_IN_USE.
 */
export async function registerForAppservice(c: AppContext, body: JsonObject): Promise<Response> {
  const appservice = askingAppservice(c)
  const request = checked(registration, body, 'M_BAD_JSON')
  // As it is: an application service goes on to ask by the id that it made.
  const userId = bridgedUserId(request.username, config(c.env).serverName)
  if (userId === undefined) {
    throw new MatrixError('M_INVALID_USERNAME', 400, 'A user name consists of visible ASCII characters but :')
  }
  const account = await createAccount(c.env, {
    userId,
    password: null,
    admin: false,
    guest: false,
    appservice,
  })
  if (request.inhibit_login === true) {
    return c.json({ user_id: userId, home_server: config(c.env).serverName })
  }
  return c.json(await newSession(c.env, account, request, clientAddress(c)))
}

/**
 * The user whom an application service logs in; undefined where there is none. 401 M_MISSING_TOKEN and M_UNKNOWN_TOKEN, 400
 * M_EXCLUSIVE for one who is not in its namespace.
 */
export async function userOfAppservice(c: AppContext, body: JsonObject): Promise<User | undefined> {
  const appservice = askingAppservice(c)
  if (appservice.rateLimited) await rateLimitByAddress(c, c.env.LOGIN_LIMIT)
  const userId = await identifiedUser(c.env, body, bridgedUserId)
  if (userId === undefined) return undefined
  refuseOutsider(c.env, userId, appservice)
  return await findUser(c.env, userId)
}

function askingAppservice(c: AppContext): Appservice {
  const token = accessToken(c)
  if (token === undefined) throw new MatrixError('M_MISSING_TOKEN', 401, 'An access token is required')
  const appservice = appserviceOfToken(c.env, token)
  if (!appservice) throw unknownToken('The access token is not that of an application service')
  return appservice
}
