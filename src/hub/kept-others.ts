// Presence of users of other servers and other shards on disk, so that the Hub may sleep: one row for all of them, written at most
// once for each call that tells of a change. A row each would cost as many rows as their servers like.
// Specification: server-server API, "Presence".

import type { UserId } from '../matrix/event.ts'
import type { HubContext } from './context.ts'
import type { OtherPresence } from './others-presence.ts'

export interface KnownPresence {
  readonly told: OtherPresence
  /** When it was told, in milliseconds. */
  readonly at: number
  /** The ephemeral sequence number since which it holds. */
  readonly changed: number
}

/** As many as make a row of a few hundred kilobytes at most, with long status messages; those told of last. */
const mostKept = 1000
const longestStatus = 256
// Whoever is told of again without a change is there for longer: half an hour after what is kept, they would be taken for gone.
const repeatMs = 10 * 60_000

/** Those who are kept, in the order in which they were told of. */
export function loadOthers(hub: HubContext): Map<UserId, KnownPresence> {
  const row = hub.sql.exec<{ users: string }>('SELECT users FROM presence_of_others').toArray()[0]
  // Written by `keepOthers` alone.
  const users = row ? (JSON.parse(row.users) as KnownPresence[]) : []
  return new Map(users.map((known) => [known.told.userId, known]))
}

/** Whether what is told now would be missed by the next life of this object. `kept`: what it would find. */
export function isWorthKeeping(kept: KnownPresence | undefined, now: KnownPresence): boolean {
  if (!kept) return now.told.presence !== 'offline' || now.told.statusMsg !== undefined
  return factsOf(kept) !== factsOf(now) || now.at - kept.at >= repeatMs
}

function factsOf({ told: { presence, currentlyActive, statusMsg } }: KnownPresence): string {
  return JSON.stringify([presence, currentlyActive, statusMsg?.slice(0, longestStatus)])
}

/** Writes down how others stand. `known` is in the order in which they were told of. Answers those who are kept now. */
export function keepOthers(
  hub: HubContext,
  known: Iterable<KnownPresence>,
  sequence: number,
): Map<UserId, KnownPresence> {
  const kept = [...known].slice(-mostKept)
  const short = kept.map(({ told, ...rest }) => ({ ...rest, told: shortened(told) }))
  hub.sql.exec(
    `INSERT INTO presence_of_others (id, changed, users) VALUES (1, ?, ?)
     ON CONFLICT (id) DO UPDATE SET changed = excluded.changed, users = excluded.users`,
    sequence,
    JSON.stringify(short),
  )
  return new Map(kept.map((one) => [one.told.userId, one]))
}

function shortened(told: OtherPresence): OtherPresence {
  return told.statusMsg === undefined ? told : { ...told, statusMsg: told.statusMsg.slice(0, longestStatus) }
}
