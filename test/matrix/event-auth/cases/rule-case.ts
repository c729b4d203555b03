// A case of the tables: one rule, the room versions it holds in, an event the rule lets pass or refuses.

import type { Event, StateLookup, Verdict } from '../../../../src/matrix/event.ts'
import { authorise } from '../../../../src/matrix/event-auth/authorise.ts'
import type { AuthRule } from '../../../../src/matrix/event-auth/rules.ts'
import type { JsonObject } from '../../../../src/matrix/json.ts'
import { roomVersionIds } from '../../../../src/matrix/room-version.ts'
import type { RoomVersionId, RoomVersionRules } from '../../../../src/matrix/room-version.ts'
import { createEvent, event, memberEvent, rulesOf, state } from '../../../fixtures/events.ts'
import type { EventFields } from '../../../fixtures/events.ts'

export interface RuleCase {
  readonly rule: AuthRule
  readonly versions: readonly RoomVersionId[]
  readonly passes: boolean
  readonly name: string
  readonly judge: (version: RoomVersionId) => Verdict
}

type CaseArguments = [
  rule: AuthRule,
  versions: readonly RoomVersionId[],
  name: string,
  judge: (version: RoomVersionId) => Verdict,
]

/** An event that the rule could refuse, but lets pass. */
export function passes(...[rule, versions, name, judge]: CaseArguments): RuleCase {
  return { rule, versions, passes: true, name, judge }
}

/** An event that this very rule refuses. */
export function fails(...[rule, versions, name, judge]: CaseArguments): RuleCase {
  return { rule, versions, passes: false, name, judge }
}

export const all = roomVersionIds
export const since = (version: RoomVersionId) => all.slice(all.indexOf(version))
export const upTo = (version: RoomVersionId) => all.slice(0, all.indexOf(version) + 1)
export const between = (first: RoomVersionId, last: RoomVersionId) =>
  upTo(last).filter((version) => since(first).includes(version))

// alice made the room. bob moderates, carol has no power. The others are in the state their names stand for.
export const alice = '@alice:a.example'
export const bob = '@bob:a.example'
export const carol = '@carol:c.example'
export const stranger = '@stranger:c.example'
export const invited = '@invited:c.example'
export const banned = '@banned:c.example'
export const left = '@left:c.example'
export const knocking = '@knocking:c.example'

export interface TestRoom {
  readonly rules: RoomVersionRules
  readonly create: Event
  readonly state: StateLookup
  /** The verdict on an event in this room. */
  readonly judge: (fields: EventFields) => Verdict
  /** The verdict on a member event in this room. */
  readonly judgeMember: (target: string, membership: string, fields?: EventFields) => Verdict
  /** An event in this room. */
  readonly event: (fields: EventFields) => Event
}

interface RoomOptions {
  readonly create?: JsonObject
  /** Content of the power levels event, null for none. */
  readonly powerLevels?: JsonObject | null
  readonly joinRule?: string
  /** Further state, which replaces that of the same slot. */
  readonly more?: readonly EventFields[]
}

/** A room of a version with the users above. The join rule is `invite` if no other is given, by its absence. */
export function room(version: RoomVersionId, options: RoomOptions = {}): TestRoom {
  const rules = rulesOf(version)
  const create = createEvent(version, { content: options.create ?? {} })
  const inRoom = { room_id: create.room_id }
  const powerLevels = options.powerLevels === undefined ? powers(version) : options.powerLevels
  const events = [
    create,
    ...[alice, bob, carol].map((id) => memberEvent(id, 'join', inRoom)),
    memberEvent(invited, 'invite', { ...inRoom, sender: alice }),
    memberEvent(banned, 'ban', { ...inRoom, sender: alice }),
    memberEvent(left, 'leave', inRoom),
    ...(rules.knocking ? [memberEvent(knocking, 'knock', inRoom)] : []),
    ...(powerLevels === null ? [] : [event({ ...inRoom, ...stateOf('m.room.power_levels', powerLevels) })]),
    ...(options.joinRule === undefined
      ? []
      : [event({ ...inRoom, ...stateOf('m.room.join_rules', { join_rule: options.joinRule }) })]),
    ...(options.more ?? []).map((fields) => event({ ...inRoom, ...fields })),
  ]
  const lookup = state(events)
  return {
    rules,
    create,
    state: lookup,
    judge: (fields) => authorise(rules, event({ ...inRoom, ...fields }), lookup),
    judgeMember: (target, membership, fields) =>
      authorise(rules, memberEvent(target, membership, { ...inRoom, ...fields }), lookup),
    event: (fields) => event({ ...inRoom, ...fields }),
  }
}

/** Power levels in which bob has 50 and, where creators may be listed, alice 100; changed by what is given. */
export function powers(version: RoomVersionId, changes: JsonObject = {}, users: JsonObject = {}): JsonObject {
  const creator: JsonObject = rulesOf(version).privilegedCreators ? {} : { [alice]: 100 }
  return { users: { ...creator, [bob]: 50, ...users }, ...changes }
}

/** The fields of a state event with an empty state key. */
export function stateOf(type: string, content: JsonObject): EventFields {
  return { type, state_key: '', content }
}
