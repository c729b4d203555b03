// What users keep about a room follows them into the one that replaces it: the push rules for it, its tags, that it is a direct
// chat. It follows when both rooms say that the one replaces the other, for neither can be believed alone; that is known
// when a user joins the replacement or, where they were faster, when the tombstone comes.
// Specification: client-server API, "Room Upgrades".

import type { RoomId } from '../matrix/event.ts'
import { isJsonObject, type JsonObject, objectProperty, property } from '../matrix/json.ts'
import type { PushRule, RuleKind } from '../matrix/push-rules/push-rule.ts'
import { findRule } from '../matrix/push-rules/ruleset.ts'
import { getAccountData, globalRid, putAccountData, storedPushRules } from './account-data.ts'
import type { HubContext } from './context.ts'
import { findRoom, internUser, roomIdOf } from './interned.ts'
import { joinedMembers } from './members.ts'
import { editPushRules } from './push-rules.ts'
import { factsOf } from './room-facts.ts'
import type { EventNews } from './room-news.ts'

/**
 * Carries over what members of the replacement keep about the room that it replaces, as far as an event of either has made
 * that due. Doing it again changes nothing. Returns the users who have news by it. Call when the event and the facts are applied.
 */
export function carryOver(hub: HubContext, rid: number, news: readonly EventNews[]): number[] {
  const joined = news.flatMap(({ memberships }) =>
    memberships
      .filter(({ prev, next }) => prev !== 'join' && next === 'join')
      .map(({ userId }) => internUser(hub, userId)),
  )
  const isTombstone = news.some(({ event }) => event['type'] === 'm.room.tombstone')
  const from = joined.length > 0 ? factsOf(hub, rid).predecessor : undefined
  const to = isTombstone ? factsOf(hub, rid).replacement : undefined
  const users = [
    ...(from === undefined ? [] : carryBetween(hub, findRoom(hub, from), rid, joined)),
    ...(to === undefined ? [] : carryBetween(hub, rid, findRoom(hub, to), membersOf(hub, to))),
  ]
  return [...new Set(users)]
}

function membersOf(hub: HubContext, roomId: RoomId): readonly number[] {
  const rid = findRoom(hub, roomId)
  return rid === undefined ? [] : [...joinedMembers(hub, rid).keys()]
}

function carryBetween(
  hub: HubContext,
  from: number | undefined,
  to: number | undefined,
  users: readonly number[],
): number[] {
  if (from === undefined || to === undefined || from === to) return []
  const [old, next] = [roomIdOf(hub, from), roomIdOf(hub, to)]
  if (factsOf(hub, from).replacement !== next || factsOf(hub, to).predecessor !== old) return []
  return users.filter((uid) => {
    const carried = [
      carryRules(hub, uid, old, next),
      carryTags(hub, uid, from, to),
      carryDirect(hub, uid, old, next),
    ]
    return carried.includes(true)
  })
}

const conditional = ['override', 'underride'] as const satisfies readonly RuleKind[]

/** A rule for the room, and rules of which it is a condition: by such a one clients mute a room. */
function carryRules(hub: HubContext, uid: number, old: RoomId, next: RoomId): boolean {
  const { rules } = storedPushRules(hub, uid)
  const ofRoom = rules.room.filter(({ rule_id: ruleId }) => ruleId === old)
  const about = conditional.flatMap((kind) =>
    rules[kind]
      .filter((rule) => rule.conditions?.some((condition) => names(condition, old)))
      .map((rule) => ({ kind, rule })),
  )
  const carried = [...ofRoom.map((rule) => ({ kind: 'room' as const, rule })), ...about].map(
    ({ kind, rule }) => {
      const copy = copyFor(rule, old, next)
      if (findRule(rules, kind, copy.rule_id)) return false
      const position = { before: rule.rule_id }
      return editPushRules(hub, uid, { does: 'put', kind, rule: copy, position }) === undefined
    },
  )
  return carried.includes(true)
}

function names(condition: JsonObject, roomId: RoomId): boolean {
  return (
    property(condition, 'kind') === 'event_match' &&
    property(condition, 'key') === 'room_id' &&
    property(condition, 'pattern') === roomId
  )
}

function copyFor(rule: PushRule, old: RoomId, next: RoomId): PushRule {
  const ruleId = rule.rule_id.includes(old) ? rule.rule_id.replaceAll(old, next) : `${rule.rule_id} ${next}`
  if (!rule.conditions) return { ...rule, rule_id: ruleId }
  const conditions = rule.conditions.map((condition) =>
    names(condition, old) ? { ...condition, pattern: next } : condition,
  )
  return { ...rule, rule_id: ruleId, conditions }
}

// Whoever has tagged the replacement, or taken its tags away, has said what they want.
function carryTags(hub: HubContext, uid: number, from: number, to: number): boolean {
  const content = getAccountData(hub, uid, from, 'm.tag')
  if (content === undefined || getAccountData(hub, uid, to, 'm.tag') !== undefined) return false
  const parsed: unknown = JSON.parse(content)
  // The room of the server's notices is for the server to name.
  const { 'm.server_notice': _, ...tags } = (isJsonObject(parsed) && objectProperty(parsed, 'tags')) || {}
  if (Object.keys(tags).length === 0) return false
  putAccountData(hub, uid, to, { type: 'm.tag', content: JSON.stringify({ tags }) })
  return true
}

function carryDirect(hub: HubContext, uid: number, old: RoomId, next: RoomId): boolean {
  const text = getAccountData(hub, uid, globalRid, 'm.direct')
  const direct: unknown = text === undefined ? undefined : JSON.parse(text)
  if (!isJsonObject(direct)) return false
  let carried = false
  const entries = Object.entries(direct).map(([userId, rooms]) => {
    if (!Array.isArray(rooms) || !rooms.includes(old) || rooms.includes(next)) return [userId, rooms] as const
    carried = true
    return [userId, [...rooms, next]] as const
  })
  if (!carried) return false
  putAccountData(hub, uid, globalRid, {
    type: 'm.direct',
    content: JSON.stringify(Object.fromEntries(entries)),
  })
  return true
}
