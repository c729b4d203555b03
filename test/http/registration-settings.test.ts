// Settings of registration: what makes no sense is found when the server starts, and named.

import { describe, expect, it } from 'vitest'
import type { Env } from '../../src/env.ts'
import { captchaSettings } from '../../src/http/auth-stages/captcha-settings.ts'
import { termsPolicies } from '../../src/http/auth-stages/terms-policies.ts'
import { startServer } from '../support/server.ts'

const withVars = (vars: Partial<Env>) => vars as Env
const en = { name: 'Terms', url: 'https://example.org/terms' }

describe('MSC1692: TERMS_POLICIES', () => {
  const read = (value: unknown) => termsPolicies(withVars({ TERMS_POLICIES: JSON.stringify(value) }))

  it.each([undefined, '', ' ', '{}'])('asks for nothing where it is %j', (text) => {
    expect(termsPolicies(withVars(text === undefined ? {} : { TERMS_POLICIES: text }))).toBeUndefined()
  })

  it.each([
    { terms: { version: '1.2', en } },
    { 'a.b_c~d-E9': { version: 'v~1', 'de-CH': en, pt_BR: en, 'zh-Hant-TW': en } },
    { ['x'.repeat(255)]: { version: '1', en: { ...en, url: 'http://example.org/' } } },
  ])('takes %j as it is', (policies) => {
    expect(read(policies)).toEqual(policies)
  })

  it('takes a policy by any name, also one that objects inherit', () => {
    const text = `{"__proto__": {"version": "1", "en": ${JSON.stringify(en)}}}`
    expect(Object.keys(termsPolicies(withVars({ TERMS_POLICIES: text })) ?? {})).toEqual(['__proto__'])
  })

  it.each([
    ['[]', 'object'],
    ['nonsense', 'JSON'],
    ['{"": {"version": "1"}}', 'policy id'],
    ['{"a b": {"version": "1"}}', 'policy id'],
    [JSON.stringify({ ['x'.repeat(256)]: { version: '1', en } }), 'policy id'],
    ['{"a": 1}', 'object for a'],
    [JSON.stringify({ a: { en } }), 'version for a'],
    [JSON.stringify({ a: { version: 1, en } }), 'version for a'],
    [JSON.stringify({ a: { version: 'one two', en } }), 'version for a'],
    ['{"a": {"version": "1"}}', 'language for a'],
    [JSON.stringify({ a: { version: '1', 'not a language': en } }), 'language for a'],
    [JSON.stringify({ a: { version: '1', en: 'Terms' } }), 'name and url for a, en'],
    [JSON.stringify({ a: { version: '1', en: { name: ' ', url: en.url } } }), 'name and url for a, en'],
    [JSON.stringify({ a: { version: '1', en: { name: 'Terms' } } }), 'name and url for a, en'],
    [JSON.stringify({ a: { version: '1', en: { ...en, url: 'javascript:alert(1)' } } }), 'URL for a, en'],
    [JSON.stringify({ a: { version: '1', en: { ...en, url: '/terms' } } }), 'URL for a, en'],
  ])('refuses %s, naming the %s', (text, named) => {
    expect(() => termsPolicies(withVars({ TERMS_POLICIES: text }))).toThrow(
      new RegExp(`^TERMS_POLICIES .*${named}`),
    )
  })

  it('keeps a server with nonsense in it from starting', async () => {
    await expect(startServer({ vars: { TERMS_POLICIES: '{"a b": 1}' } })).rejects.toThrow('does not start')
  })
})

describe('CAPTCHA', () => {
  const keys = { CAPTCHA_SITE_KEY: 'site', CAPTCHA_SECRET_KEY: 'secret' }

  it.each([{}, { CAPTCHA: 'off' }, { CAPTCHA: 'off', ...keys }])('is not asked for with %j', (vars) => {
    expect(captchaSettings(withVars(vars))).toBeUndefined()
  })

  it('verifies at the service unless told otherwise', () => {
    expect(captchaSettings(withVars({ CAPTCHA: 'recaptcha', ...keys }))?.verifyUrl).toBe(
      'https://www.google.com/recaptcha/api/siteverify',
    )
    expect(captchaSettings(withVars({ CAPTCHA: 'turnstile', ...keys }))?.verifyUrl).toBe(
      'https://challenges.cloudflare.com/turnstile/v0/siteverify',
    )
    const elsewhere = { CAPTCHA: 'turnstile', ...keys, CAPTCHA_VERIFY_URL: 'http://127.0.0.1:1/verify' }
    expect(captchaSettings(withVars(elsewhere))?.verifyUrl).toBe('http://127.0.0.1:1/verify')
  })

  it.each([
    [{ CAPTCHA: 'hcaptcha', ...keys }, 'CAPTCHA must'],
    [{ CAPTCHA: 'recaptcha', CAPTCHA_SITE_KEY: 'site' }, 'CAPTCHA_SECRET_KEY'],
    [{ CAPTCHA: 'recaptcha', CAPTCHA_SECRET_KEY: 'secret', CAPTCHA_SITE_KEY: '' }, 'CAPTCHA_SITE_KEY'],
    [{ CAPTCHA: 'recaptcha', ...keys, CAPTCHA_VERIFY_URL: 'http://example.org/' }, 'CAPTCHA_VERIFY_URL'],
    [{ CAPTCHA: 'recaptcha', ...keys, CAPTCHA_VERIFY_URL: 'nonsense' }, 'CAPTCHA_VERIFY_URL'],
  ])('refuses %j, naming %s', (vars, named) => {
    expect(() => captchaSettings(withVars(vars))).toThrow(named)
  })
})
