// Which redirect URIs clients may register, and use.

import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { projectRoot } from '../../scripts/bundle.ts'
import { isRedirectUri, isRegistered } from '../../src/oauth/redirect-uri.ts'

const clientUri = new URL('https://example.com/')

describe('a web client', () => {
  it.each([
    'https://example.com/callback',
    'https://app.example.com/callback',
    'https://example.com:5173/?query=value',
  ])('may register %s', (uri) => {
    expect(isRedirectUri(uri, 'web', clientUri)).toBe(true)
    // Those that an operating system hands to an application.
    expect(isRedirectUri(uri, 'native', clientUri)).toBe(true)
  })

  it.each([
    'https://example.com/callback#fragment',
    'https://example.com/callback#',
    'http://example.com/callback',
    'http://localhost/',
    'https://app.com/callback',
    'https://evilexample.com/',
    'https://example.com.evil.test/',
    'https://user@example.com/',
    'https://example.com@evil.test/',
    'https://evil.test\\@example.com/',
    'https://example.com /',
    // A browser reads them otherwise than others do, or below its own address.
    'https://example.com\\@evil.test/',
    'https:example.com/callback',
    'https:/example.com/callback',
    'https:///example.com/callback',
    'https://example.com/"><b>',
    // A Content-Security-Policy would read more in them than a host.
    'https://*.example.com/',
    'https://a;sandbox;b.example.com/',
    'https://a,b.example.com/',
    "https://'self'.example.com/",
    'https://example.com./callback',
    'com.example.app:/callback',
    'javascript:alert(1)',
    '/callback',
    '',
  ])('may not register %s', (uri) => {
    expect(isRedirectUri(uri, 'web', clientUri)).toBe(false)
  })
})

describe('a native client', () => {
  it.each([
    'com.example.app:/callback',
    'com.example:/',
    'com.example:callback',
    'http://localhost/callback',
    'http://127.0.0.1/callback',
    'http://[::1]/callback',
    'http://127.0.0.1',
  ])('may register %s', (uri) => {
    expect(isRedirectUri(uri, 'native', clientUri)).toBe(true)
  })

  it.each([
    'example:/callback',
    'com.example.app://callback',
    'com.example.app:\\\\callback',
    'com.examples:/callback',
    'com.evil:/com.example',
    'https://localhost/callback',
    'http://localhost:1234/callback',
    'http://localhost:80/callback',
    'http://localhost.evil.test/',
    'http://example.com/callback',
    'http://user@localhost/',
    'javascript:alert(1)',
    'data:text/html,x',
    'http:localhost/callback',
    'http://127.0.0.1./callback',
    'http://0x7f.1/callback',
    'http://[::ffff:127.0.0.1]/callback',
    'com.example.app:/a\\b',
  ])('may not register %s', (uri) => {
    expect(isRedirectUri(uri, 'native', clientUri)).toBe(false)
  })
})

describe('a redirect URI of a request', () => {
  const registered = ['https://example.com/callback', 'http://127.0.0.1/callback', 'http://[::1]/']

  it.each([...registered, 'http://127.0.0.1:49152/callback', 'http://[::1]:1/'])('may be %s', (uri) => {
    expect(isRegistered(uri, registered)).toBe(true)
  })

  it.each([
    'https://example.com/callback/',
    'https://example.com/callback?x=1',
    'https://EXAMPLE.com/callback',
    'https://example.com:443/callback',
    'https://example.com/callback#',
    'https://example.com/a/../callback',
    'http://127.0.0.1:49152/other',
    'http://localhost:49152/callback',
    'http://127.0.0.1:49152@evil.test/callback',
    'http://127.0.0.1:99999/callback',
    'http://127.0.0.1:/callback',
    'http://127.0.0.1:80:80/callback',
    'http://127.0.0.1:80%2f@evil.test/callback',
    'http://[::1]:80\\@evil.test/',
    'http://[0:0::1]:80/',
    'http://127.0.0.1:80/callback#',
    'HTTP://127.0.0.1:80/callback',
    'http://127.0.0.1:80/%63allback',
    'http://127.1:80/callback',
    'http://127.0.0.1.evil.test/callback',
  ])('may not be %s', (uri) => {
    expect(isRegistered(uri, registered)).toBe(false)
  })
})

const vectors = join(projectRoot, '../shared/spec/vectors/oauth.json')
if (existsSync(vectors)) {
  const { redirect_uris: uris } = JSON.parse(readFileSync(vectors, 'utf8')) as {
    redirect_uris: Record<'web_valid' | 'web_invalid' | 'native_valid' | 'native_invalid', string[]>
  }
  it('MSC2966: the redirect URIs of the specification are judged as it says', () => {
    const judged = (some: string[], type: 'web' | 'native') =>
      some.map((uri) => isRedirectUri(uri, type, clientUri))
    expect(new Set(judged(uris.web_valid, 'web'))).toEqual(new Set([true]))
    expect(new Set(judged(uris.web_invalid, 'web'))).toEqual(new Set([false]))
    expect(new Set(judged(uris.native_valid, 'native'))).toEqual(new Set([true]))
    expect(new Set(judged(uris.native_invalid, 'native'))).toEqual(new Set([false]))
  })
}
