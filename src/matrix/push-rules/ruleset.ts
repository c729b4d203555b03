// A user's push rules: the predefined ones, the user's own, and changes to both.
// Specification: client-server API, "Push Rules: API". All functions are pure: a change gives new rules to store.

import { isJsonObject, type JsonObject, type JsonValue, property } from '../json.ts'
import { badParameter, isPattern } from './conditions.ts'
import { defaultRules, isDefaultRule } from './default-rules.ts'
import type { PushAction, PushRule, PushRuleset, RuleKind } from './push-rule.ts'

/** What is stored of a user's rules. */
export interface StoredPushRules {
  /** The user's own rules. */
  readonly rules: PushRuleset
  /** What the user changed about predefined rules. */
  readonly defaults: readonly DefaultRuleChange[]
}

export interface DefaultRuleChange {
  readonly rule_id: string
  readonly enabled?: boolean
  readonly actions?: readonly PushAction[]
}

/** A user who has changed nothing. */
export const noStoredRules: StoredPushRules = {
  rules: { override: [], content: [], room: [], sender: [], underride: [] },
  defaults: [],
}

/** Why rules cannot be changed so; `rule` is the cause, `reason` a sentence that names the field. */
export interface PushRuleFailure {
  readonly ok: false
  readonly rule: 'ruleId' | 'missingField' | 'invalidField' | 'anchorNotFound' | 'ruleNotFound' | 'tooLarge'
  readonly reason: string
}

export type PushRuleChange = { readonly ok: true; readonly stored: StoredPushRules } | PushRuleFailure

/** Where to put a rule: just above (`before`) or just below (`after`) one of the user's own of its kind. */
export interface RulePosition {
  readonly before?: string
  readonly after?: string
}

/** All of a user's rules may take this many characters as JSON: each is looked at for each event. */
const longestRules = 262_144

/** The rules that hold for a user: their own above the predefined, and the master rule above all. */
export function rulesetOf(userId: string, { rules, defaults }: StoredPushRules): PushRuleset {
  const predefined = defaultRules(userId)
  const changed = (kind: RuleKind) => predefined[kind].map((rule) => applyChange(rule, defaults))
  const overrides = changed('override')
  const isMaster = (rule: PushRule) => rule.rule_id === '.m.rule.master'
  return {
    override: [
      ...overrides.filter(isMaster),
      ...rules.override,
      ...overrides.filter((rule) => !isMaster(rule)),
    ],
    content: [...rules.content, ...changed('content')],
    room: [...rules.room, ...changed('room')],
    sender: [...rules.sender, ...changed('sender')],
    underride: [...rules.underride, ...changed('underride')],
  }
}

function applyChange(rule: PushRule, changes: readonly DefaultRuleChange[]): PushRule {
  const change = changes.find((candidate) => candidate.rule_id === rule.rule_id)
  return change === undefined ? rule : { ...rule, ...change }
}

/** One rule of a ruleset, or undefined. */
export function findRule(ruleset: PushRuleset, kind: RuleKind, ruleId: string): PushRule | undefined {
  return ruleset[kind].find((rule) => rule.rule_id === ruleId)
}

/** Reads a rule of the user's own from the body of a request. It is enabled, as new rules are. */
export function parsePushRule(
  kind: RuleKind,
  ruleId: string,
  body: JsonObject,
): { readonly ok: true; readonly rule: PushRule } | PushRuleFailure {
  // Ids that start with a dot are the server's; slashes and backslashes are not allowed.
  if (ruleId === '' || ruleId.startsWith('.') || /[/\\]/.test(ruleId)) {
    return failure('ruleId', 'rule_id must not be empty, start with "." or contain "/" or "\\"')
  }
  const actions = property(body, 'actions')
  if (actions === undefined) return failure('missingField', 'actions is missing')
  if (!areActions(actions)) return failure('invalidField', 'actions must be a list of strings and objects')
  const rule: PushRule = { rule_id: ruleId, default: false, enabled: true, actions }
  if (kind === 'content') return withPattern(rule, property(body, 'pattern'))
  if (kind === 'override' || kind === 'underride') {
    return withConditions(rule, property(body, 'conditions'))
  }
  return { ok: true, rule }
}

/** Whether a value is a list of actions. Unknown actions may be stored; they do nothing. */
export function areActions(value: JsonValue | undefined): value is PushAction[] {
  return Array.isArray(value) && value.every((action) => typeof action === 'string' || isJsonObject(action))
}

function withPattern(rule: PushRule, pattern: JsonValue | undefined): ReturnType<typeof parsePushRule> {
  if (pattern === undefined) return failure('missingField', 'pattern is missing')
  if (!isPattern(pattern)) return failure('invalidField', 'pattern must be a string and not too long')
  return { ok: true, rule: { ...rule, pattern } }
}

function withConditions(
  rule: PushRule,
  conditions: JsonValue | undefined = [],
): ReturnType<typeof parsePushRule> {
  if (!Array.isArray(conditions) || !conditions.every(isJsonObject)) {
    return failure('invalidField', 'conditions must be a list of objects')
  }
  for (const [index, condition] of conditions.entries()) {
    const bad = badParameter(condition)
    if (bad !== undefined) {
      return failure('invalidField', `conditions[${index}].${bad} is missing, invalid or too long`)
    }
  }
  return { ok: true, rule: { ...rule, conditions } }
}

/** Adds a rule of the user's own, or replaces the one with its id, which stays enabled or disabled as it was. */
export function putRule(
  stored: StoredPushRules,
  kind: RuleKind,
  rule: PushRule,
  position: RulePosition = {},
): PushRuleChange {
  const own = stored.rules[kind]
  const current = own.findIndex((candidate) => candidate.rule_id === rule.rule_id)
  const others = own.filter((candidate) => candidate.rule_id !== rule.rule_id)
  const index = placeFor(others, rule.rule_id, current, position)
  if (index < 0) {
    const anchor = position.before ?? position.after ?? ''
    return failure('anchorNotFound', `before/after rule not found among the user's own: ${anchor}`)
  }
  const enabled = own[current]?.enabled ?? rule.enabled
  return sized(withRules(stored, kind, others.toSpliced(index, 0, { ...rule, enabled })))
}

/** Where a rule goes among the others of its kind, or -1 when the rule it is placed by does not exist. */
function placeFor(
  others: readonly PushRule[],
  ruleId: string,
  current: number,
  { before, after }: RulePosition,
): number {
  // `before` counts when both are given.
  const anchor = before ?? after
  // Without either a new rule becomes the most important one, and an old one stays where it is.
  if (anchor === undefined) return Math.max(current, 0)
  if (anchor === ruleId) return current
  const at = others.findIndex((rule) => rule.rule_id === anchor)
  return at >= 0 && before === undefined ? at + 1 : at
}

/** Removes a rule of the user's own; the predefined cannot be removed. */
export function removeRule(stored: StoredPushRules, kind: RuleKind, ruleId: string): PushRuleChange {
  const own = stored.rules[kind]
  const left = own.filter((rule) => rule.rule_id !== ruleId)
  return left.length < own.length
    ? { ok: true, stored: withRules(stored, kind, left) }
    : notFound(kind, ruleId)
}

/** Enables or disables a rule, also a predefined one. */
export function setRuleEnabled(
  stored: StoredPushRules,
  kind: RuleKind,
  ruleId: string,
  enabled: boolean,
): PushRuleChange {
  return changeRule(stored, kind, ruleId, { enabled })
}

/** Sets the actions of a rule, also of a predefined one. */
export function setRuleActions(
  stored: StoredPushRules,
  kind: RuleKind,
  ruleId: string,
  actions: readonly PushAction[],
): PushRuleChange {
  return changeRule(stored, kind, ruleId, { actions })
}

function changeRule(
  stored: StoredPushRules,
  kind: RuleKind,
  ruleId: string,
  change: Omit<DefaultRuleChange, 'rule_id'>,
): PushRuleChange {
  if (isDefaultRule(kind, ruleId)) return sized(withDefault(stored, ruleId, change))
  const own = stored.rules[kind]
  const index = own.findIndex((rule) => rule.rule_id === ruleId)
  const rule = own[index]
  if (rule === undefined) return notFound(kind, ruleId)
  return sized(withRules(stored, kind, own.with(index, { ...rule, ...change })))
}

function withRules(stored: StoredPushRules, kind: RuleKind, rules: readonly PushRule[]): StoredPushRules {
  return { ...stored, rules: { ...stored.rules, [kind]: rules } }
}

function withDefault(
  stored: StoredPushRules,
  ruleId: string,
  change: Omit<DefaultRuleChange, 'rule_id'>,
): StoredPushRules {
  const before = stored.defaults.find((candidate) => candidate.rule_id === ruleId)
  const others = stored.defaults.filter((candidate) => candidate !== before)
  return { ...stored, defaults: [...others, { ...before, ...change, rule_id: ruleId }] }
}

function sized(stored: StoredPushRules): PushRuleChange {
  return JSON.stringify(stored).length <= longestRules
    ? { ok: true, stored }
    : failure('tooLarge', 'the push rules of one user would be too large')
}

function notFound(kind: RuleKind, ruleId: string): PushRuleFailure {
  return failure('ruleNotFound', `there is no such ${kind} rule: ${ruleId}`)
}

function failure(rule: PushRuleFailure['rule'], reason: string): PushRuleFailure {
  return { ok: false, rule, reason }
}
