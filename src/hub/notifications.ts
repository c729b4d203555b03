// What a user was notified of, from what the log remembers of each event.
// Specification: client-server API, "Listing Notifications".

import type { RoomId, UserId } from '../matrix/event.ts'
import { parseEventId } from '../matrix/identifiers.ts'
import type { EventId } from '../matrix/event.ts'
import type { PushRuleset } from '../matrix/push-rules/push-rule.ts'
import { pushRulesetOf } from './account-data.ts'
import type { HubContext } from './context.ts'
import { findUser, roomIdOf } from './interned.ts'
import type { NotifyOutcome } from './notify.ts'
import { whatIsRead } from './unread.ts'

export interface NotificationsRequest {
  /** Only what is older than this position of the log. */
  readonly before?: number
  readonly limit: number
  readonly onlyHighlights: boolean
}

export interface NotifiedEvent {
  readonly roomId: RoomId
  readonly eventId: EventId
  readonly read: boolean
  readonly highlight: boolean
  /** The user's display name in the room now, which push rules ask for. */
  readonly displayName?: string
}

export interface NotificationPage {
  /** The newest first. */
  readonly events: readonly NotifiedEvent[]
  /** Where to go on; absent where there is no more. */
  readonly next?: number
  /** The user's push rules. */
  readonly rules: PushRuleset
}

// So many positions of the log are looked at for one answer: most of them are of other users.
const scanned = 20_000

type LogRow = { pos: number; rid: number; to_pos: number; event_id: string; notify: string }

/** A page of what a user was notified of in the rooms that they are in or invited to. */
export function notifications(
  hub: HubContext,
  userId: UserId,
  { before, limit, onlyHighlights }: NotificationsRequest,
): NotificationPage {
  const uid = findUser(hub, userId)
  if (uid === undefined) throw new Error('a session without a user')
  const from = before ?? hub.position + 1
  const down = Math.max(0, from - scanned)
  const rows = hub.sql.exec<LogRow>(
    `SELECT pos, rid, to_pos, event_id, notify FROM log
     WHERE pos < ? AND pos >= ? AND notify IS NOT NULL AND event_id IS NOT NULL ORDER BY pos DESC`,
    from,
    down,
  )
  const rules = pushRulesetOf(hub, uid)
  const standings = new Map<number, Standing | undefined>()
  const events: NotifiedEvent[] = []
  const rooms = new Set<number>()
  for (const row of rows) {
    // Written by `notified` alone.
    const outcome = JSON.parse(row.notify) as NotifyOutcome
    const highlight = outcome.h.includes(uid)
    if (onlyHighlights && !highlight) continue
    if (!standings.has(row.rid)) standings.set(row.rid, standing(hub, uid, row.rid))
    const stands = standings.get(row.rid)
    const eventId = parseEventId(row.event_id)
    if (!stands || eventId === undefined || !isNotified(uid, stands, row.to_pos, outcome)) continue
    const isNewRoom = !rooms.has(row.rid)
    if (events.length >= limit || (isNewRoom && rooms.size >= hub.roomsPerSync)) {
      return { events, next: row.pos + 1, rules }
    }
    rooms.add(row.rid)
    const { displayName } = stands
    events.push({
      roomId: roomIdOf(hub, row.rid),
      eventId,
      read: stands.read(outcome.t, row.to_pos),
      highlight,
      ...(displayName === null ? {} : { displayName }),
    })
  }
  return { events, ...(down > 1 ? { next: down } : {}), rules }
}

interface Standing {
  readonly joined: boolean
  /** The room position of the membership. */
  readonly since: number
  /** Whether the room is read up to a position, or a thread of it. */
  readonly read: (thread: string | undefined, roomPosition: number) => boolean
  readonly displayName: string | null
}

function standing(hub: HubContext, uid: number, rid: number): Standing | undefined {
  const row = hub.sql
    .exec<{ membership: string; room_pos: number; display_name: string | null }>(
      `SELECT membership, room_pos, display_name FROM user_room
       WHERE uid = ? AND rid = ? AND membership IN ('join', 'invite')`,
      uid,
      rid,
    )
    .toArray()[0]
  if (!row) return undefined
  const joined = row.membership === 'join'
  return {
    joined,
    since: row.room_pos,
    read: joined ? whatIsRead(hub, uid, rid) : () => false,
    displayName: row.display_name,
  }
}

// All who were joined are notified but those whom the outcome names, of the invited only those whom it names. One who
// joined later was in neither.
function isNotified(uid: number, { joined, since }: Standing, roomPosition: number, outcome: NotifyOutcome) {
  if (outcome.i?.includes(uid)) return true
  return joined && roomPosition > since && !outcome.x.includes(uid)
}
