// m.login.password. Specification: client-server API, "Password-based".

import { html } from 'hono/html'
import type { Env } from '../../env.ts'
import { MatrixError } from '../../errors.ts'
import { type JsonObject, stringProperty } from '../../matrix/json.ts'
import type { InteractiveAuthSession } from '../../storage/interactive-auth-sessions.ts'
import { checkPassword } from '../check-password.ts'
import { identifiedUser } from '../user-identifier.ts'
import type { AuthStage, StageOutcome } from './auth-stage.ts'
import { purposeParagraph } from './purpose.ts'

export const passwordStage: AuthStage = {
  perform,
  page: {
    title: 'Confirm with your password',
    fields: ['user', 'password'],
    content: ({ session }) => html`
      ${purposeParagraph(session)} ${session.userId === null ? strangersRequest : ''}
      ${session.userId === null ? userField : html`<p>Account: <b>${session.userId}</b></p>`}
      <label>
        Password
        <input type="password" name="password" autocomplete="current-password" required autofocus />
      </label>
    `,
  },
}

// Anybody can begin such a request, with a password of their choice in it, and send somebody else the link to its page.
const strangersRequest = html`<p>
  Nobody is signed in where this was asked for. If you were sent a link to this page, close it: whoever sent
  it would get your account.
</p>`

const userField = html`<label>
  User name
  <input name="user" autocomplete="username" autocapitalize="none" spellcheck="false" required autofocus />
</label>`

async function perform(env: Env, session: InteractiveAuthSession, auth: JsonObject): Promise<StageOutcome> {
  const userId = await identifiedUser(env, auth)
  // Nobody else's password helps, whoever the access token belongs to.
  if (userId === undefined || (session.userId !== null && session.userId !== userId)) {
    throw new MatrixError('M_FORBIDDEN', 403, 'Another user must authenticate')
  }
  const password = stringProperty(auth, 'password')
  if (password === undefined) throw new MatrixError('M_MISSING_PARAM', 400, 'Missing field: auth.password')
  const user = await checkPassword(env, userId, password)
  return user ? { ok: true, userId } : { ok: false, errcode: 'M_FORBIDDEN', error: 'Invalid password' }
}
