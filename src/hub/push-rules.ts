// Changes to the push rules of this shard's users: their own, and those that follow an upgrade of a room.
// Specification: client-server API, "Push Rules".

import type { RoomId } from '../matrix/event.ts'
import { parseRoomId } from '../matrix/identifiers.ts'
import { objectProperty, stringProperty } from '../matrix/json.ts'
import type { PushAction, PushRule, RuleKind } from '../matrix/push-rules/push-rule.ts'
import {
  findRule,
  type PushRuleChange,
  type PushRuleFailure,
  putRule,
  removeRule,
  type RulePosition,
  setRuleActions,
  setRuleEnabled,
  type StoredPushRules,
} from '../matrix/push-rules/ruleset.ts'
import { globalRid, pushRulesetOf, pushRulesType, putAccountData, storedPushRules } from './account-data.ts'
import type { HubContext } from './context.ts'
import { userIdOf } from './interned.ts'
import { joinedMembers, membershipOf } from './members.ts'
import type { EventNews } from './room-news.ts'

/** What a user wants done to one of their rules. */
export type PushRuleEdit =
  | {
      readonly does: 'put'
      readonly kind: RuleKind
      readonly rule: PushRule
      readonly position: RulePosition
    }
  | { readonly does: 'remove'; readonly kind: RuleKind; readonly ruleId: string }
  | {
      readonly does: 'setEnabled'
      readonly kind: RuleKind
      readonly ruleId: string
      readonly enabled: boolean
    }
  | {
      readonly does: 'setActions'
      readonly kind: RuleKind
      readonly ruleId: string
      readonly actions: readonly PushAction[]
    }

/** Changes a user's rules, which are account data. Answers why they stay as they are, if they do. */
export function editPushRules(hub: HubContext, uid: number, edit: PushRuleEdit): PushRuleFailure | undefined {
  const change = edited(storedPushRules(hub, uid), edit)
  if (!change.ok) return change
  putAccountData(hub, uid, globalRid, { type: pushRulesType, content: JSON.stringify(change.stored) })
  return undefined
}

function edited(stored: StoredPushRules, edit: PushRuleEdit): PushRuleChange {
  if (edit.does === 'put') return putRule(stored, edit.kind, edit.rule, edit.position)
  const { kind, ruleId } = edit
  if (edit.does === 'remove') return removeRule(stored, kind, ruleId)
  if (edit.does === 'setEnabled') return setRuleEnabled(stored, kind, ruleId, edit.enabled)
  return setRuleActions(stored, kind, ruleId, edit.actions)
}

/**
 * Where an event is the tombstone of its room, gives the rules that members have for the room to its replacement too.
 * The specification leaves that open; the other servers do it, and a muted room stays muted.
 */
export function carryRulesOver(
  hub: HubContext,
  rid: number,
  roomId: RoomId,
  { event, sender }: EventNews,
): void {
  if (event['type'] !== 'm.room.tombstone' || event['state_key'] !== '') return
  const replacement = parseRoomId(stringProperty(objectProperty(event, 'content'), 'replacement_room') ?? '')
  if (replacement === undefined) return
  for (const uid of joinedMembers(hub, rid).keys()) {
    const rules = pushRulesetOf(hub, uid)
    const rule = findRule(rules, 'room', roomId)
    if (!rule || findRule(rules, 'room', replacement)) continue
    // A tombstone may name any room: it must not mute one that the member is in already.
    const userId = userIdOf(hub, uid)
    if (userId !== sender && membershipOf(hub, userId, replacement) === 'join') continue
    const position = { before: rule.rule_id }
    editPushRules(hub, uid, { does: 'put', kind: 'room', rule: { ...rule, rule_id: replacement }, position })
  }
}
