// The server's own push rules. Specification: client-server API, "Predefined Rules" (as of v1.17); for polls, MSC3930,
// under the names that clients know before it is part of the specification.

import type { JsonObject } from '../json.ts'
import type { PushAction, PushRule, PushRuleset, RuleKind } from './push-rule.ts'

const highlight: PushAction = { set_tweak: 'highlight' }
const twoMembers: JsonObject = { kind: 'room_member_count', is: '2' }

// Only two rules differ from user to user; the others are shared by all of them.
const master = { ...rule('.m.rule.master', [], []), enabled: false }
const suppressNotices = rule('.m.rule.suppress_notices', [eventMatch('content.msgtype', 'm.notice')], [])
const overridesAfterMentionOfUser = [
  rule(
    '.m.rule.is_room_mention',
    [
      { kind: 'event_property_is', key: String.raw`content.m\.mentions.room`, value: true },
      { kind: 'sender_notification_permission', key: 'room' },
    ],
    ['notify', highlight],
  ),
  rule(
    '.m.rule.tombstone',
    [eventMatch('type', 'm.room.tombstone'), eventMatch('state_key', '')],
    ['notify', highlight],
  ),
  rule('.m.rule.reaction', [eventMatch('type', 'm.reaction')], []),
  rule('.m.rule.room.server_acl', [eventMatch('type', 'm.room.server_acl'), eventMatch('state_key', '')], []),
  rule(
    '.m.rule.suppress_edits',
    [{ kind: 'event_property_is', key: String.raw`content.m\.relates_to.rel_type`, value: 'm.replace' }],
    [],
  ),
  rule(pollRule('poll_response'), [eventMatch('type', 'org.matrix.msc3381.poll.response')], []),
]
const memberEvent = rule('.m.rule.member_event', [eventMatch('type', 'm.room.member')], [])
const underrides = [
  rule('.m.rule.call', [eventMatch('type', 'm.call.invite')], ['notify', sound('ring')]),
  rule(
    '.m.rule.encrypted_room_one_to_one',
    [twoMembers, eventMatch('type', 'm.room.encrypted')],
    ['notify', sound('default')],
  ),
  rule(
    '.m.rule.room_one_to_one',
    [twoMembers, eventMatch('type', 'm.room.message')],
    ['notify', sound('default')],
  ),
  rule('.m.rule.message', [eventMatch('type', 'm.room.message')], ['notify']),
  rule('.m.rule.encrypted', [eventMatch('type', 'm.room.encrypted')], ['notify']),
  ...['poll_start', 'poll_end'].flatMap((name) => {
    const isPoll = eventMatch('type', `org.matrix.msc3381.${name.replace('_', '.')}`)
    return [
      rule(pollRule(`${name}_one_to_one`), [twoMembers, isPoll], ['notify', sound('default')]),
      rule(pollRule(name), [isPoll], ['notify']),
    ]
  }),
]

/** A user's predefined rules before any change. */
export function defaultRules(userId: string): PushRuleset {
  const inviteForMe = rule(
    '.m.rule.invite_for_me',
    [
      eventMatch('type', 'm.room.member'),
      eventMatch('content.membership', 'invite'),
      eventMatch('state_key', userId),
    ],
    ['notify', sound('default')],
  )
  const isUserMention = rule(
    '.m.rule.is_user_mention',
    [{ kind: 'event_property_contains', key: String.raw`content.m\.mentions.user_ids`, value: userId }],
    ['notify', sound('default'), highlight],
  )
  return {
    override: [
      master,
      suppressNotices,
      inviteForMe,
      memberEvent,
      isUserMention,
      ...overridesAfterMentionOfUser,
    ],
    content: [],
    room: [],
    sender: [],
    underride: underrides,
  }
}

/** Whether there is a predefined rule with this id among those of a kind. */
export function isDefaultRule(kind: RuleKind, ruleId: string): boolean {
  return defaultRules('')[kind].some(({ rule_id: id }) => id === ruleId)
}

function rule(
  id: string,
  conditions: readonly JsonObject[],
  actions: readonly PushAction[],
): PushRule & { readonly conditions: readonly JsonObject[] } {
  return { rule_id: id, default: true, enabled: true, conditions, actions }
}

function pollRule(name: string): string {
  return `.org.matrix.msc3930.rule.${name}`
}

function eventMatch(key: string, pattern: string): JsonObject {
  return { kind: 'event_match', key, pattern }
}

function sound(name: string): PushAction {
  return { set_tweak: 'sound', value: name }
}
