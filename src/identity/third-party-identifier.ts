// Third-party identifiers: a medium, and an address in the one form that it has. Appendices, "3PID Types".

import { MatrixError } from '../errors.ts'
import { canonicalEmail } from '../matrix/email-address.ts'

export interface ThirdPartyIdentifier {
  readonly medium: 'email' | 'msisdn'
  readonly address: string
}

// E.164: up to 15 digits, without a leading +.
const phoneNumber = /^[1-9][0-9]{1,14}$/

/** An identifier in its canonical form. M_INVALID_PARAM for media that nobody knows and addresses that are none. */
export function thirdPartyIdentifier(medium: string, address: string): ThirdPartyIdentifier {
  switch (medium) {
    case 'email': {
      const canonical = canonicalEmail(address)
      if (canonical === undefined) throw invalid('address: not an e-mail address')
      return { medium, address: canonical }
    }
    case 'msisdn':
      if (!phoneNumber.test(address)) throw invalid('address: not a phone number of digits alone')
      return { medium, address }
    default:
      throw invalid('medium: neither email nor msisdn')
  }
}

/** Whether two texts stand for the same identifier, in whatever form each of them is. */
export function isSameIdentifier(one: AnyIdentifier, other: AnyIdentifier): boolean {
  return one.medium === other.medium && canonicalAddress(one) === canonicalAddress(other)
}

interface AnyIdentifier {
  readonly medium: string
  readonly address: string
}

function canonicalAddress({ medium, address }: AnyIdentifier): string {
  return (medium === 'email' ? canonicalEmail(address) : undefined) ?? address
}

function invalid(reason: string): MatrixError {
  return new MatrixError('M_INVALID_PARAM', 400, `Invalid field ${reason}`)
}
