import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { JsonObject } from '../../../src/matrix/json.ts'
import { defaultRules } from '../../../src/matrix/push-rules/default-rules.ts'
import { parseRuleKind, type PushRule, type RuleKind } from '../../../src/matrix/push-rules/push-rule.ts'
import {
  areActions,
  findRule,
  noStoredRules,
  parsePushRule,
  type PushRuleChange,
  putRule,
  removeRule,
  type RulePosition,
  rulesetOf,
  setRuleActions,
  setRuleEnabled,
  type StoredPushRules,
} from '../../../src/matrix/push-rules/ruleset.ts'

const alice = '@alice:example.org'

function stored(change: PushRuleChange): StoredPushRules {
  if (!change.ok) throw new Error(change.reason)
  return change.stored
}

function cause(result: { ok: true } | { ok: false; rule: string }): string {
  return result.ok ? 'ok' : result.rule
}

function rule(id: string, rest: Partial<PushRule> = {}): PushRule {
  return { rule_id: id, default: false, enabled: true, actions: ['notify'], ...rest }
}

/** Rules with these ids, the first the most important. */
function withRules(kind: RuleKind, ids: readonly string[]): StoredPushRules {
  return ids.toReversed().reduce((rules, id) => stored(putRule(rules, kind, rule(id))), noStoredRules)
}

function ids(rules: readonly PushRule[]): string[] {
  return rules.map(({ rule_id: id }) => id)
}

describe('a ruleset', () => {
  test('of a user who changed nothing is the predefined one', () => {
    expect(rulesetOf(alice, noStoredRules)).toEqual(defaultRules(alice))
  })

  test('has own rules above the predefined, and the master rule above all', () => {
    const { override } = rulesetOf(alice, withRules('override', ['a', 'b']))
    expect(ids(override).slice(0, 4)).toEqual(['.m.rule.master', 'a', 'b', '.m.rule.suppress_notices'])
    const { underride } = rulesetOf(alice, withRules('underride', ['a']))
    expect(ids(underride).slice(0, 2)).toEqual(['a', '.m.rule.call'])
  })

  test('finds rules by kind and id', () => {
    const ruleset = rulesetOf(alice, withRules('room', ['!a:b']))
    expect(findRule(ruleset, 'room', '!a:b')).toEqual(rule('!a:b'))
    expect(findRule(ruleset, 'sender', '!a:b')).toBeUndefined()
    expect(findRule(ruleset, 'override', '.m.rule.master')?.enabled).toBe(false)
  })

  test('ignores changes to predefined rules that are no more', () => {
    const old: StoredPushRules = { ...noStoredRules, defaults: [{ rule_id: '.m.rule.gone', enabled: false }] }
    expect(rulesetOf(alice, old)).toEqual(defaultRules(alice))
  })
})

test('kinds are known by name', () => {
  expect(parseRuleKind('content')).toBe('content')
  expect(parseRuleKind('constructor')).toBeUndefined()
})

describe('a rule is put', () => {
  test.each<[string, RulePosition, string[]]>([
    ['x', {}, ['x', 'a', 'b', 'c']],
    ['x', { before: 'a' }, ['x', 'a', 'b', 'c']],
    ['x', { before: 'c' }, ['a', 'b', 'x', 'c']],
    ['x', { after: 'a' }, ['a', 'x', 'b', 'c']],
    ['x', { after: 'c' }, ['a', 'b', 'c', 'x']],
    ['x', { after: 'c', before: 'b' }, ['a', 'x', 'b', 'c']],
    ['b', {}, ['a', 'b', 'c']],
    ['a', { after: 'b' }, ['b', 'a', 'c']],
    ['c', { before: 'a' }, ['c', 'a', 'b']],
    ['b', { before: 'b' }, ['a', 'b', 'c']],
  ])('%s at %j', (id, position, expected) => {
    const rules = stored(putRule(withRules('content', ['a', 'b', 'c']), 'content', rule(id), position))
    expect(ids(rules.rules.content)).toEqual(expected)
  })

  test.each<RulePosition>([
    { before: 'z' },
    { after: 'z' },
    { before: '.m.rule.call' },
    { after: 'x' },
    { before: '' },
  ])('nowhere at %j', (position) => {
    expect(cause(putRule(withRules('underride', ['a']), 'underride', rule('x'), position))).toBe(
      'anchorNotFound',
    )
  })

  test('in place of the one with its id, which stays disabled', () => {
    const off = stored(setRuleEnabled(withRules('content', ['a', 'b']), 'content', 'b', false))
    const rules = stored(putRule(off, 'content', rule('b', { actions: [], pattern: 'new' })))
    expect(rules.rules.content[1]).toEqual(rule('b', { actions: [], pattern: 'new', enabled: false }))
  })

  test('without touching rules of the same id in other kinds, nor what it was given', () => {
    const before = withRules('room', ['a'])
    const copy = structuredClone(before)
    const after = stored(putRule(before, 'sender', rule('a', { actions: [] })))
    expect(after.rules.room).toEqual(copy.rules.room)
    expect(before).toEqual(copy)
  })

  test('unless all rules together become too large', () => {
    const large = rule('a', { actions: ['x'.repeat(262_144)] })
    expect(cause(putRule(noStoredRules, 'room', large))).toBe('tooLarge')
    expect(cause(setRuleActions(withRules('room', ['a']), 'room', 'a', large.actions))).toBe('tooLarge')
  })

  test('and is removed again, leaving what was there', () => {
    const id = fc.constantFrom('a', 'b', 'c', 'd')
    fc.assert(
      fc.property(fc.uniqueArray(id), fc.option(id, { nil: undefined }), (known, anchor) => {
        const before = withRules('override', known)
        const change = putRule(before, 'override', rule('x'), anchor === undefined ? {} : { after: anchor })
        if (anchor !== undefined && !known.includes(anchor)) expect(cause(change)).toBe('anchorNotFound')
        else expect(stored(removeRule(stored(change), 'override', 'x'))).toEqual(before)
      }),
    )
  })
})

describe('a rule is removed', () => {
  test('from its kind only', () => {
    const rules = stored(putRule(withRules('room', ['a', 'b']), 'sender', rule('a')))
    const left = stored(removeRule(rules, 'room', 'a'))
    expect([ids(left.rules.room), ids(left.rules.sender)]).toEqual([['b'], ['a']])
  })

  test.each(['z', '.m.rule.master'])("not if it is not the user's own: %s", (id) => {
    expect(cause(removeRule(withRules('override', ['a']), 'override', id))).toBe('ruleNotFound')
  })
})

describe('a predefined rule', () => {
  test('can be enabled and given other actions, in any order', () => {
    const enabled = stored(setRuleEnabled(noStoredRules, 'override', '.m.rule.master', true))
    const both = stored(setRuleActions(enabled, 'override', '.m.rule.master', ['notify']))
    const again = stored(setRuleEnabled(both, 'override', '.m.rule.master', false))
    const master = (rules: StoredPushRules) => findRule(rulesetOf(alice, rules), 'override', '.m.rule.master')
    expect(master(both)).toMatchObject({ enabled: true, actions: ['notify'], default: true })
    expect(master(again)).toMatchObject({ enabled: false, actions: ['notify'], default: true })
    expect(again.defaults).toHaveLength(1)
  })

  test('exists only in its kind', () => {
    expect(cause(setRuleEnabled(noStoredRules, 'content', '.m.rule.master', true))).toBe('ruleNotFound')
    expect(cause(setRuleActions(noStoredRules, 'underride', '.m.rule.gone', []))).toBe('ruleNotFound')
  })
})

test('an own rule can be disabled and given other actions', () => {
  const off = stored(setRuleEnabled(withRules('room', ['a', 'b']), 'room', 'b', false))
  const changed = stored(setRuleActions(off, 'room', 'b', []))
  expect(changed.rules.room).toEqual([rule('a'), rule('b', { enabled: false, actions: [] })])
  expect(cause(setRuleEnabled(off, 'room', 'z', true))).toBe('ruleNotFound')
})

describe('the body of a rule', () => {
  test.each<[RuleKind, JsonObject, Partial<PushRule>]>([
    ['content', { pattern: 'cake', actions: ['notify'], conditions: [] }, { pattern: 'cake' }],
    ['room', { actions: ['notify'], pattern: 'x' }, {}],
    ['sender', { actions: ['dont_notify'] }, { actions: ['dont_notify'] }],
    ['override', { actions: ['notify'] }, { conditions: [] }],
    [
      'underride',
      { actions: ['notify'], conditions: [{ kind: 'unknown', a: 1 }], enabled: false, default: true },
      { conditions: [{ kind: 'unknown', a: 1 }] },
    ],
  ])('%s %j is read', (kind, body, expected) => {
    expect(parsePushRule(kind, 'id', body)).toEqual({ ok: true, rule: rule('id', expected) })
  })

  test.each<[RuleKind, JsonObject, string, string]>([
    ['room', {}, 'missingField', 'actions'],
    ['room', { actions: 'notify' }, 'invalidField', 'actions'],
    ['room', { actions: [1] }, 'invalidField', 'actions'],
    ['room', { actions: null }, 'invalidField', 'actions'],
    ['content', { actions: [] }, 'missingField', 'pattern'],
    ['content', { actions: [], pattern: 1 }, 'invalidField', 'pattern'],
    ['override', { actions: [], conditions: {} }, 'invalidField', 'conditions'],
    ['override', { actions: [], conditions: null }, 'invalidField', 'conditions'],
    ['underride', { actions: [], conditions: ['x'] }, 'invalidField', 'conditions'],
    ['underride', { actions: [], conditions: [{}] }, 'invalidField', 'conditions[0].kind'],
    [
      'override',
      { actions: [], conditions: [{ kind: 'event_match', key: 'a' }] },
      'invalidField',
      'conditions[0].pattern',
    ],
  ])('%s %j is refused: %s, naming %s', (kind, body, expected, field) => {
    const result = parsePushRule(kind, 'id', body)
    expect(result).toMatchObject({ ok: false, rule: expected })
    expect(result.ok ? '' : result.reason).toContain(field)
  })

  test('may hold a pattern of 512 characters but no more', () => {
    const parse = (length: number) =>
      parsePushRule('content', 'id', { actions: [], pattern: 'x'.repeat(length) })
    expect([cause(parse(512)), cause(parse(513))]).toEqual(['ok', 'invalidField'])
  })

  test.each(['', '.m.rule.mine', 'a/b', String.raw`a\b`])('with the id %j is refused', (id) => {
    expect(cause(parsePushRule('room', id, { actions: [] }))).toBe('ruleId')
  })

  test('may hold actions of any name', () => {
    expect(areActions(['notify', 'org.example.x', { set_tweak: 'sound' }])).toBe(true)
    expect(areActions([['notify']])).toBe(false)
  })
})
