// m.login.email.identity: the user has confirmed an address by a mail of this server.
// Specification: client-server API, "Email-based (identity / homeserver)".

import { html } from 'hono/html'
import type { Env } from '../../env.ts'
import { MatrixError } from '../../errors.ts'
import type { UserId } from '../../matrix/event.ts'
import { type JsonObject, objectProperty, stringProperty } from '../../matrix/json.ts'
import type { InteractiveAuthSession } from '../../storage/interactive-auth-sessions.ts'
import { newSecretToken } from '../../storage/secret-token.ts'
import { findValidation, type Validation } from '../../storage/threepid-validations.ts'
import { threepidOwner } from '../../storage/threepids.ts'
import { acceptedEmail, inVain } from '../../threepid/email-standing.ts'
import { requestEmailToken, validationOf } from '../../threepid/validate-email.ts'
import type { AuthStage, StageOutcome, StageView } from './auth-stage.ts'

const stage = 'm.login.email.identity'

export const emailIdentityStage: AuthStage = {
  // Mails take their time.
  lifetimeMs: 60 * 60 * 1000,
  perform,
  resume: async (env, session) => {
    const validation = await ownValidation(env, session)
    return validation?.validatedAt == null ? undefined : await confirmed(env, session, validation)
  },
  page: { title: 'Confirm your address', fields: ['email'], content: pageContent },
}

/** The session in which the address was validated that somebody authenticated with; undefined without the stage. */
export function validatedBy({ completed, data }: InteractiveAuthSession): string | undefined {
  return completed.includes(stage) ? stringProperty(objectProperty(data, stage), 'sid') : undefined
}

/** Whether a request only asks, perhaps every other second, if an address has been confirmed by now. */
export function asksWhetherConfirmed(body: JsonObject): boolean {
  const auth = objectProperty(body, 'auth')
  return (
    stringProperty(auth, 'type') === stage &&
    stringProperty(auth, 'session') !== undefined &&
    objectProperty(auth, 'threepid_creds') !== undefined
  )
}

async function perform(env: Env, session: InteractiveAuthSession, auth: JsonObject): Promise<StageOutcome> {
  const credentials = objectProperty(auth, 'threepid_creds')
  if (!credentials) return await performOnPage(env, session, auth)
  const sid = stringProperty(credentials, 'sid')
  const clientSecret = stringProperty(credentials, 'client_secret')
  if (sid === undefined || clientSecret === undefined) {
    throw new MatrixError('M_MISSING_PARAM', 400, 'Missing field: auth.threepid_creds.sid or client_secret')
  }
  const validation = await validationOf(env, { sid, clientSecret })
  // Older clients name an identity server all the same: what counts is whether it was this server that sent the mail.
  if (!validation && stringProperty(credentials, 'id_server') !== undefined) {
    return {
      ok: false,
      errcode: 'M_SERVER_NOT_TRUSTED',
      error: 'This server validates addresses itself, and trusts no identity server to',
    }
  }
  return await confirmed(env, session, validation)
}

/** On the fallback page the user first says which address, and then that they have confirmed it. */
async function performOnPage(
  env: Env,
  session: InteractiveAuthSession,
  auth: JsonObject,
): Promise<StageOutcome> {
  const email = stringProperty(auth, 'email')?.trim() ?? ''
  if (email === '') return await confirmed(env, session, await ownValidation(env, session))
  const purpose = purposeOf(session)
  const address = acceptedEmail(env, email, purpose)
  const instead = await inVain(env, purpose, address, false)
  const clientSecret = newSecretToken()
  const request = { purpose, address, clientSecret, sendAttempt: 1, nextLink: undefined, instead }
  const sid = await requestEmailToken(env, request)
  return { ...pending, error: `A mail is on its way to ${address}.`, data: { sid, address } }
}

const pending = {
  ok: false,
  // What clients take for: not yet.
  errcode: 'M_UNAUTHORIZED',
  error: 'The address has not been confirmed yet',
} as const

/** The session that was begun on the fallback page. */
async function ownValidation(env: Env, session: InteractiveAuthSession): Promise<Validation | undefined> {
  const sid = stringProperty(objectProperty(session.data, stage), 'sid')
  return sid === undefined ? undefined : await findValidation(env, sid, Date.now())
}

async function confirmed(
  env: Env,
  session: InteractiveAuthSession,
  validation: Validation | undefined,
): Promise<StageOutcome> {
  const purpose = purposeOf(session)
  // Nobody learns from another answer whether a mail had a token in it.
  if (validation?.purpose !== purpose || validation.validatedAt === null || validation.usedBy !== null) {
    return pending
  }
  const { sid, address } = validation
  const owner = await threepidOwner(env, 'email', address)
  if (purpose === 'register' && owner !== undefined) {
    throw new MatrixError('M_THREEPID_IN_USE', 400, 'The address belongs to an account already')
  }
  const userId = purpose === 'register' ? session.userId : ownerMeant(session, owner)
  return { ok: true, userId, data: { sid, address } }
}

function ownerMeant({ userId }: InteractiveAuthSession, owner: UserId | undefined): UserId {
  if (owner === undefined) throw new MatrixError('M_THREEPID_NOT_FOUND', 400, 'No account has this address')
  if (userId === null || userId === owner) return owner
  throw new MatrixError('M_FORBIDDEN', 403, 'Another user must authenticate')
}

function purposeOf({ operation }: InteractiveAuthSession): 'register' | 'password' {
  return operation.endsWith('/register') ? 'register' : 'password'
}

function pageContent({ session }: StageView) {
  const address = stringProperty(objectProperty(session.data, stage), 'address')
  if (address === undefined) {
    return html`<label>
      E-mail address
      <input type="email" name="email" autocomplete="email" required autofocus />
    </label>`
  }
  return html`
    <p>Open the link in the mail to <b>${address}</b>, confirm the address there, and continue here.</p>
    <label>Or take another address <input type="email" name="email" autocomplete="email" /></label>
  `
}
