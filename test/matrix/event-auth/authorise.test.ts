// Runs the tables of cases, and proves that they reach every rule the source can name.

import { readFileSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { authRules } from '../../../src/matrix/event-auth/rules.ts'
import { authEventCases } from './cases/auth-events.ts'
import { createCases, roomCases } from './cases/create.ts'
import { exchangedInviteCases, inviteCases } from './cases/member-invite.ts'
import { joinCases, knockCases, memberCases } from './cases/member-join.ts'
import { banCases, leaveCases } from './cases/member-removal.ts'
import { otherCases, redactionCases } from './cases/other-events.ts'
import { ownedStateCases } from './cases/owned-state.ts'
import { powerLevelChangeCases, powerLevelFormCases } from './cases/power-levels.ts'
import type { RuleCase } from './cases/rule-case.ts'

const tables: Record<string, readonly RuleCase[]> = {
  'create events': createCases,
  'the room of an event': roomCases,
  'member events': memberCases,
  joins: joinCases,
  knocks: knockCases,
  invites: inviteCases,
  'exchanged third-party invites': exchangedInviteCases,
  leaves: leaveCases,
  bans: banCases,
  'other events': otherCases,
  'state of users who may have more than one': ownedStateCases,
  redactions: redactionCases,
  'forms of power levels': powerLevelFormCases,
  'changes of power levels': powerLevelChangeCases,
  'auth events': authEventCases,
}

describe.each(Object.entries(tables))('%s', (_, cases) => {
  it.each(cases.map((one) => [one.rule, one.name, one] as const))('%s: %s', (_rule, _name, one) => {
    for (const version of one.versions) {
      const verdict = one.judge(version)
      const expected = one.passes ? { ok: true } : { ok: false, rule: one.rule, reason: authRules[one.rule] }
      expect(verdict, `room version ${version}`).toEqual(expected)
    }
  })
})

describe('the tables', () => {
  const cases = Object.values(tables).flat()
  const covered = (passes: boolean) =>
    [
      ...new Set(
        cases.filter((one) => one.passes === passes && one.versions.length > 0).map((one) => one.rule),
      ),
    ].sort()
  const rules = Object.keys(authRules).sort()

  it('have a passing event for every rule', () => {
    expect(covered(true)).toEqual(rules)
  })

  it('have a failing event for every rule', () => {
    expect(covered(false)).toEqual(rules)
  })

  it('have no case without a room version', () => {
    expect(cases.filter((one) => one.versions.length === 0)).toEqual([])
  })

  it('know every rule that the source can emit, and the source emits every rule', () => {
    const folder = join(import.meta.dirname, '../../../src/matrix/event-auth')
    const source = readdirSync(folder).map((name) => readFileSync(join(folder, name), 'utf8'))
    const emitted = source.flatMap((text) =>
      [...text.matchAll(/refuse\('([^']+)'\)/g)].map((match) => match[1] ?? ''),
    )
    expect([...new Set(emitted)].sort()).toEqual(rules)
  })
})
