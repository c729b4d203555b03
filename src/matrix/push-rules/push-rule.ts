// Push rules as they go over the wire. Specification: client-server API, "Push Rules".

import type { JsonObject } from '../json.ts'

/** The kinds of rules in the order in which they are checked. */
export const ruleKinds = ['override', 'content', 'room', 'sender', 'underride'] as const

export type RuleKind = (typeof ruleKinds)[number]

/** `notify`, an object with `set_tweak`, or something we do not know and pass over. */
export type PushAction = string | JsonObject

export interface PushRule {
  readonly rule_id: string
  /** Whether it is one of the server's own rules. */
  readonly default: boolean
  readonly enabled: boolean
  readonly actions: readonly PushAction[]
  /** Of override and underride rules; all must hold. */
  readonly conditions?: readonly JsonObject[]
  /** Of content rules: a glob. */
  readonly pattern?: string
}

/** The rules of one user by kind, the most important first. */
export type PushRuleset = Readonly<Record<RuleKind, readonly PushRule[]>>

/** The kind of that name, or undefined. */
export function parseRuleKind(name: string): RuleKind | undefined {
  return ruleKinds.find((kind) => kind === name)
}
