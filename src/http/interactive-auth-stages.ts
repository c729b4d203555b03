// The stages of user-interactive authentication. Specification: client-server API, "Authentication types".

import type { Env } from '../env.ts'
import { type Errcode, MatrixError } from '../errors.ts'
import type { UserId } from '../matrix/event.ts'
import { type JsonObject, stringProperty } from '../matrix/json.ts'
import type { InteractiveAuthSession } from '../storage/interactive-auth-sessions.ts'
import { reserveRegistrationToken } from '../storage/registration-tokens.ts'
import { checkPassword } from './check-password.ts'
import { identifiedUser } from './user-identifier.ts'

export type Stage = 'm.login.password' | 'm.login.dummy' | 'm.login.registration_token'

/** `userId` is who is known to be asking after the stage. A failure may be followed by another try. */
export type StageOutcome =
  | { readonly ok: true; readonly userId: UserId | null }
  | { readonly ok: false; readonly errcode: Errcode; readonly error: string }

type PerformStage = (env: Env, session: InteractiveAuthSession, auth: JsonObject) => Promise<StageOutcome>

const stages: Record<Stage, PerformStage> = {
  'm.login.dummy': async (_env, { userId }) => ({ ok: true, userId }),
  'm.login.password': passwordStage,
  'm.login.registration_token': registrationTokenStage,
}

/** Tries a stage with the client's auth data. 403 M_FORBIDDEN where another try would make no difference. */
export async function performStage(
  env: Env,
  session: InteractiveAuthSession,
  stage: Stage,
  auth: JsonObject,
): Promise<StageOutcome> {
  return await stages[stage](env, session, auth)
}

async function passwordStage(
  env: Env,
  session: InteractiveAuthSession,
  auth: JsonObject,
): Promise<StageOutcome> {
  const userId = identifiedUser(env, auth)
  // Nobody else's password helps, whoever the access token belongs to.
  if (userId === undefined || (session.userId !== null && session.userId !== userId)) {
    throw new MatrixError('M_FORBIDDEN', 403, 'Another user must authenticate')
  }
  const password = stringProperty(auth, 'password')
  if (password === undefined) throw new MatrixError('M_MISSING_PARAM', 400, 'Missing field: auth.password')
  const user = await checkPassword(env, userId, password)
  return user ? { ok: true, userId } : { ok: false, errcode: 'M_FORBIDDEN', error: 'Invalid password' }
}

async function registrationTokenStage(
  env: Env,
  session: InteractiveAuthSession,
  auth: JsonObject,
): Promise<StageOutcome> {
  const token = stringProperty(auth, 'token')
  if (token === undefined) throw new MatrixError('M_MISSING_PARAM', 400, 'Missing field: auth.token')
  if (await reserveRegistrationToken(env, token, session.id)) return { ok: true, userId: session.userId }
  return { ok: false, errcode: 'M_FORBIDDEN', error: 'Invalid registration token' }
}
