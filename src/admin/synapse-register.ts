// Registration by shared secret, as operators' scripts know it: Synapse's admin API, "Shared-Secret Registration".

import { createHmac, timingSafeEqual } from 'node:crypto'
import * as v from 'valibot'
import type { Env } from '../env.ts'
import { MatrixError } from '../errors.ts'
import type { App } from '../http/app-type.ts'
import { checkNewPassword } from '../http/check-password.ts'
import { jsonBody } from '../http/json-body.ts'
import { clientAddress, rateLimitByAddress } from '../http/rate-limit.ts'
import { createNonce, useNonce } from '../storage/shared-secret-nonces.ts'
import { createAccount, freeUserId } from '../client/create-account.ts'
import { newSession } from '../client/new-session.ts'
import { setProfileField } from '../storage/profiles.ts'

// The parts that are signed are separated by NUL, so none may contain one.
const signedText = v.pipe(v.string(), v.minLength(1), v.regex(/^[^\0]*$/))

const registration = v.object({
  nonce: v.string(),
  username: signedText,
  password: signedText,
  mac: v.string(),
  admin: v.optional(v.boolean(), false),
  user_type: v.optional(v.nullable(signedText), null),
  displayname: v.optional(v.pipe(v.string(), v.maxLength(256))),
})

/** GET and POST /_synapse/admin/v1/register, present only where a shared secret is configured. */
export function synapseRegisterRoutes(app: App): void {
  app.get('/_synapse/admin/v1/register', async (c) => {
    sharedSecret(c.env)
    await rateLimitByAddress(c, c.env.REGISTER_LIMIT)
    return c.json({ nonce: await createNonce(c.env) })
  })

  app.post('/_synapse/admin/v1/register', async (c) => {
    const secret = sharedSecret(c.env)
    await rateLimitByAddress(c, c.env.REGISTER_LIMIT)
    const request = await jsonBody(c, registration)
    if (!(await useNonce(c.env, request.nonce))) throw new MatrixError('M_UNKNOWN', 400, 'Unrecognised nonce')
    if (!isSignedBy(secret, request)) throw new MatrixError('M_UNKNOWN', 403, 'HMAC incorrect')
    const userId = await freeUserId(c.env, request.username)
    checkNewPassword(request.password)
    const account = await createAccount(c.env, {
      userId,
      password: request.password,
      admin: request.admin,
      guest: false,
    })
    if (request.displayname) await setProfileField(c.env, userId, 'displayname', request.displayname)
    return c.json(await newSession(c.env, account, {}, clientAddress(c)))
  })
}

function sharedSecret(env: Env): string {
  const secret = env.REGISTRATION_SHARED_SECRET
  if (secret === undefined || secret === '')
    throw new MatrixError('M_UNRECOGNIZED', 404, 'Unrecognized request')
  return secret
}

function isSignedBy(secret: string, request: v.InferOutput<typeof registration>): boolean {
  const { nonce, username, password, admin, user_type: userType } = request
  const parts = [
    nonce,
    username,
    password,
    admin ? 'admin' : 'notadmin',
    ...(userType === null ? [] : [userType]),
  ]
  const expected = createHmac('sha1', secret).update(parts.join('\0')).digest()
  const given = Buffer.from(request.mac, 'hex')
  return given.length === expected.length && timingSafeEqual(given, expected)
}
