// Password hashes.

import { describe, expect, it } from 'vitest'
import { hashPassword, isPasswordOf } from '../../src/keys/password-hash.ts'

describe('a password hash', () => {
  it('is a PHC string with its own salt', () => {
    const [one, two] = [hashPassword('secret'), hashPassword('secret')]
    expect(one).toMatch(/^\$scrypt\$ln=15,r=8,p=1\$[A-Za-z0-9+/]{22}\$[A-Za-z0-9+/]{43}$/)
    expect(one).not.toBe(two)
  })

  it('fits its password and no other', () => {
    const phc = hashPassword('secret')
    expect(isPasswordOf(phc, 'secret')).toBe(true)
    expect(isPasswordOf(phc, 'Secret')).toBe(false)
    expect(isPasswordOf(phc, '')).toBe(false)
  })

  it('does not depend on how characters were composed', () => {
    expect(isPasswordOf(hashPassword('\u00fcber'), 'u\u0308ber')).toBe(true)
  })

  it('that is missing or malformed fits nothing', () => {
    expect(isPasswordOf(null, '')).toBe(false)
    expect(isPasswordOf('', '')).toBe(false)
    expect(isPasswordOf('$scrypt$ln=15,r=8,p=1$$', '')).toBe(false)
  })

  it('is what another implementation computes', () => {
    // Made with Python's hashlib.scrypt from 16 zero bytes.
    expect(isPasswordOf(vector, 'pleaseletmein')).toBe(true)
  })
})

const vector = '$scrypt$ln=15,r=8,p=1$AAAAAAAAAAAAAAAAAAAAAA$IDRn604yJbARUsZ5RbCao7BMs0SMjbSpRsCrLBtr58k'
