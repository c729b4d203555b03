// Which addresses are taken, and who is told that one has an account.

import { config } from '../config.ts'
import type { Env } from '../env.ts'
import { MatrixError } from '../errors.ts'
import { requireMail } from '../mail/send-mail.ts'
import { canonicalEmail, emailDomain } from '../matrix/email-address.ts'
import type { Validation } from '../storage/threepid-validations.ts'
import { threepidOwner } from '../storage/threepids.ts'
import type { EmailRequest } from './validate-email.ts'

/** An address in canonical form. 400 M_INVALID_PARAM, 403 M_THREEPID_DENIED for a domain that the operator does not want. */
export function acceptedEmail(env: Env, email: string, purpose: Validation['purpose']): string {
  const address = canonicalEmail(email)
  if (address === undefined) {
    throw new MatrixError(
      'M_INVALID_PARAM',
      400,
      'Invalid field email: not an address of the form user@domain',
    )
  }
  const { emailDomains } = requireMail(env)
  // Who has an address already may use it.
  if (purpose === 'password' || emailDomains.length === 0) return address
  if (emailDomains.includes(emailDomain(address))) return address
  throw new MatrixError('M_THREEPID_DENIED', 403, 'Addresses of this domain are not accepted here')
}

/**
 * What the mail says where nothing can come of a request; undefined where something can. That an address has an account
 * is told to its owner, and to nobody else unless the operator wants it: 400 M_THREEPID_IN_USE, M_THREEPID_NOT_FOUND.
 */
export async function inVain(
  env: Env,
  purpose: Validation['purpose'],
  address: string,
  signedIn: boolean,
): Promise<EmailRequest['instead']> {
  if (purpose === 'register' && config(env).registration === 'closed') {
    throw new MatrixError('M_THREEPID_DENIED', 403, 'Registration is closed on this server')
  }
  const { tellThreepids } = requireMail(env)
  const isInUse = (await threepidOwner(env, 'email', address)) !== undefined
  if (purpose === 'password') {
    if (isInUse) return undefined
    if (tellThreepids) throw new MatrixError('M_THREEPID_NOT_FOUND', 400, 'No account has this address')
    return 'no-account'
  }
  if (!isInUse) return undefined
  if (tellThreepids || signedIn) {
    throw new MatrixError('M_THREEPID_IN_USE', 400, 'The address belongs to an account already')
  }
  return purpose === 'register' ? 'has-account' : 'taken'
}
