// What a room says about its aliases. Specification: client-server API, m.room.canonical_alias, "Room aliases".

import { MatrixError } from '../errors.ts'
import type { RoomAlias, UserId } from '../matrix/event.ts'
import { type JsonObject, property, stringProperty } from '../matrix/json.ts'
import { findIdentity, type RoomContext, type Signer } from './context.ts'
import { PolicySignatureMissing } from './policy-server.ts'
import { maySendState } from './room-power.ts'
import { currentMembership, sendEvent } from './send-event.ts'
import { currentEvent } from './state-at.ts'

/** What decides about a user's dealings with the aliases of a room. */
export interface AliasStanding {
  readonly joined: boolean
  readonly worldReadable: boolean
  /** Whether the user could change the main alias. */
  readonly power: boolean
  /** The aliases in the room's m.room.canonical_alias. */
  readonly listed: readonly string[]
}

/** Where a user stands. Without any rights for a room that this server is not in. */
export function aliasStanding(room: RoomContext, userId: UserId): AliasStanding {
  if (!findIdentity(room)) return { joined: false, worldReadable: false, power: false, listed: [] }
  const visibility = currentEvent(room, 'm.room.history_visibility')?.content
  const joined = currentMembership(room, userId) === 'join'
  return {
    joined,
    worldReadable: stringProperty(visibility, 'history_visibility') === 'world_readable',
    power: joined && maySendState(room, userId, 'm.room.canonical_alias'),
    listed: listedAliases(currentEvent(room, 'm.room.canonical_alias')?.content ?? {}),
  }
}

/** The aliases that a canonical alias event names. */
export function listedAliases(content: JsonObject): string[] {
  const alternatives = property(content, 'alt_aliases')
  const all = [property(content, 'alias'), ...(Array.isArray(alternatives) ? alternatives : [])]
  return all.filter((alias) => typeof alias === 'string' && alias !== '').map(String)
}

/**
 * Takes aliases that point here no more out of the room's m.room.canonical_alias. Answers without a word for senders
 * who may not, as for rooms that do not name them.
 */
export function withdrawAliases(
  room: RoomContext,
  signer: Signer,
  { sender, aliases }: { readonly sender: UserId; readonly aliases: readonly RoomAlias[] },
): void {
  const content = findIdentity(room) && currentEvent(room, 'm.room.canonical_alias')?.content
  if (!content || !listedAliases(content).some((alias) => isOneOf(alias, aliases))) return
  sendIfAllowed(room, signer, sender, 'm.room.canonical_alias', withoutAliases(content, aliases))
}

/** The content of a canonical alias event without some aliases. */
export function withoutAliases(content: JsonObject, aliases: readonly string[]): JsonObject {
  const { alias, alt_aliases: alternatives, ...others } = content
  const left = (Array.isArray(alternatives) ? alternatives : []).filter((other) => !isOneOf(other, aliases))
  return {
    ...others,
    ...(alias === undefined || isOneOf(alias, aliases) ? {} : { alias }),
    ...(left.length === 0 ? {} : { alt_aliases: left }),
  }
}

function isOneOf(alias: unknown, aliases: readonly string[]): boolean {
  return typeof alias === 'string' && aliases.includes(alias)
}

/** Sends a state event with an empty state key if the sender may. */
export function sendIfAllowed(
  room: RoomContext,
  signer: Signer,
  sender: UserId,
  type: string,
  content: JsonObject,
): void {
  try {
    sendEvent(room, signer, { draft: { type, sender, state_key: '', content } })
  } catch (error) {
    // Whoever called asks the policy server, and calls again.
    if (error instanceof PolicySignatureMissing) throw error
    if (!(error instanceof MatrixError) || error.errcode !== 'M_FORBIDDEN') throw error
  }
}
