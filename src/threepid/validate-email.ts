// Validation of e-mail addresses: a token goes to the address, and who has it back has the address.
// Specification: client-server API, the requestToken endpoints; identity service API, POST /validate/email/submitToken.

import { createHash } from 'node:crypto'
import { config } from '../config.ts'
import type { Env } from '../env.ts'
import { MatrixError } from '../errors.ts'
import { limitExceeded } from '../http/rate-limit.ts'
import { requireMail, sendMail } from '../mail/send-mail.ts'
import { type ValidationMail, validationMail } from '../mail/validation-mail.ts'
import { newSecretToken, tokenHash } from '../storage/secret-token.ts'
import {
  countMail,
  findValidation,
  markValidated,
  requestValidation,
  type Validation,
  withdrawMail,
} from '../storage/threepid-validations.ts'

const mailsPerHour = 8

/** Where tokens are taken, and where the links in mails lead. */
export const submitTokenPath = '/_matrix/client/unstable/hearth/email/submit_token'

export interface EmailRequest {
  readonly purpose: Validation['purpose']
  /** In canonical form. */
  readonly address: string
  readonly clientSecret: string
  readonly sendAttempt: number
  /** Where who has confirmed is sent on to: an http or https URL. */
  readonly nextLink: string | undefined
  /** What the mail says instead of asking for a confirmation, where nothing could come of that. */
  readonly instead: Exclude<ValidationMail['purpose'], Validation['purpose']> | undefined
}

/**
 * Sends a token to an address, once for each number of attempt. Answers the session: the same one for the same address
 * and secret. 429 M_LIMIT_EXCEEDED when the address gets too many mails, 400 M_EMAIL_SEND_ERROR when the mail cannot be sent.
 */
export async function requestEmailToken(env: Env, request: EmailRequest): Promise<string> {
  const { purpose, address, clientSecret, sendAttempt, nextLink = null, instead } = request
  const { baseUrl } = requireMail(env)
  const sid = sessionId({ purpose, medium: 'email', address }, clientSecret)
  const token = newSecretToken()
  const isNew = await requestValidation(
    env,
    {
      sid,
      purpose,
      medium: 'email',
      address,
      tokenHash: instead === undefined ? tokenHash(token) : null,
      sendAttempt,
      nextLink,
    },
    Date.now(),
  )
  if (!isNew) return sid
  const link = `${baseUrl}${submitTokenPath}?${new URLSearchParams({ sid, token }).toString()}`
  try {
    await limitMails(env, address)
    const content = instead === undefined ? { purpose, link, token } : { purpose: instead }
    await sendMail(env, await validationMail(config(env).serverName, address, content))
  } catch (error) {
    await withdrawMail(env, sid, sendAttempt)
    throw error
  }
  return sid
}

async function limitMails(env: Env, address: string): Promise<void> {
  if (!config(env).rateLimits) return
  const mails = await countMail(env, tokenHash(address), Date.now())
  if (mails > mailsPerHour) throw limitExceeded(60 * 60 * 1000)
}

/** The same for the same address and secret, so that the secret need not be kept. */
function sessionId(
  { purpose, medium, address }: Pick<Validation, 'purpose' | 'medium' | 'address'>,
  clientSecret: string,
): string {
  const text = JSON.stringify([purpose, medium, address, clientSecret])
  return createHash('sha256').update(text).digest('base64url')
}

export interface Credentials {
  readonly sid: string
  readonly clientSecret: string
}

/** A live session of whoever knows its secret, undefined if there is none. */
export async function validationOf(env: Env, credentials: Credentials): Promise<Validation | undefined> {
  const validation = await findValidation(env, credentials.sid, Date.now())
  return validation && hasSecret(validation, credentials.clientSecret) ? validation : undefined
}

function hasSecret(validation: Validation, clientSecret: string): boolean {
  return sessionId(validation, clientSecret) === validation.sid
}

/**
 * The session that a token from a mail is for. 400 M_SESSION_EXPIRED where there is none (any more), M_TOKEN_INCORRECT,
 * M_INVALID_PARAM for another secret than that of the client that asked for the token.
 */
export async function submittedSession(
  env: Env,
  { sid, token, clientSecret }: { sid: string; token: string; clientSecret?: string },
): Promise<Validation> {
  const validation = await findValidation(env, sid, Date.now())
  if (!validation) {
    throw new MatrixError('M_SESSION_EXPIRED', 400, 'The validation session is unknown or has expired')
  }
  if (clientSecret !== undefined && !hasSecret(validation, clientSecret)) {
    throw new MatrixError('M_INVALID_PARAM', 400, 'Invalid field client_secret: not that of the session')
  }
  if (validation.tokenHash !== tokenHash(token)) {
    throw new MatrixError('M_TOKEN_INCORRECT', 400, 'The token is incorrect')
  }
  return validation
}

/** Marks the address of a session as validated, by a token. Fails as `submittedSession` does. */
export async function submitToken(
  env: Env,
  submitted: { sid: string; token: string; clientSecret?: string },
): Promise<Validation> {
  const validation = await submittedSession(env, submitted)
  await markValidated(env, validation.sid, tokenHash(submitted.token), Date.now())
  return validation
}
