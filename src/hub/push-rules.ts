// Changes to the push rules of this shard's users.
// Specification: client-server API, "Push Rules".

import type { PushAction, PushRule, RuleKind } from '../matrix/push-rules/push-rule.ts'
import {
  type PushRuleChange,
  type PushRuleFailure,
  putRule,
  removeRule,
  type RulePosition,
  setRuleActions,
  setRuleEnabled,
  type StoredPushRules,
} from '../matrix/push-rules/ruleset.ts'
import { globalRid, pushRulesType, putAccountData, storedPushRules } from './account-data.ts'
import type { HubContext } from './context.ts'

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
