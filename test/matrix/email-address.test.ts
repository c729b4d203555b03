import { describe, expect, it } from 'vitest'
import { canonicalEmail, emailDomain } from '../../src/matrix/email-address.ts'

describe('the canonical form of an address', () => {
  it.each([
    ['bob@example.com', 'bob@example.com'],
    ['bob@Example.COM', 'bob@example.com'],
    ["Bob.O'Neill+matrix@example.com", "bob.o'neill+matrix@example.com"],
    // The example of the specification.
    ['Strauß@Example.com', 'strauss@example.com'],
    ['STRAUẞ@example.com', 'strauss@example.com'],
    ['ΟΔΟΣ@example.gr', 'οδοσ@example.gr'],
    ['οδος@example.gr', 'οδοσ@example.gr'],
    ['\u{212A}elvin@example.com', 'kelvin@example.com'],
    ['root@localhost', 'root@localhost'],
  ])('of %s is %s', (address, canonical) => {
    expect(canonicalEmail(address)).toBe(canonical)
  })

  it('keeps letters apart that have the same capital by chance', () => {
    expect(canonicalEmail('mıke@example.com')).toBe('mıke@example.com')
  })

  it('is its own canonical form, whatever the letter', () => {
    let letters = 0
    const others: string[] = []
    for (let code = 0; code <= 0x1ffff; code++) {
      const canonical = canonicalEmail(`x${String.fromCodePoint(code)}@y${String.fromCodePoint(code)}y`)
      if (canonical === undefined) continue
      letters += 1
      if (canonicalEmail(canonical) !== canonical) others.push(canonical)
    }
    expect(others).toEqual([])
    expect(letters).toBeGreaterThan(50_000)
  })
})

describe('no address is', () => {
  it.each([
    '',
    'bob',
    '@example.com',
    'bob@',
    'a@b@example.com',
    'Bob <bob@example.com>',
    'mailto:bob@example.com',
    'bob@example.com,alice@example.com',
    'bob@example.com\r\nBcc: alice@example.com',
    'bob\n@example.com',
    'bob@example.com\0',
    ' bob@example.com',
    'bob@example..com',
    'bob@-example.com',
    '"bob"@example.com',
    `${'b'.repeat(65)}@example.com`,
    `bob@${'example.'.repeat(31)}com`,
  ])('%j', (address) => {
    expect(canonicalEmail(address)).toBeUndefined()
  })
})

it('the domain of an address is what follows the @', () => {
  expect(emailDomain('bob@example.com')).toBe('example.com')
})
