// Where login tokens go.

import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  clientName,
  cspSource,
  isKnownClient,
  parseRedirectUrl,
  withLoginToken,
} from '../../src/sso/redirect-url.ts'

const parsed = (text: string): URL => {
  const url = parseRedirectUrl(text)
  if (!url) throw new Error(`refused: ${text}`)
  return url
}

describe('a redirect URL', () => {
  it.each([
    'https://client.test',
    'http://localhost:8080/a?b#c',
    'element://connect',
    'io.element.app:/callback',
    'im.fluffychat://login',
    'myapp:callback',
  ])('may be %s', (text) => {
    expect(parseRedirectUrl(text)).toBeInstanceOf(URL)
  })

  it.each([
    'javascript:alert(1)',
    '\tJavaScript:alert(1)',
    'java\nscript:alert(1)',
    'data:text/html,a',
    'vbscript:a',
    'blob:https://client.test/a',
    'filesystem:https://client.test/a',
    'file:///etc/passwd',
    'about:blank',
    'view-source:https://client.test/',
    'ftp://client.test/',
    'wss://client.test/',
    'mailto:a@client.test',
    'https://user@client.test/',
    'https://:password@client.test/',
    'https://evil.test;sandbox/',
    'https://evil.test,x/',
    'https://*/',
    '//client.test/',
    'client.test',
    '',
  ])('cannot be %j', (text) => {
    expect(parseRedirectUrl(text)).toBeUndefined()
  })
})

describe('withLoginToken', () => {
  it.each([
    ['https://client.test', 'https://client.test/?loginToken=T'],
    ['https://client.test/?', 'https://client.test/?loginToken=T'],
    ['https://client.test/?a=b%20c+d', 'https://client.test/?a=b%20c+d&loginToken=T'],
    ['https://client.test/#/login?a', 'https://client.test/?loginToken=T#/login?a'],
    ['https://client.test/?loginToken=a&b&login%54oken=c', 'https://client.test/?b&loginToken=T'],
    ['https://client.test/?logintoken=a', 'https://client.test/?logintoken=a&loginToken=T'],
    ['element://connect?a=1', 'element://connect?a=1&loginToken=T'],
    ['myapp:callback', 'myapp:callback?loginToken=T'],
  ])('makes of %s %s', (text, expected) => {
    expect(withLoginToken(parsed(text), 'T')).toBe(expected)
  })

  it('always gives exactly one token, and goes where the client wanted', () => {
    fc.assert(
      fc.property(fc.webUrl({ withQueryParameters: true, withFragments: true }), (text) => {
        const url = parseRedirectUrl(text)
        if (!url) return
        const result = new URL(withLoginToken(url, 'T'))
        expect(result.searchParams.getAll('loginToken')).toEqual(['T'])
        expect([result.origin, result.pathname, result.hash]).toEqual([url.origin, url.pathname, url.hash])
      }),
    )
  })
})

it('a known client is one of the same origin, below the path', () => {
  const known = ['https://a.test/app', 'https://b.test', 'app://login', 'other:'].map(parsed)
  const isKnown = (text: string) => isKnownClient(known, parsed(text))
  expect(['https://a.test/app', 'https://a.test/app/', 'https://a.test/app/x?y#z'].map(isKnown)).toEqual([
    true,
    true,
    true,
  ])
  expect(
    ['https://b.test/anything', 'https://b.test:443/', 'app://login', 'app://login/x'].map(isKnown),
  ).toEqual(Array(4).fill(true))
  expect(
    [
      'https://a.test/application',
      'https://a.test/',
      'https://a.test/app%2f..',
      'https://a.test.evil.test/app',
      'https://a.test:8443/app',
      'http://b.test/',
      'https://sub.b.test/',
      'app://evil',
      'app:login',
    ].map(isKnown),
  ).toEqual(Array(9).fill(false))
})

it('people are told who gets the token, and the policy of pages as much as it can be', () => {
  const told = (text: string) => [clientName(parsed(text)), cspSource(parsed(text))]
  expect(told('https://client.test:8443/a?b#c')).toEqual([
    'https://client.test:8443',
    'https://client.test:8443',
  ])
  expect(told('element://connect/x')).toEqual(['element://connect', 'element:'])
  expect(told('io.element.app:/callback')).toEqual(['io.element.app:', 'io.element.app:'])
})
