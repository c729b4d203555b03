import { expect, test } from 'vitest'
import type { ServerName } from '../../src/matrix/event.ts'
import type { JsonObject } from '../../src/matrix/json.ts'
import { compileServerAcl, isServerAllowed } from '../../src/matrix/server-acl.ts'

const name = (text: string) => text as ServerName
const everyone = { allow: ['*'] }
const noLiterals = { allow: ['*'], allow_ip_literals: false }

test('a room without an ACL event allows everyone', () => {
  expect(isServerAllowed(undefined, name('evil.com'))).toBe(true)
})

test.each<[string, JsonObject, string, boolean]>([
  ['an empty ACL allows nobody', {}, 'good.com', false],
  ['a listed server is allowed', { allow: ['good.com'] }, 'good.com', true],
  ['an unlisted server is not allowed', { allow: ['good.com'] }, 'other.com', false],
  [
    'a denied server is denied even if it is allowed',
    { allow: ['*'], deny: ['evil.com'] },
    'evil.com',
    false,
  ],
  ['globs apply', { allow: ['*'], deny: ['*.evil.com'] }, 'a.evil.com', false],
  ['a glob for subdomains spares the domain', { allow: ['*'], deny: ['*.evil.com'] }, 'evil.com', true],
  ['? is one character', { allow: ['host?'] }, 'host12', false],
  ['a dot is a dot', { allow: ['*'], deny: ['evil.com'] }, 'evilxcom', true],
  ['case does not matter', { allow: ['*'], deny: ['EVIL.com'] }, 'evil.COM', false],
  ['the port does not matter', { allow: ['*'], deny: ['evil.com'] }, 'evil.com:8448', false],
  ['an entry with a port matches nothing', { allow: ['*'], deny: ['evil.com:8448'] }, 'evil.com:8448', true],
  ['IP literals are allowed by default', everyone, '1.2.3.4', true],
  ['IPv4 literals can be denied', noLiterals, '1.2.3.4', false],
  ['IPv4 literals with a port can be denied', noLiterals, '1.2.3.4:8448', false],
  ['IPv6 literals can be denied', noLiterals, '[1234:5678::abcd]', false],
  ['IPv6 literals with a port can be denied', noLiterals, '[::1]:8448', false],
  ['what looks like an IPv4 literal counts as one', noLiterals, '999.1.1.1', false],
  ['what looks like an IPv6 literal counts as one', noLiterals, '::1', false],
  ['a name that only starts like an IP address is a name', noLiterals, '1.2.3.4.example.com', true],
  ['an IPv6 literal can be listed', { allow: ['*'], deny: ['[::1]'] }, '[::1]:8448', false],
  [
    'allow_ip_literals other than a boolean is true',
    { allow: ['*'], allow_ip_literals: 'no' },
    '1.2.3.4',
    true,
  ],
  ['an allow list that is no list allows nobody', { allow: '*' }, 'good.com', false],
  ['a deny list that is no list denies everyone', { allow: ['*'], deny: 'evil.com' }, 'good.com', false],
  ['a null deny list denies everyone', { allow: ['*'], deny: null }, 'good.com', false],
  [
    'entries that are not strings are nobody',
    { allow: [1, null, 'a.com'], deny: [{}, 'b.com'] },
    'a.com',
    true,
  ],
  ['entries beside those that are not strings hold', { allow: ['*'], deny: [{}, 'b.com'] }, 'b.com', false],
])('%s', (_, content, server, expected) => {
  expect(isServerAllowed(content, name(server))).toBe(expected)
})

test('a compiled ACL answers for many servers', () => {
  const allows = compileServerAcl({ allow: ['*.org'], deny: ['bad.*'] })
  const servers = ['good.org', 'bad.org', 'good.com']
  expect(servers.map((server) => allows(name(server)))).toEqual([true, false, false])
})
