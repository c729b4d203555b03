import { describe, expect, test } from 'vitest'
import { lookUpAddress } from '../../src/identity/look-up.ts'
import { isSameIdentifier, thirdPartyIdentifier } from '../../src/identity/third-party-identifier.ts'

// The examples of the specification, "Association lookup".
const vectors = [
  ['alice@example.com', 'email', '4kenr7N9drpCJ4AfalmlGQVsOn3o2RHjkADUpXJWZUc'],
  ['bob@example.com', 'email', 'LJwSazmv46n0hlMlsb_iYxI0_HXEqy_yj6Jm636cdT8'],
  ['18005552067', 'msisdn', 'nlo35_T5fzSGZzJApqu8lgIudJvmOQtDaHtr-I4rU7I'],
] as const

describe('MSC2134: an address to look up', () => {
  test.each(vectors)('%s (%s) is hashed with the pepper', (address, medium, hash) => {
    const identifier = thirdPartyIdentifier(medium, address)
    expect(lookUpAddress(identifier, { algorithm: 'sha256', pepper: 'matrixrocks' })).toBe(hash)
  })

  test('goes without the pepper where it is not hashed', () => {
    const identifier = thirdPartyIdentifier('email', 'alice@example.com')
    expect(lookUpAddress(identifier, { algorithm: 'none', pepper: 'matrixrocks' })).toBe(
      'alice@example.com email',
    )
  })
})

describe('a third-party identifier', () => {
  test('has one form', () => {
    expect(thirdPartyIdentifier('email', 'Strauß@Example.com').address).toBe('strauss@example.com')
    const upper = { medium: 'email', address: 'ALICE@example.com' }
    expect(isSameIdentifier(upper, { medium: 'email', address: 'alice@Example.com' })).toBe(true)
    expect(isSameIdentifier(upper, { medium: 'msisdn', address: 'ALICE@example.com' })).toBe(false)
  })

  const none = [
    ['email', 'alice'],
    ['email', 'mailto:alice@example.com'],
    ['email', 'Alice <alice@example.com>'],
    ['email', 'a@b@c'],
    ['msisdn', '+18005552067'],
    ['msisdn', '1800 5552067'],
    ['msisdn', '1234567890123456'],
    ['Email', 'alice@example.com'],
    ['', ''],
  ] as const
  test.each(none)('is not %s %s', (medium, address) => {
    expect(() => thirdPartyIdentifier(medium, address)).toThrow(/Invalid field (medium|address)/)
  })
})
