// Tokens sent to addresses, to show that they are one's own: for registration, for a forgotten password, for an account.
// Specification: client-server API, "Account registration", "Password management", "Adding Account Administrative
// Contact Information".

import * as v from 'valibot'
import { config } from '../config.ts'
import { MatrixError } from '../errors.ts'
import type { App, AppContext } from '../http/app-type.ts'
import { jsonBody } from '../http/json-body.ts'
import { rateLimitByAddress } from '../http/rate-limit.ts'
import { optionalFullSession } from '../http/session.ts'
import { requireMail } from '../mail/send-mail.ts'
import type { Validation } from '../storage/threepid-validations.ts'
import { acceptedEmail, inVain } from '../threepid/email-standing.ts'
import { requestEmailToken, submitTokenPath } from '../threepid/validate-email.ts'

// `id_server` and `id_access_token` are ignored, as they are to be where the homeserver validates addresses itself.
const emailBody = v.object({
  client_secret: v.string(),
  email: v.string(),
  send_attempt: v.pipe(v.number(), v.safeInteger(), v.minValue(0)),
  next_link: v.nullish(v.string()),
})

const longestNextLink = 2048

/** The requestToken endpoints. */
export function requestTokenRoutes(app: App): void {
  // https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3registeremailrequesttoken
  app.post('/_matrix/client/v3/register/email/requestToken', (c) => requestToken(c, 'register'))

  // https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3accountpasswordemailrequesttoken
  app.post('/_matrix/client/v3/account/password/email/requestToken', (c) => requestToken(c, 'password'))

  // https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3account3pidemailrequesttoken
  app.post('/_matrix/client/v3/account/3pid/email/requestToken', (c) => requestToken(c, 'add'))

  // https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3registermsisdnrequesttoken
  app.post('/_matrix/client/v3/register/msisdn/requestToken', noPhoneNumbers)
  app.post('/_matrix/client/v3/account/password/msisdn/requestToken', noPhoneNumbers)
  app.post('/_matrix/client/v3/account/3pid/msisdn/requestToken', noPhoneNumbers)
}

function noPhoneNumbers(): never {
  throw new MatrixError('M_THREEPID_MEDIUM_NOT_SUPPORTED', 400, 'This server keeps no phone numbers')
}

async function requestToken(c: AppContext, purpose: Validation['purpose']): Promise<Response> {
  const { baseUrl } = requireMail(c.env)
  await rateLimitByAddress(c, purpose === 'register' ? c.env.REGISTER_LIMIT : c.env.LOGIN_LIMIT)
  // Nothing would come of it: neither accounts with passwords are made, nor passwords changed.
  if (purpose !== 'add' && !config(c.env).passwordLogin) {
    throw new MatrixError('M_THREEPID_DENIED', 403, 'Passwords are no login here')
  }
  // Open to those who are not signed in, but a token that is there must be valid.
  const session = purpose === 'add' ? await optionalFullSession(c) : undefined
  const body = await jsonBody(c, emailBody)
  const address = acceptedEmail(c.env, body.email, purpose)
  const clientSecret = checkedSecret(body.client_secret)
  const nextLink = body.next_link == null ? undefined : checkedNextLink(body.next_link)
  const instead = await inVain(c.env, purpose, address, session !== undefined)
  const sid = await requestEmailToken(c.env, {
    purpose,
    address,
    clientSecret,
    sendAttempt: body.send_attempt,
    nextLink,
    instead,
  })
  return c.json({ sid, submit_url: `${baseUrl}${submitTokenPath}` })
}

function checkedSecret(clientSecret: string): string {
  if (/^[0-9a-zA-Z.=_-]{1,255}$/.test(clientSecret)) return clientSecret
  throw invalid('client_secret', 'not 1 to 255 characters of 0-9 a-z A-Z . = _ -')
}

/** Somebody's browser is sent there: the web and nothing else. */
function checkedNextLink(text: string): string {
  const url = text.length > longestNextLink ? null : URL.parse(text)
  if (url?.protocol !== 'https:' && url?.protocol !== 'http:') throw invalid('next_link', 'not an https URL')
  if (url.username !== '' || url.password !== '') throw invalid('next_link', 'has a password in it')
  // URLs may have these in a host, where the policy of the page with the link to it would read them its own way.
  if (/[;,*'"]/.test(url.host)) throw invalid('next_link', 'not an https URL')
  return url.href
}

function invalid(field: string, reason: string): MatrixError {
  return new MatrixError('M_INVALID_PARAM', 400, `Invalid field ${field}: ${reason}`)
}
