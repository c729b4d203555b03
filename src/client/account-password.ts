// Specification: client-server API, "Password management".

import * as v from 'valibot'
import { passwordHasherStub } from '../env.ts'
import { MatrixError } from '../errors.ts'
import type { App } from '../http/app-type.ts'
import { checkNewPassword } from '../http/check-password.ts'
import { interactiveAuth } from '../http/interactive-auth.ts'
import { checked, jsonObject } from '../http/json-body.ts'
import { rateLimitByAddress } from '../http/rate-limit.ts'
import { optionalFullSession } from '../http/session.ts'
import { setPasswordHash } from '../storage/users.ts'
import { authenticatedUser } from './authenticated-user.ts'
import { endDevices } from './end-devices.ts'

const passwordBody = v.object({ new_password: v.string(), logout_devices: v.optional(v.boolean(), true) })

/** POST /account/password. */
export function accountPasswordRoutes(app: App): void {
  // https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3accountpassword
  app.post('/_matrix/client/v3/account/password', async (c) => {
    await rateLimitByAddress(c, c.env.LOGIN_LIMIT)
    const session = await optionalFullSession(c)
    const body = await jsonObject(c)
    const request = checked(passwordBody, body, 'M_BAD_JSON')
    checkNewPassword(request.new_password)
    const auth = await interactiveAuth(c, { body, flows: [['m.login.password']], session })
    if (auth instanceof Response) return auth
    const user = await authenticatedUser(c.env, auth)
    const passwordHash = await passwordHasherStub(c.env).hash(request.new_password)
    if (!(await setPasswordHash(c.env, user.userId, passwordHash))) {
      throw new MatrixError('M_USER_DEACTIVATED', 403, 'The account was deactivated')
    }
    // Other devices are logged out unless the client says otherwise, the one that asks never is.
    if (request.logout_devices) await endDevices(c.env, user, { allBut: session?.deviceId })
    return c.json({})
  })
}
