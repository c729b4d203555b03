// What of a room goes over into the one that replaces it, and what is left behind.
// Specification: client-server API, "Room Upgrades".

import { MatrixError } from '../errors.ts'
import type { RoomAlias, RoomId, UserId } from '../matrix/event.ts'
import { type JsonObject, property, stringProperty } from '../matrix/json.ts'
import { powerLevelsContent, requiredLevel } from '../matrix/power-levels.ts'
import { roomVersion, type RoomVersionId, type RoomVersionRules } from '../matrix/room-version.ts'
import { transact } from './append.ts'
import { canonicalEqual } from './canonical-equal.ts'
import { identity, type RoomContext, type Signer } from './context.ts'
import { eventByEid, forwardExtremities } from './events.ts'
import { isPublished } from './index-room.ts'
import { markPublished } from './publish.ts'
import { listedAliases, sendIfAllowed, withdrawAliases, withoutAliases } from './room-aliases.ts'
import { maySendState, requireJoined } from './room-power.ts'
import { sendEvent } from './send-event.ts'
import { allState, currentEvent, currentState, slotOf, stateLookup } from './state-at.ts'
import { levelsWhileUpgrading, transferredLevels } from './upgrade-levels.ts'

export interface UpgradeRequest {
  readonly sender: UserId
  readonly version: RoomVersionId
  /** Who is to be a creator of the new room besides the sender, where its version knows such. */
  readonly additionalCreators: readonly UserId[]
  /** The aliases of this server that point to the room. */
  readonly aliases: readonly RoomAlias[]
}

export interface UpgradePlan {
  readonly creationContent: JsonObject
  readonly powerLevels: JsonObject
  readonly initialState: readonly { type: string; state_key: string; content: JsonObject }[]
  readonly published: boolean
}

// The order is that of a new room. None of them means something else in another room or by another sender.
const transferable = [
  'm.room.history_visibility',
  'm.room.guest_access',
  'm.room.server_acl',
  'm.room.encryption',
  'm.room.name',
  'm.room.avatar',
  'm.room.topic',
]

/** What the new room is made of. M_FORBIDDEN for users who may not replace the room. */
export function upgradePlan(room: RoomContext, request: UpgradeRequest): UpgradePlan {
  const { sender, version } = request
  // 1. Whoever upgrades a room must be able to send the tombstone.
  requireJoined(room, sender)
  if (!maySendState(room, sender, 'm.room.tombstone')) {
    throw new MatrixError('M_FORBIDDEN', 403, 'You do not have the power to upgrade this room')
  }
  const rules = roomVersion(version)
  if (!rules) throw new MatrixError('M_UNSUPPORTED_ROOM_VERSION', 400, 'The room version is not supported')
  const bans = bannedUsers(room)
  const levels = transferredLevels(room, rules, [sender, ...request.additionalCreators])
  const banned = bans.map(({ state_key: userId }) => userId)
  const meanwhile = rules.privilegedCreators ? levels : levelsWhileUpgrading(levels, sender, banned)
  const state = [...transferredState(room, rules, request), ...bans]
  // Without the power of a creator the sender may need more than they are to keep.
  const restored = canonicalEqual(levels, meanwhile) ? [] : [stateEvent('m.room.power_levels', levels)]
  return {
    creationContent: creationContent(room, rules),
    powerLevels: meanwhile,
    initialState: [...state, ...restored],
    published: isPublished(room),
  }
}

function creationContent(room: RoomContext, rules: RoomVersionRules): JsonObject {
  const content = currentEvent(room, 'm.room.create')?.content
  const type = property(content, 'type')
  const last = forwardExtremities(room).at(-1)
  // Since v1.16 the last event may be left out of the predecessor, from room version 12 on.
  const lastEvent =
    rules.roomIdIsCreateHash || last === undefined ? undefined : eventByEid(room, last).event.event_id
  return {
    ...(type === undefined ? {} : { type }),
    // A room that was closed to other servers stays closed.
    ...(property(content, 'm.federate') === false ? { 'm.federate': false } : {}),
    predecessor: {
      room_id: identity(room).roomId,
      ...(lastEvent === undefined ? {} : { event_id: lastEvent }),
    },
  }
}

function transferredState(room: RoomContext, rules: RoomVersionRules, { aliases }: UpgradeRequest) {
  const present = transferable.flatMap((type) => {
    const event = currentEvent(room, type)
    return event ? [stateEvent(type, event.content)] : []
  })
  return [
    stateEvent('m.room.join_rules', joinRules(room, rules)),
    ...present,
    ...transferredAlias(room, aliases),
    ...spaceChildren(room),
  ]
}

// Join rules that the new version does not know would keep everybody out.
function joinRules(room: RoomContext, rules: RoomVersionRules): JsonObject {
  const content = currentEvent(room, 'm.room.join_rules')?.content ?? { join_rule: 'invite' }
  const known: Record<string, boolean> = {
    knock: rules.knocking,
    restricted: rules.restrictedJoins,
    knock_restricted: rules.knockRestricted,
  }
  const joinRule = stringProperty(content, 'join_rule') ?? 'invite'
  return Object.hasOwn(known, joinRule) && !known[joinRule] ? { join_rule: 'invite' } : content
}

// Only the aliases that move point to the new room.
function transferredAlias(room: RoomContext, moving: readonly RoomAlias[]) {
  const content = currentEvent(room, 'm.room.canonical_alias')?.content ?? {}
  const staying = listedAliases(content).filter((alias) => !moving.some((other) => other === alias))
  const moved = withoutAliases(content, staying)
  return listedAliases(moved).length === 0 ? [] : [stateEvent('m.room.canonical_alias', moved)]
}

// A space is the list of its rooms.
function spaceChildren(room: RoomContext) {
  const isSpace = stringProperty(currentEvent(room, 'm.room.create')?.content, 'type') === 'm.space'
  return isSpace ? stateOfType(room, 'm.space.child') : []
}

function bannedUsers(room: RoomContext) {
  const { content: _, ...ban } = stateEvent('m.room.member', {})
  return stateOfType(room, 'm.room.member')
    .filter(({ content }) => property(content, 'membership') === 'ban')
    .map(({ state_key: userId, content }) => {
      const reason = stringProperty(content, 'reason')
      return {
        ...ban,
        state_key: userId,
        content: { membership: 'ban', ...(reason === undefined ? {} : { reason }) },
      }
    })
}

function stateOfType(room: RoomContext, type: string) {
  return [...allState(room, currentState(room))].flatMap(([slot, eid]) => {
    const { type: slotType, state_key: stateKey } = slotOf(room, slot)
    return slotType === type
      ? [{ type, state_key: stateKey, content: eventByEid(room, eid).event.content }]
      : []
  })
}

function stateEvent(type: string, content: JsonObject) {
  return { type, state_key: '', content }
}

export interface RetireRequest {
  readonly sender: UserId
  readonly replacement: RoomId
  /** The aliases that have moved to the replacement. */
  readonly aliases: readonly RoomAlias[]
}

/** Leaves a room behind: the tombstone, and as far as the sender may, nothing more to say and nobody to invite. */
export function retire(
  room: RoomContext,
  signer: Signer,
  { sender, replacement, aliases }: RetireRequest,
): void {
  identity(room)
  transact(room, () => {
    // 5. The tombstone shows the way to the replacement.
    sendEvent(room, signer, {
      draft: {
        type: 'm.room.tombstone',
        sender,
        state_key: '',
        content: { body: 'This room has been replaced', replacement_room: replacement },
      },
    })
    withdrawAliases(room, signer, { sender, aliases })
    restrict(room, signer, sender)
    if (isPublished(room)) markPublished(room, false)
  })
}

// 6. As the specification suggests, ordinary members may neither send events nor invite.
function restrict(room: RoomContext, signer: Signer, sender: UserId): void {
  const { rules } = identity(room)
  const levels = powerLevelsContent(stateLookup(room, currentState(room)))
  const needed = Math.max(50, requiredLevel(rules, levels, 'users_default') + 1)
  const raised: JsonObject = { ...levels }
  for (const name of ['events_default', 'invite'] as const) {
    raised[name] = Math.max(requiredLevel(rules, levels, name), needed)
  }
  if (levels) sendIfAllowed(room, signer, sender, 'm.room.power_levels', raised)
}
