import { expect, test } from 'vitest'
import { defaultRules, isDefaultRule } from '../../../src/matrix/push-rules/default-rules.ts'
import { ruleKinds } from '../../../src/matrix/push-rules/push-rule.ts'

const rules = defaultRules('@alice:example.org')

test('the predefined rules stand in the order of the specification', () => {
  expect(rules.override.map(({ rule_id: id }) => id)).toEqual([
    '.m.rule.master',
    '.m.rule.suppress_notices',
    '.m.rule.invite_for_me',
    '.m.rule.member_event',
    '.m.rule.is_user_mention',
    '.m.rule.is_room_mention',
    '.m.rule.tombstone',
    '.m.rule.reaction',
    '.m.rule.room.server_acl',
    '.m.rule.suppress_edits',
    '.org.matrix.msc3930.rule.poll_response',
  ])
  expect(rules.underride.map(({ rule_id: id }) => id)).toEqual([
    '.m.rule.call',
    '.m.rule.encrypted_room_one_to_one',
    '.m.rule.room_one_to_one',
    '.m.rule.message',
    '.m.rule.encrypted',
    '.org.matrix.msc3930.rule.poll_start_one_to_one',
    '.org.matrix.msc3930.rule.poll_start',
    '.org.matrix.msc3930.rule.poll_end_one_to_one',
    '.org.matrix.msc3930.rule.poll_end',
  ])
  expect([rules.content, rules.room, rules.sender]).toEqual([[], [], []])
})

test('MSC4210: the rules for mentions by name are gone, those for intentional mentions are there', () => {
  const ids = ruleKinds.flatMap((kind) => rules[kind]).map(({ rule_id: id }) => id)
  expect(ids).toEqual(expect.arrayContaining(['.m.rule.is_user_mention', '.m.rule.is_room_mention']))
  for (const gone of ['.m.rule.contains_display_name', '.m.rule.contains_user_name', '.m.rule.roomnotif']) {
    expect(ids).not.toContain(gone)
  }
})

test('only the master rule is disabled at first', () => {
  const disabled = ruleKinds.flatMap((kind) => rules[kind]).filter((rule) => !rule.enabled)
  expect(disabled.map(({ rule_id: id }) => id)).toEqual(['.m.rule.master'])
})

test('a rule about the user carries their id on the wire', () => {
  expect(rules.override.find(({ rule_id: id }) => id === '.m.rule.is_user_mention')).toEqual({
    rule_id: '.m.rule.is_user_mention',
    default: true,
    enabled: true,
    conditions: [
      {
        kind: 'event_property_contains',
        key: 'content.m\\.mentions.user_ids',
        value: '@alice:example.org',
      },
    ],
    actions: ['notify', { set_tweak: 'sound', value: 'default' }, { set_tweak: 'highlight' }],
  })
})

test('the rules for polls match the events of polls', () => {
  const types = rules.underride.slice(-4).map(({ conditions = [] }) => conditions.at(-1)?.['pattern'])
  const [start, end] = ['org.matrix.msc3381.poll.start', 'org.matrix.msc3381.poll.end']
  expect(types).toEqual([start, start, end, end])
})

test('a predefined rule belongs to one kind', () => {
  expect(isDefaultRule('underride', '.m.rule.call')).toBe(true)
  expect(isDefaultRule('override', '.m.rule.call')).toBe(false)
})
