// m.login.registration_token. Specification: client-server API, "Token-authenticated registration".

import { html } from 'hono/html'
import type { Env } from '../../env.ts'
import { MatrixError } from '../../errors.ts'
import { type JsonObject, stringProperty } from '../../matrix/json.ts'
import type { InteractiveAuthSession } from '../../storage/interactive-auth-sessions.ts'
import { reserveRegistrationToken } from '../../storage/registration-tokens.ts'
import type { AuthStage, StageOutcome } from './auth-stage.ts'

export const registrationTokenStage: AuthStage = {
  perform,
  page: {
    title: 'Registration token',
    fields: ['token'],
    content: () => html`
      <p>To register here you need a token that somebody who runs this server gave you.</p>
      <label>Registration token <input name="token" autocomplete="off" required autofocus /></label>
    `,
  },
}

async function perform(env: Env, session: InteractiveAuthSession, auth: JsonObject): Promise<StageOutcome> {
  const token = stringProperty(auth, 'token')
  if (token === undefined) throw new MatrixError('M_MISSING_PARAM', 400, 'Missing field: auth.token')
  if (await reserveRegistrationToken(env, token, session.id)) return { ok: true, userId: session.userId }
  return { ok: false, errcode: 'M_FORBIDDEN', error: 'Invalid registration token' }
}
