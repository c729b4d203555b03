// What push rules say about an event. Specification: client-server API, "Push Rules".

import { type JsonObject, type JsonValue, property, stringProperty } from '../json.ts'
import { conditionHolds, matchesPattern, type PushContext } from './conditions.ts'
import type { EventReader } from './event-reader.ts'
import { type PushAction, type PushRule, type PushRuleset, type RuleKind, ruleKinds } from './push-rule.ts'

export interface PushOutcome {
  readonly notify: boolean
  readonly highlight: boolean
  readonly sound?: string
  /** The rule that matched. */
  readonly ruleId?: string
  /** What it wants done, without what no longer has a meaning. */
  readonly actions: readonly PushAction[]
}

const nothing: PushOutcome = { notify: false, highlight: false, actions: [] }

/** The outcome of the most important rule that matches an event for one user. */
export function evaluate(ruleset: PushRuleset, event: EventReader, context: PushContext): PushOutcome {
  // Nobody is notified of what they sent themselves.
  if (event.value('sender') === context.userId) return nothing
  for (const kind of ruleKinds) {
    const rule = ruleset[kind].find((candidate) => matches(kind, candidate, event, context))
    if (rule !== undefined) return outcome(rule)
  }
  return nothing
}

/** The `tweaks` that actions set, for the push gateway. */
export function tweaks(actions: readonly PushAction[]): JsonObject {
  const entries = actions.flatMap((action): [string, JsonValue][] => {
    if (typeof action === 'string') return []
    const tweak = stringProperty(action, 'set_tweak')
    // A highlight without a value is one; other tweaks without a value set nothing.
    const value = property(action, 'value') ?? (tweak === 'highlight' ? true : undefined)
    return tweak === undefined || value === undefined ? [] : [[tweak, value]]
  })
  return Object.fromEntries(entries)
}

function matches(kind: RuleKind, rule: PushRule, event: EventReader, context: PushContext): boolean {
  if (!rule.enabled) return false
  if (kind === 'room') return event.value('room_id') === rule.rule_id
  if (kind === 'sender') return event.value('sender') === rule.rule_id
  if (kind === 'content') {
    return rule.pattern !== undefined && matchesPattern(event, 'content.body', rule.pattern)
  }
  // All conditions must hold; without any the rule always matches.
  return (rule.conditions ?? []).every((condition) => conditionHolds(condition, event, context))
}

function outcome(rule: PushRule): PushOutcome {
  // The historical actions are as good as absent.
  const actions = rule.actions.filter((action) => action !== 'dont_notify' && action !== 'coalesce')
  if (!actions.includes('notify')) return { ...nothing, ruleId: rule.rule_id, actions }
  const { highlight, sound } = tweaksRead(actions)
  return { notify: true, highlight, ...(sound !== undefined && { sound }), ruleId: rule.rule_id, actions }
}

function tweaksRead(actions: readonly PushAction[]): { highlight: boolean; sound: string | undefined } {
  const set = tweaks(actions)
  return { highlight: property(set, 'highlight') === true, sound: stringProperty(set, 'sound') }
}
