// What claims make of a new account. Specification: appendices, "Mapping from other character sets".

import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { ServerName } from '../../src/matrix/event.ts'
import { newUserId } from '../../src/matrix/identifiers.ts'
import type { JsonObject } from '../../src/matrix/json.ts'
import { newIdentity, suggestedLocalpart } from '../../src/sso/new-identity.ts'
import type { SsoProvider } from '../../src/sso/sso-settings.ts'

const provider: SsoProvider = {
  id: 'fake',
  name: 'Fake',
  icon: undefined,
  brand: undefined,
  issuer: 'https://id.test',
  clientId: 'client',
  clientSecret: undefined,
  scopes: ['openid'],
  localpartClaim: 'preferred_username',
  displayNameClaim: 'name',
  emailClaim: 'email',
  register: true,
  linkExisting: 'off',
}
const asked: string[] = []
const identity = (claims: JsonObject, userInfo: JsonObject = {}, of: Partial<SsoProvider> = {}) =>
  newIdentity(
    { ...provider, ...of },
    {
      subject: 's',
      claims,
      userInfo: async () => {
        asked.push('userinfo')
        return userInfo
      },
    },
  )

describe('newIdentity', () => {
  it('asks for further claims only where one is missing, and believes what is signed', async () => {
    const all = {
      preferred_username: 'Alice',
      name: ' Alice A. ',
      email: 'A@Example.org',
      email_verified: true,
    }
    expect(await identity(all)).toEqual({
      subject: 's',
      localpart: 'alice',
      suggestion: 'alice',
      displayName: 'Alice A.',
      email: 'a@example.org',
    })
    expect(asked).toEqual([])
    const { name: _, ...some } = all
    expect(await identity(some, { name: 'Other', preferred_username: 'mallory' })).toMatchObject({
      localpart: 'alice',
      displayName: 'Other',
    })
    expect(asked).toEqual(['userinfo'])
    await identity(some, {}, { displayNameClaim: undefined })
    expect(asked).toEqual(['userinfo'])
  })

  it.each([false, 'true', 1, null])('takes no address that is verified as %j', async (verified) => {
    const claims = { preferred_username: 'a', name: 'A', email: 'a@example.org', email_verified: verified }
    expect(await identity(claims)).not.toHaveProperty('email')
  })

  it('takes no address that another source has verified than the one that says it', async () => {
    const signed = { preferred_username: 'a', email: 'victim@example.org' }
    const asked = { name: 'A', email: 'mallory@example.org', email_verified: true }
    expect(await identity(signed, asked)).not.toHaveProperty('email')
    expect(
      await identity({ preferred_username: 'a', email_verified: true }, { email: 'victim@example.org' }),
    ).not.toHaveProperty('email')
    expect(await identity({ preferred_username: 'a' }, asked)).toMatchObject({ email: 'mallory@example.org' })
  })

  it.each(['a@straße.example', 'a@éxample.org'.normalize('NFD'), 'ſ@example.org'])(
    'takes no address that is kept as another one: %s',
    async (email) => {
      expect(await identity({ email, email_verified: true })).not.toHaveProperty('email')
    },
  )

  it.each([' alice', 'alice\u00a0', 'alice\n'])('takes no user name for another one: %j', async (name) => {
    expect(await identity({ preferred_username: name })).toEqual({ subject: 's', suggestion: 'alice' })
  })

  it('makes nothing of claims that are no texts', async () => {
    const claims = { preferred_username: ['a'], name: { a: 1 }, email: 5, email_verified: true }
    expect(await identity(claims)).toEqual({ subject: 's', suggestion: '' })
  })

  it('never makes a name longer than profiles have', async () => {
    const { displayName = '' } = await identity({ name: '🎉é'.repeat(200) })
    expect(Buffer.byteLength(displayName)).toBeLessThanOrEqual(256)
    expect(displayName.isWellFormed()).toBe(true)
  })
})

describe('suggestedLocalpart', () => {
  it.each([
    ['Jürgen Müller', 'jurgen-muller'],
    ['alice@example.org', 'alice'],
    ['_alice', 'alice'],
    ['Ærøskøbing', 'r-sk-bing'],
    ['日本', ''],
  ])('makes of %s %s', (text, expected) => {
    expect(suggestedLocalpart(text)).toBe(expected)
  })

  it('is always nothing, or what can be a user name', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (text) => {
        const name = suggestedLocalpart(text)
        expect(
          name === '' || (newUserId(name, 'test.local' as ServerName) !== undefined && !name.startsWith('_')),
        ).toBe(true)
      }),
    )
  })
})
