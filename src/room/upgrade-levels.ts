// The power levels of a room that replaces another one. Specification: client-server API, "Room Upgrades";
// room version 12, creators in power levels.

import { type JsonObject, objectProperty, property } from '../matrix/json.ts'
import {
  powerLevelNames,
  powerLevelsContent,
  readPowerLevel,
  requiredLevel,
  requiredLevelForEvent,
  roomCreators,
} from '../matrix/power-levels.ts'
import type { RoomVersionRules } from '../matrix/room-version.ts'
import { identity, type RoomContext } from './context.ts'
import { currentEvent, currentState, stateLookup } from './state-at.ts'

// How far above other state a tombstone is in a new room.
const tombstoneDistance = 100
const creatorLevel = 100

/** The levels of the room, in the form and by the rules of the version that the new room has. */
export function transferredLevels(
  room: RoomContext,
  next: RoomVersionRules,
  creators: readonly string[],
): JsonObject {
  const { rules } = identity(room)
  const content = powerLevelsContent(stateLookup(room, currentState(room)))
  const levels: JsonObject = {}
  for (const name of powerLevelNames) levels[name] = requiredLevel(rules, content, name)
  const events = levelMap(rules, content, 'events')
  const users = levelMap(rules, content, 'users')
  if (next.privilegedCreators) {
    // Since v12 creators have infinite power and may not be listed.
    for (const creator of creators) delete users[creator]
    raiseTombstone(next, levels, events)
  } else {
    // Power that was not listed must be now.
    for (const creator of unlistedCreators(room, content)) users[creator] = creatorLevel
  }
  const notifications = levelMap(rules, content, 'notifications')
  return { ...levels, events, users, ...(Object.keys(notifications).length === 0 ? {} : { notifications }) }
}

function levelMap(rules: RoomVersionRules, content: JsonObject | undefined, name: string): JsonObject {
  const entries = Object.entries(objectProperty(content, name) ?? {})
  const read = entries.map(([key, value]) => [key, readPowerLevel(rules, value)] as const)
  return Object.fromEntries(read.flatMap(([key, level]) => (level === undefined ? [] : [[key, level]])))
}

// Since v12 the level for tombstones must lie above that for other state.
function raiseTombstone(rules: RoomVersionRules, levels: JsonObject, events: JsonObject): void {
  const stateDefault = requiredLevel(rules, levels, 'state_default')
  const level = requiredLevelForEvent(rules, { ...levels, events }, 'm.room.tombstone', true)
  if (level <= stateDefault) {
    events['m.room.tombstone'] = Math.min(Number.MAX_SAFE_INTEGER, stateDefault + tombstoneDistance)
  }
}

function unlistedCreators(room: RoomContext, content: JsonObject | undefined): string[] {
  const { rules } = identity(room)
  const create = currentEvent(room, 'm.room.create')
  return create && (rules.privilegedCreators || content === undefined) ? roomCreators(rules, create) : []
}

/** Levels that let the sender set everything that goes over, to be replaced by the real ones at the end. */
export function levelsWhileUpgrading(
  levels: JsonObject,
  sender: string,
  banned: readonly string[],
): JsonObject {
  const users = objectProperty(levels, 'users') ?? {}
  const usersDefault = numeric(property(levels, 'users_default'))
  const own = numeric(property(users, sender) ?? usersDefault)
  const needed = Math.max(
    numeric(property(levels, 'state_default')),
    banned.length === 0 ? 0 : numeric(property(levels, 'ban')),
    ...Object.values(objectProperty(levels, 'events') ?? {}).map(numeric),
    // Nobody bans an equal.
    ...banned.map((userId) => numeric(property(users, userId) ?? usersDefault) + 1),
  )
  if (own >= needed) return levels
  return { ...levels, users: { ...users, [sender]: Math.min(Number.MAX_SAFE_INTEGER, needed) } }
}

function numeric(value: unknown): number {
  return typeof value === 'number' ? value : 0
}
