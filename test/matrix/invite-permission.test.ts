import { expect, test } from 'vitest'
import type { UserId } from '../../src/matrix/event.ts'
import { invitePermission } from '../../src/matrix/invite-permission.ts'
import type { JsonObject } from '../../src/matrix/json.ts'

const bob = '@bob:evil.test' as UserId
const cases: [string, JsonObject | undefined, JsonObject | undefined, string][] = [
  ['nothing', undefined, undefined, 'allow'],
  ['a default to block', { default_action: 'block' }, undefined, 'block'],
  ['a default to block, whoever is allowed', { default_action: 'block' }, { allowed_users: ['*'] }, 'block'],
  ['an unknown default', { default_action: 'maybe' }, undefined, 'allow'],
  ['a blocked user', undefined, { blocked_users: ['@bob:evil.test'] }, 'block'],
  ['an ignored user', undefined, { ignored_users: ['@bob:*'] }, 'ignore'],
  ['a blocked server', undefined, { blocked_servers: ['evil.?est'] }, 'block'],
  ['an ignored server', undefined, { ignored_servers: ['*.test'] }, 'ignore'],
  ['others', undefined, { blocked_users: ['@alice:evil.test'], blocked_servers: ['good.test'] }, 'allow'],
  [
    'an allowed user of a blocked server',
    undefined,
    { allowed_users: [bob], blocked_servers: ['*'] },
    'allow',
  ],
  [
    'a blocked user of an allowed server',
    undefined,
    { blocked_users: [bob], allowed_servers: ['*'] },
    'block',
  ],
  [
    'an allowed user who is also blocked and ignored',
    undefined,
    { allowed_users: [bob], blocked_users: [bob], ignored_users: [bob] },
    'allow',
  ],
  [
    'an ignored user who is also blocked',
    undefined,
    { blocked_users: [bob], ignored_users: [bob] },
    'ignore',
  ],
  [
    'lists that are none',
    undefined,
    { blocked_users: bob, blocked_servers: null, ignored_users: [1, null] },
    'allow',
  ],
]
test.each(cases)('%s', (_, config, lists, expected) => {
  expect(invitePermission(config, lists, bob)).toBe(expected)
})
