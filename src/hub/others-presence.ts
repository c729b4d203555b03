// Presence of users of other servers and other shards, as far as users of this shard share rooms with them. In memory, and of those
// who were told of last on disk (kept-others.ts).
// Specification: server-server API, "Presence"; client-server API, "Presence".

import type { UserId } from '../matrix/event.ts'
import type { HubContext } from './context.ts'
import { nextEphemeral } from './ephemeral.ts'
import { isWorthKeeping, keepOthers, type KnownPresence, loadOthers } from './kept-others.ts'
import { sharesWithOther } from './other-members.ts'
import type { PresenceContent, PresenceState } from './presence.ts'

/** What another server, or another shard, tells of one of its users. */
export interface OtherPresence {
  readonly userId: UserId
  readonly presence: PresenceState
  /** Milliseconds. */
  readonly lastActiveAgo: number
  readonly currentlyActive: boolean
  readonly statusMsg?: string
}

const mostKnown = 10_000
// Others repeat themselves within this time as long as their user is there.
const staleAfterMs = 30 * 60_000

interface Others {
  readonly users: Map<UserId, KnownPresence>
  /** What is on disk. */
  kept: ReadonlyMap<UserId, KnownPresence>
  /** Before this time nobody is silent for too long, milliseconds. */
  nextSilent: number
}

const tables = new WeakMap<HubContext, Others>()

function othersTable(hub: HubContext): Others {
  const known = tables.get(hub)
  if (known) return known
  const kept = loadOthers(hub)
  const there = [...kept.values()].filter(({ told }) => told.presence !== 'offline')
  const nextSilent = Math.min(...there.map(({ at }) => at + staleAfterMs))
  const fresh: Others = { users: new Map(kept), kept, nextSilent }
  tables.set(hub, fresh)
  return fresh
}

/** Remembers what was told, and writes down what the next life of this object would miss. */
export function rememberOthers(hub: HubContext, updates: readonly OtherPresence[]): void {
  const others = othersTable(hub)
  for (const told of updates) remember(hub, others, told)
  const isMissed = ({ userId }: OtherPresence) => {
    const now = others.users.get(userId)
    return now !== undefined && isWorthKeeping(others.kept.get(userId), now)
  }
  if (updates.some(isMissed)) others.kept = keepOthers(hub, others.users.values(), nextEphemeral(hub))
}

function remember(hub: HubContext, others: Others, told: OtherPresence): void {
  const { users } = others
  users.delete(told.userId)
  const oldest = users.size >= mostKnown ? users.keys().next().value : undefined
  if (oldest !== undefined) users.delete(oldest)
  users.set(told.userId, { told, at: hub.now(), changed: nextEphemeral(hub) })
  if (told.presence !== 'offline') others.nextSilent = Math.min(others.nextSilent, hub.now() + staleAfterMs)
}

/** What is known of somebody, for a user who shares a room with them. */
export function otherPresence(hub: HubContext, uid: number, userId: UserId): PresenceContent | undefined {
  const known = othersTable(hub).users.get(userId)
  return known && sharesWithOther(hub, uid, userId) ? contentOf(hub, known) : undefined
}

/** As `presenceSince`, for the others. */
export function othersPresenceSince(
  hub: HubContext,
  uid: number,
  since: number | undefined,
  newlySeen: readonly UserId[],
): { readonly sender: UserId; readonly content: PresenceContent }[] {
  const seen = new Set(newlySeen)
  return [...othersTable(hub).users]
    .filter(([userId, { told, changed }]) => {
      if (seen.has(userId)) return true
      return since === undefined ? told.presence !== 'offline' : changed > since
    })
    .filter(([userId]) => sharesWithOther(hub, uid, userId))
    .map(([sender, known]) => ({ sender, content: contentOf(hub, known) }))
}

/** Those who are shown as there, and of whom nothing was heard for too long. */
export function silentOthers(hub: HubContext): OtherPresence[] {
  const others = othersTable(hub)
  if (hub.now() < others.nextSilent) return []
  const there = [...others.users.values()].filter(({ told }) => told.presence !== 'offline')
  const isSilent = ({ at }: KnownPresence) => hub.now() - at >= staleAfterMs
  const oldest = there.find((known) => !isSilent(known))
  // Whoever is told of anew goes to the end.
  others.nextSilent = oldest ? oldest.at + staleAfterMs : Infinity
  const silent = there.filter(isSilent)
  return silent.map(({ told, at }) => ({ ...told, lastActiveAgo: told.lastActiveAgo + hub.now() - at }))
}

function contentOf(hub: HubContext, { told, at }: KnownPresence): PresenceContent {
  return contentOfTold(told, Math.max(0, hub.now() - at))
}

/** What others tell, as clients are shown it after so many milliseconds. */
export function contentOfTold(told: OtherPresence, after = 0): PresenceContent {
  return {
    presence: told.presence,
    last_active_ago: told.lastActiveAgo + after,
    ...(told.currentlyActive && told.presence === 'online' ? { currently_active: true } : {}),
    ...(told.statusMsg === undefined ? {} : { status_msg: told.statusMsg }),
  }
}
