// Presence of users of other servers and other shards, as far as users of this shard share rooms with them. In memory only.
// Specification: server-server API, "Presence"; client-server API, "Presence".

import type { UserId } from '../matrix/event.ts'
import type { HubContext } from './context.ts'
import { nextEphemeral } from './ephemeral.ts'
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

interface Known {
  readonly told: OtherPresence
  /** When it was told, in milliseconds. */
  readonly at: number
  /** The ephemeral sequence number since which it holds. */
  readonly changed: number
}

const mostKnown = 10_000

const tables = new WeakMap<HubContext, Map<UserId, Known>>()

function table(hub: HubContext): Map<UserId, Known> {
  const known = tables.get(hub)
  if (known) return known
  const fresh = new Map<UserId, Known>()
  tables.set(hub, fresh)
  return fresh
}

/** Remembers what was told. */
export function rememberOther(hub: HubContext, told: OtherPresence): void {
  const known = table(hub)
  known.delete(told.userId)
  const oldest = known.size >= mostKnown ? known.keys().next().value : undefined
  if (oldest !== undefined) known.delete(oldest)
  known.set(told.userId, { told, at: hub.now(), changed: nextEphemeral(hub) })
}

/** What is known of somebody, for a user who shares a room with them. */
export function otherPresence(hub: HubContext, uid: number, userId: UserId): PresenceContent | undefined {
  const known = table(hub).get(userId)
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
  return [...table(hub)]
    .filter(([userId, { told, changed }]) => {
      if (seen.has(userId)) return true
      return since === undefined ? told.presence !== 'offline' : changed > since
    })
    .filter(([userId]) => sharesWithOther(hub, uid, userId))
    .map(([sender, known]) => ({ sender, content: contentOf(hub, known) }))
}

/** Those who are shown as there, and of whom nothing was heard for so long. */
export function silentOthers(hub: HubContext, forMs: number): OtherPresence[] {
  return [...table(hub).values()]
    .filter(({ told, at }) => told.presence !== 'offline' && hub.now() - at >= forMs)
    .map(({ told, at }) => ({ ...told, lastActiveAgo: told.lastActiveAgo + hub.now() - at }))
}

function contentOf(hub: HubContext, { told, at }: Known): PresenceContent {
  return {
    presence: told.presence,
    last_active_ago: told.lastActiveAgo + Math.max(0, hub.now() - at),
    ...(told.currentlyActive && told.presence === 'online' ? { currently_active: true } : {}),
    ...(told.statusMsg === undefined ? {} : { status_msg: told.statusMsg }),
  }
}
