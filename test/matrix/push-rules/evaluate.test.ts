import { describe, expect, test } from 'vitest'
import type { JsonObject } from '../../../src/matrix/json.ts'
import type { PushContext } from '../../../src/matrix/push-rules/conditions.ts'
import { defaultRules } from '../../../src/matrix/push-rules/default-rules.ts'
import { evaluate, tweaks } from '../../../src/matrix/push-rules/evaluate.ts'
import { readEvent } from '../../../src/matrix/push-rules/event-reader.ts'
import type { PushRule, PushRuleset } from '../../../src/matrix/push-rules/push-rule.ts'

const alice = '@alice:example.org'
const bob = '@bob:example.org'
const room = '!room:example.org'
const inGroup: PushContext = { userId: alice, memberCount: 5, senderPowerLevel: 0 }
const inPrivate: PushContext = { ...inGroup, memberCount: 2 }
const byModerator: PushContext = { ...inGroup, senderPowerLevel: 50 }

function message(content: JsonObject, type = 'm.room.message'): JsonObject {
  return { type, sender: bob, room_id: room, content: { msgtype: 'm.text', body: 'hello', ...content } }
}

function state(type: string, stateKey: string, content: JsonObject = {}): JsonObject {
  return { type, state_key: stateKey, sender: bob, room_id: room, content }
}

function rule(id: string, rest: Partial<PushRule> = {}): PushRule {
  return { rule_id: id, default: false, enabled: true, actions: ['notify'], ...rest }
}

function ruleset(rules: Partial<PushRuleset>): PushRuleset {
  return { override: [], content: [], room: [], sender: [], underride: [], ...rules }
}

/** The outcome in short: `-`, or notify with sound and highlight, and the rule. */
function short(rules: PushRuleset, event: JsonObject, context: PushContext): string {
  const { notify, highlight, sound, ruleId } = evaluate(rules, readEvent(event), context)
  const tweaked = [notify && 'notify', sound, highlight && 'highlight'].filter(Boolean).join(' ')
  return `${tweaked || '-'} (${ruleId ?? 'none'})`
}

describe('the predefined rules answer', () => {
  const mention = { 'm.mentions': { user_ids: [alice] } }
  const roomMention = { 'm.mentions': { room: true } }
  const edit = { 'm.relates_to': { rel_type: 'm.replace', event_id: '$a' } }
  test.each<[string, JsonObject, PushContext, string]>([
    ['a message in a group', message({}), inGroup, 'notify (.m.rule.message)'],
    ['a message between two', message({}), inPrivate, 'notify default (.m.rule.room_one_to_one)'],
    ['an encrypted event in a group', message({}, 'm.room.encrypted'), inGroup, 'notify (.m.rule.encrypted)'],
    [
      'an encrypted event between two',
      message({}, 'm.room.encrypted'),
      inPrivate,
      'notify default (.m.rule.encrypted_room_one_to_one)',
    ],
    ['a call', message({}, 'm.call.invite'), inGroup, 'notify ring (.m.rule.call)'],
    ['a notice', message({ msgtype: 'm.notice' }), inPrivate, '- (.m.rule.suppress_notices)'],
    ['a mention', message(mention), inGroup, 'notify default highlight (.m.rule.is_user_mention)'],
    [
      'a mention of someone else',
      message({ 'm.mentions': { user_ids: [bob] } }),
      inGroup,
      'notify (.m.rule.message)',
    ],
    [
      'a name in the body',
      message({ body: 'alice @alice:example.org' }),
      inGroup,
      'notify (.m.rule.message)',
    ],
    [
      'a room mention by a moderator',
      message(roomMention),
      byModerator,
      'notify highlight (.m.rule.is_room_mention)',
    ],
    ['a room mention by someone else', message(roomMention), inGroup, 'notify (.m.rule.message)'],
    ['an edit', message(edit), inPrivate, '- (.m.rule.suppress_edits)'],
    ['a reaction', message({}, 'm.reaction'), inPrivate, '- (.m.rule.reaction)'],
    [
      'an invite for the user',
      state('m.room.member', alice, { membership: 'invite' }),
      inGroup,
      'notify default (.m.rule.invite_for_me)',
    ],
    [
      'an invite for someone else',
      state('m.room.member', '@carol:example.org', { membership: 'invite' }),
      inGroup,
      '- (.m.rule.member_event)',
    ],
    ['a tombstone', state('m.room.tombstone', ''), inGroup, 'notify highlight (.m.rule.tombstone)'],
    ['a tombstone that is no state event', message({}, 'm.room.tombstone'), inGroup, '- (none)'],
    ['a server ACL', state('m.room.server_acl', ''), inGroup, '- (.m.rule.room.server_acl)'],
    ['a topic', state('m.room.topic', '', { topic: 'x' }), inPrivate, '- (none)'],
    ['an own message', { ...message(mention), sender: alice }, inGroup, '- (none)'],
  ])('%s', (_, event, context, expected) => {
    expect(short(defaultRules(alice), event, context)).toBe(expected)
  })
})

describe('rules', () => {
  test('of a more important kind go first', () => {
    const all = ruleset({
      override: [rule('override', { conditions: [] })],
      content: [rule('content', { pattern: 'hello' })],
      room: [rule(room)],
      sender: [rule(bob)],
      underride: [rule('underride')],
    })
    const kinds = ['override', 'content', 'room', 'sender', 'underride'] as const
    const order = kinds.map((_, index) => {
      const emptied = Object.fromEntries(kinds.slice(0, index).map((kind) => [kind, []]))
      return evaluate({ ...all, ...emptied }, readEvent(message({})), inGroup).ruleId
    })
    expect(order).toEqual(['override', 'content', room, bob, 'underride'])
  })

  test('that are disabled never match', () => {
    const rules = ruleset({ override: [rule('off', { enabled: false }), rule('on')] })
    expect(short(rules, message({}), inGroup)).toBe('notify (on)')
  })

  test('match only if all their conditions hold', () => {
    const conditions = [
      { kind: 'event_match', key: 'type', pattern: 'm.room.message' },
      { kind: 'room_member_count', is: '2' },
    ]
    const rules = ruleset({ override: [rule('both', { conditions })] })
    expect(short(rules, message({}), inPrivate)).toBe('notify (both)')
    expect(short(rules, message({}), inGroup)).toBe('- (none)')
  })

  test('with an unknown condition do not match', () => {
    const rules = ruleset({ override: [rule('odd', { conditions: [{ kind: 'device' }] })] })
    expect(short(rules, message({}), inGroup)).toBe('- (none)')
  })

  test('of other rooms and senders do not match', () => {
    const rules = ruleset({ room: [rule('!other:example.org')], sender: [rule('@carol:example.org')] })
    expect(short(rules, message({}), inGroup)).toBe('- (none)')
  })

  test('for content match words of the body only', () => {
    const rules = ruleset({ content: [rule('cake', { pattern: 'cake*lie' })] })
    expect(short(rules, message({ body: 'The CAKE is a lie.' }), inGroup)).toBe('notify (cake)')
    expect(short(rules, message({ body: 'cakes, lies' }), inGroup)).toBe('- (none)')
    expect(short(rules, message({ body: 1 }), inGroup)).toBe('- (none)')
    expect(short(ruleset({ content: [rule('no pattern')] }), message({}), inGroup)).toBe('- (none)')
  })
})

describe('actions', () => {
  test.each<[PushRule['actions'], string]>([
    [[], '- (r)'],
    [['dont_notify'], '- (r)'],
    [['coalesce'], '- (r)'],
    [['dont_notify', 'notify'], 'notify (r)'],
    [[{ set_tweak: 'highlight' }], '- (r)'],
    [['notify', { set_tweak: 'highlight', value: false }], 'notify (r)'],
    [
      ['notify', { set_tweak: 'highlight', value: true }, { set_tweak: 'sound', value: 'bing' }],
      'notify bing highlight (r)',
    ],
    [['notify', { set_tweak: 'sound' }, { set_tweak: 7 }, 'dance'], 'notify (r)'],
  ])('%j give %j', (actions, expected) => {
    expect(short(ruleset({ override: [rule('r', { actions })] }), message({}), inGroup)).toBe(expected)
  })

  test('are handed on without the historical ones', () => {
    const actions = ['dont_notify', 'notify', { set_tweak: 'sound', value: 'a' }, 'coalesce']
    const rules = ruleset({ override: [rule('r', { actions })] })
    expect(evaluate(rules, readEvent(message({})), inGroup).actions).toEqual([
      'notify',
      { set_tweak: 'sound', value: 'a' },
    ])
  })

  test('set tweaks, unknown ones as well', () => {
    const actions = ['notify', { set_tweak: 'highlight' }, { set_tweak: 'flash', value: { times: 2 } }]
    expect(tweaks(actions)).toEqual({ highlight: true, flash: { times: 2 } })
  })
})

test('one reader serves several users', () => {
  const event = readEvent(message({ 'm.mentions': { user_ids: [alice] } }))
  const carol = '@carol:example.org'
  expect(evaluate(defaultRules(alice), event, inGroup).highlight).toBe(true)
  expect(evaluate(defaultRules(carol), event, { ...inGroup, userId: carol }).highlight).toBe(false)
})
