// Authorisation of m.room.power_levels: nobody gives or takes more power than they have.
// Specification: room versions 1-12, "Authorisation rules", rule 10 (9 in versions 6 to 11).

import { accept } from '../event.ts'
import type { Event, StateLookup, Verdict } from '../event.ts'
import { objectProperty, property } from '../json.ts'
import type { JsonObject } from '../json.ts'
import {
  hasValidLevelMaps,
  hasValidLevels,
  hasValidUsers,
  powerLevelNames,
  powerLevelsContent,
  readPowerLevel,
  roomCreators,
  userPowerLevel,
} from '../power-levels.ts'
import type { RoomVersionRules } from '../room-version.ts'
import { refuse } from './rules.ts'

/** One level before and after the event; undefined where it is not given. */
interface LevelChange {
  readonly name: string
  readonly current: number | undefined
  readonly next: number | undefined
}

/** Judges a power levels event. */
export function checkPowerLevels(rules: RoomVersionRules, event: Event, state: StateLookup): Verdict {
  const wellFormed = checkContent(rules, event.content, state)
  if (!wellFormed.ok) return wellFormed
  // The first power levels event of a room is free.
  const current = powerLevelsContent(state)
  if (current === undefined) return accept
  const senderLevel = userPowerLevel(rules, event.sender, state)
  const properties = levelChanges(rules, current, event.content, powerLevelNames)
  const entries = [
    ...entryChanges(rules, current, event.content, 'events'),
    // Since v6 `notifications` are protected like `events`.
    ...(rules.notificationsLevelsChecked ? entryChanges(rules, current, event.content, 'notifications') : []),
  ]
  const users = entryChanges(rules, current, event.content, 'users')
  return (
    refusedProperty(properties, senderLevel) ??
    refusedEntry(entries, senderLevel) ??
    refusedUser(users, event.sender, senderLevel) ??
    accept
  )
}

function checkContent(rules: RoomVersionRules, content: JsonObject, state: StateLookup): Verdict {
  // 10.1, 10.2 Since v10 levels are integers. Before, a level may also have an older form; one that cannot be read
  // in any form, such as an infinite one, could not be compared later, and is refused as well.
  if (!hasValidLevels(rules, content)) return refuse('power-levels-integers')
  if (!hasValidLevelMaps(rules, content)) return refuse('power-levels-maps')
  // 10.3 Keys of `users` are user ids, values are levels.
  if (!hasValidUsers(rules, content)) return refuse('power-levels-users')
  // 10.4 Since v12 creators have power without being listed, and cannot be demoted by being listed.
  if (rules.privilegedCreators && namesCreator(rules, content, state)) return refuse('power-levels-creators')
  return accept
}

function namesCreator(rules: RoomVersionRules, content: JsonObject, state: StateLookup): boolean {
  const users = objectProperty(content, 'users')
  const create = state('m.room.create', '')
  if (users === undefined || create === undefined) return false
  return roomCreators(rules, create).some((creator) => property(users, creator) !== undefined)
}

function refusedProperty(changes: readonly LevelChange[], senderLevel: number): Verdict | undefined {
  for (const { current, next } of changes) {
    if (exceeds(current, senderLevel)) return refuse('power-levels-property-current')
    if (exceeds(next, senderLevel)) return refuse('power-levels-property-new')
  }
  return undefined
}

function refusedEntry(changes: readonly LevelChange[], senderLevel: number): Verdict | undefined {
  if (changes.some(({ current }) => exceeds(current, senderLevel)))
    return refuse('power-levels-entry-current')
  if (changes.some(({ next }) => exceeds(next, senderLevel))) return refuse('power-levels-entry-new')
  return undefined
}

function refusedUser(
  changes: readonly LevelChange[],
  sender: string,
  senderLevel: number,
): Verdict | undefined {
  // Others of the same level are out of reach, one's own level can be lowered.
  const isOutOfReach = ({ name, current }: LevelChange) =>
    name !== sender && current !== undefined && current >= senderLevel
  if (changes.some(isOutOfReach)) return refuse('power-levels-user-current')
  if (changes.some(({ next }) => exceeds(next, senderLevel))) return refuse('power-levels-user-new')
  return undefined
}

function exceeds(level: number | undefined, senderLevel: number): boolean {
  return level !== undefined && level > senderLevel
}

function entryChanges(
  rules: RoomVersionRules,
  current: JsonObject,
  next: JsonObject,
  name: 'events' | 'notifications' | 'users',
): LevelChange[] {
  const before = objectProperty(current, name) ?? {}
  const after = objectProperty(next, name) ?? {}
  return levelChanges(rules, before, after, new Set([...Object.keys(before), ...Object.keys(after)]))
}

/** The levels that are added, changed or removed. Two forms of one number, such as "50" and 50, are no change. */
function levelChanges(
  rules: RoomVersionRules,
  before: JsonObject,
  after: JsonObject,
  names: Iterable<string>,
): LevelChange[] {
  return [...names]
    .map((name) => ({
      name,
      current: readPowerLevel(rules, property(before, name)),
      next: readPowerLevel(rules, property(after, name)),
    }))
    .filter(({ current, next }) => current !== next)
}
