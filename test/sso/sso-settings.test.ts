// Settings of single sign-on: what makes no sense is found when the server starts, and named.

import { describe, expect, it } from 'vitest'
import type { Env } from '../../src/env.ts'
import { passwordLogin, ssoSettings } from '../../src/sso/sso-settings.ts'
import { startServer } from '../support/server.ts'

const base = 'https://matrix.example.org'
const withVars = (vars: Partial<Env>) => vars as Env
const minimal = {
  id: 'a.b_c~d-E9',
  name: 'Name',
  issuer: 'https://id.example.org/realms/x',
  client_id: 'client',
}
const read = (value: unknown, vars: Partial<Env> = {}) =>
  ssoSettings(withVars({ SSO_PROVIDERS: JSON.stringify(value), PUBLIC_BASE_URL: base, ...vars }))

describe('SSO_PROVIDERS', () => {
  it.each([undefined, '', ' ', '[]'])('are none where it is %j', (text) => {
    const vars = text === undefined ? {} : { SSO_PROVIDERS: text }
    expect(ssoSettings(withVars(vars))).toBeUndefined()
  })

  it('make no accounts and link none unless they are told to', () => {
    expect(read([minimal])).toEqual({
      baseUrl: base,
      knownClients: [],
      providers: [
        {
          id: 'a.b_c~d-E9',
          name: 'Name',
          icon: undefined,
          brand: undefined,
          issuer: 'https://id.example.org/realms/x',
          clientId: 'client',
          clientSecret: undefined,
          scopes: ['openid', 'profile', 'email'],
          localpartClaim: 'preferred_username',
          displayNameClaim: 'name',
          emailClaim: undefined,
          register: false,
          linkExisting: 'off',
        },
      ],
    })
  })

  it('take all fields, and null for claims that are not to be looked at', () => {
    const entry = {
      ...minimal,
      icon: 'mxc://example.org/abc123',
      brand: 'github',
      client_secret: 'secret',
      scopes: ['openid'],
      localpart_claim: null,
      display_name_claim: 'https://example.org/nick',
      email_claim: 'email',
      register: true,
      link_existing: 'email',
    }
    expect(
      read([entry, { ...minimal, id: 'second', issuer: 'http://127.0.0.1:8080' }])?.providers,
    ).toMatchObject([
      {
        icon: 'mxc://example.org/abc123',
        brand: 'github',
        clientSecret: 'secret',
        scopes: ['openid'],
        localpartClaim: undefined,
        displayNameClaim: 'https://example.org/nick',
        emailClaim: 'email',
        register: true,
        linkExisting: 'email',
      },
      { id: 'second', issuer: 'http://127.0.0.1:8080' },
    ])
  })

  it.each([
    [{}, 'SSO_PROVIDERS must be a JSON array'],
    ['text', 'SSO_PROVIDERS must be a JSON array'],
    [[1], 'SSO_PROVIDERS must have an object at place 1'],
    [[minimal, { ...minimal, id: 'a b' }], 'SSO_PROVIDERS needs an id at place 2'],
    [[minimal, minimal], 'SSO_PROVIDERS has two providers with the id a.b_c~d-E9'],
    [[{ ...minimal, id: 'x'.repeat(256) }], 'id at place 1'],
    [[{ ...minimal, name: '' }], 'name of a.b_c~d-E9'],
    [[{ ...minimal, name: 'x'.repeat(101) }], 'name of'],
    [[{ ...minimal, icon: 'https://example.org/icon.png' }], 'icon of'],
    [[{ ...minimal, icon: 'mxc://example.org' }], 'icon of'],
    [[{ ...minimal, brand: 'Git Hub' }], 'brand of'],
    [[{ ...minimal, issuer: undefined }], 'issuer of'],
    [[{ ...minimal, issuer: 'id.example.org' }], 'issuer of'],
    [[{ ...minimal, issuer: 'http://id.example.org' }], 'issuer of'],
    [[{ ...minimal, issuer: 'http://127.0.0.1.evil.test' }], 'issuer of'],
    [[{ ...minimal, issuer: 'https://id.example.org/?a' }], 'issuer of'],
    [[{ ...minimal, issuer: 'https://user@id.example.org/' }], 'issuer of'],
    [[{ ...minimal, client_id: '' }], 'client_id of'],
    [[{ ...minimal, client_id: 5 }], 'client_id of'],
    [[{ ...minimal, client_secret: '' }], 'client_secret of'],
    [[{ ...minimal, client_secret: 5 }], 'client_secret of'],
    [[{ ...minimal, scopes: 'openid' }], 'scopes of'],
    [[{ ...minimal, scopes: ['openid', 5] }], 'scopes of'],
    [[{ ...minimal, scopes: ['openid profile'] }], 'scopes of'],
    [[{ ...minimal, scopes: ['profile'] }], 'openid'],
    [[{ ...minimal, localpart_claim: '' }], 'localpart_claim of'],
    [[{ ...minimal, display_name_claim: 5 }], 'display_name_claim of'],
    [[{ ...minimal, email_claim: true }], 'email_claim of'],
    [[{ ...minimal, register: 'true' }], 'register of'],
    [[{ ...minimal, link_existing: true }], 'link_existing of'],
    [[{ ...minimal, link_existing: 'email' }], 'link_existing of'],
    [[{ ...minimal, client_sekret: 'x' }], 'client_sekret of'],
  ])('refuse %j', (value, message) => {
    expect(() => read(value)).toThrow(message)
  })

  it('say nothing of a secret where they are no JSON', () => {
    const read = () =>
      ssoSettings(withVars({ SSO_PROVIDERS: '[{"client_secret":"hush" x', PUBLIC_BASE_URL: base }))
    expect(read).toThrow('SSO_PROVIDERS is not JSON')
    expect(read).not.toThrow('hush')
  })

  it.each([undefined, '', 'matrix.example.org', 'ftp://example.org'])(
    'need a PUBLIC_BASE_URL, which %j is not',
    (text) => {
      expect(() =>
        ssoSettings(
          withVars({
            SSO_PROVIDERS: JSON.stringify([minimal]),
            ...(text !== undefined && { PUBLIC_BASE_URL: text }),
          }),
        ),
      ).toThrow('SSO_PROVIDERS needs PUBLIC_BASE_URL')
    },
  )

  it('keep a server from starting that make no sense', async () => {
    const vars = { SSO_PROVIDERS: '[{}]' }
    await expect(startServer({ vars })).rejects.toThrow('does not start')
  })
})

describe('SSO_CLIENT_WHITELIST', () => {
  const whitelist = (text: string) =>
    read([minimal], { SSO_CLIENT_WHITELIST: text })?.knownClients.map(String)

  it('is of URLs of sites and of native applications', () => {
    expect(whitelist(' https://app.element.io/, element://connect\n')).toEqual([
      'https://app.element.io/',
      'element://connect',
    ])
  })

  it.each([
    'app.element.io',
    'javascript:alert(1)',
    'https://a.test/?b',
    'https://a.test/#b',
    'https://a@b.test/',
    '*',
  ])('refuses %s', (text) => {
    expect(() => whitelist(text)).toThrow('SSO_CLIENT_WHITELIST')
  })
})

describe('PASSWORD_LOGIN', () => {
  it('is on unless it is said to be off, which takes providers', () => {
    expect(passwordLogin(withVars({}), undefined)).toBe(true)
    expect(passwordLogin(withVars({ PASSWORD_LOGIN: '' }), undefined)).toBe(true)
    expect(passwordLogin(withVars({ PASSWORD_LOGIN: 'off' }), read([minimal]))).toBe(false)
    expect(() => passwordLogin(withVars({ PASSWORD_LOGIN: 'off' }), undefined)).toThrow('PASSWORD_LOGIN')
    expect(() => passwordLogin(withVars({ PASSWORD_LOGIN: 'no' }), undefined)).toThrow('PASSWORD_LOGIN')
  })
})
