// Specification: client-server API, "Password management".

import * as v from 'valibot'
import { config } from '../config.ts'
import { type Env, passwordHasherStub } from '../env.ts'
import { MatrixError } from '../errors.ts'
import type { App } from '../http/app-type.ts'
import { asksWhetherConfirmed, validatedBy } from '../http/auth-stages/email-identity.ts'
import { checkNewPassword } from '../http/check-password.ts'
import { interactiveAuth } from '../http/interactive-auth.ts'
import type { Flows } from '../http/interactive-auth-stages.ts'
import { checked, jsonObject } from '../http/json-body.ts'
import { ownerFlows, passwordFlows } from '../http/owner-flows.ts'
import { rateLimitByAddress } from '../http/rate-limit.ts'
import { optionalFullSession, refuseAppservice, type Session } from '../http/session.ts'
import { authenticatedUser } from './authenticated-user.ts'
import { setPassword, useAddress } from './set-password.ts'

const passwordBody = v.object({ new_password: v.string(), logout_devices: v.optional(v.boolean(), true) })

/** POST /account/password. */
export function accountPasswordRoutes(app: App): void {
  // https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3accountpassword
  app.post('/_matrix/client/v3/account/password', async (c) => {
    const body = await jsonObject(c)
    await rateLimitByAddress(c, asksWhetherConfirmed(body) ? c.env.SEND_LIMIT : c.env.LOGIN_LIMIT)
    const session = await optionalFullSession(c)
    refuseAppservice(session)
    const request = checked(passwordBody, body, 'M_BAD_JSON')
    checkNewPassword(request.new_password)
    refuseWithoutPasswords(c.env)
    const auth = await interactiveAuth(c, { body, flows: await flows(c.env, session), session })
    if (auth instanceof Response) return auth
    const user = await authenticatedUser(c.env, auth)
    const passwordHash = await passwordHasherStub(c.env).hash(request.new_password)
    const validation = validatedBy(auth)
    if (validation !== undefined) await useAddress(c.env, validation, user.userId)
    // Other devices are logged out unless the client says otherwise, the one that asks never is.
    const ended = request.logout_devices ? { allBut: session?.device?.deviceId } : undefined
    await setPassword(c.env, user, passwordHash, ended)
    return c.json({})
  })
}

// Who has lost their password has an address of the account left. Who is signed in has not lost it.
async function flows(env: Env, session: Session | undefined): Promise<Flows> {
  if (session) return await ownerFlows(env, session)
  return config(env).mail ? [...passwordFlows(env), ['m.login.email.identity']] : passwordFlows(env)
}

function refuseWithoutPasswords(env: Env): void {
  if (!config(env).passwordLogin) throw new MatrixError('M_FORBIDDEN', 403, 'Passwords are no login here')
}
