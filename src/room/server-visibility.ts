// What of a room another server may see: as much as any of its users may. Servers that may not see an event get its
// redacted form, so that they can still verify the graph.
// Specification: client-server API, "Room history visibility"; server-server API, "Backfilling and retrieving missing events".

import type { ServerName } from '../matrix/event.ts'
import { parseHistoryVisibility, type HistoryVisibility } from '../matrix/history-visibility.ts'
import { parseUserId, serverNameOf } from '../matrix/identifiers.ts'
import { stringProperty, type JsonObject } from '../matrix/json.ts'
import { redact } from '../matrix/redaction.ts'
import { identity, type RoomContext } from './context.ts'
import { eventByEid, eventStatus, type StoredEvent } from './events.ts'
import { isHistoryRef, memberSlotsInHistory, slotInHistory, stateAbove } from './history-state.ts'
import { isServerInRoom } from './joined-servers.ts'
import { slotHistory } from './slot-history.ts'
import { eidInState, stateGroup, type StateRef } from './state-at.ts'

/** One server's view of a room. */
export interface ServerView {
  readonly sees: (stored: StoredEvent) => boolean
}

/** The view of a server. Those that are not in the room see nothing. */
export function serverViewOf(room: RoomContext, serverName: ServerName): ServerView {
  if (!isServerInRoom(room, serverName)) return { sees: () => false }
  const setting = slotHistory(room, 'm.room.history_visibility', '')
  let memberships: ServerMemberships | undefined
  const settingIn = (ref: StateRef): HistoryVisibility => {
    const eid = setting.eidIn(ref)
    const content = eid === 0 ? undefined : eventByEid(room, eid).event.content
    return parseHistoryVisibility(stringProperty(content, 'history_visibility'))
  }
  const isOpen = (visibility: HistoryVisibility, ref: StateRef): boolean => {
    // World readable: everyone. Shared: whoever has joined since, as this server has.
    if (visibility === 'world_readable' || visibility === 'shared') return true
    memberships ??= serverMemberships(room, serverName)
    const counts = memberships.countsIn(ref)
    return counts.joined > 0 || (visibility === 'invited' && counts.invited > 0)
  }
  const sees = (stored: StoredEvent): boolean => {
    if (stored.status === eventStatus.rejected) return false
    // What its own users have said or become, a server knows already.
    if (isAbout(stored, serverName)) return true
    const { event, stateBefore } = stored
    if (isOpen(settingIn(stateBefore), stateBefore)) return true
    // A change of the visibility may be seen from before or from after.
    if (event.type !== 'm.room.history_visibility' || event.state_key !== '') return false
    const after = parseHistoryVisibility(stringProperty(event.content, 'history_visibility'))
    return isOpen(after, stateBefore)
  }
  return { sees }
}

/** The event as it goes to a server: whole where its view has it, redacted otherwise. */
export function pduFor(room: RoomContext, view: ServerView, stored: StoredEvent): JsonObject {
  return view.sees(stored) ? wirePdu(stored) : redact(stored.event.pdu, identity(room).rules)
}

/** The event in wire form, without what other servers have noted beside it. */
export function wirePdu({ event }: StoredEvent): JsonObject {
  const { unsigned: _, ...pdu } = event.pdu
  return pdu
}

function isAbout({ event }: StoredEvent, serverName: ServerName): boolean {
  if (serverNameOf(event.sender) === serverName) return true
  return event.type === 'm.room.member' && isOf(event.state_key ?? '', serverName)
}

function isOf(text: string, serverName: ServerName): boolean {
  const userId = parseUserId(text)
  return userId !== undefined && serverNameOf(userId) === serverName
}

interface Counts {
  readonly joined: number
  readonly invited: number
}

interface ServerMemberships {
  /** How many users of the server are joined and invited in a state. */
  readonly countsIn: (ref: StateRef) => Counts
}

const nobody: Counts = { joined: 0, invited: 0 }

/** The memberships of a server's users over time. Reads a row a change; asked for by visibilities that need it alone. */
function serverMemberships(room: RoomContext, serverName: ServerName): ServerMemberships {
  const rows = room.sql
    .exec<{ slot: number; userId: string; pos: number; membership: string | null }>(
      `SELECT slots.slot, slots.state_key AS userId, state.pos, state.membership FROM slots JOIN state USING (slot)
       WHERE slots.type = 'm.room.member' AND substr(slots.state_key, -length(?1)) = ?1 ORDER BY state.pos`,
      `:${serverName}`,
    )
    .toArray()
    .filter(({ userId }) => isOf(userId, serverName))
  const history = new Map<number, { pos: number; membership: string | null }[]>()
  const totals: { pos: number; counts: Counts }[] = []
  for (const { slot, pos, membership } of rows) {
    const ofSlot = history.get(slot) ?? []
    history.set(slot, ofSlot)
    const counts = totals.at(-1)?.counts ?? nobody
    totals.push({ pos, counts: replaced(counts, ofSlot.at(-1)?.membership, membership) })
    ofSlot.push({ pos, membership })
  }
  const inHistory = changesInHistory(room, serverName)
  const countsIn = (ref: StateRef): Counts => {
    if (isHistoryRef(ref)) return inHistory(ref, countsIn(stateAbove(room, ref)))
    const { base, delta } = stateGroup(room, ref)
    let counts = newestUpTo(totals, base)?.counts ?? nobody
    for (const [slot, eid] of delta) {
      const ofSlot = history.get(slot)
      if (!ofSlot) continue
      counts = replaced(counts, newestUpTo(ofSlot, base)?.membership, membershipOf(room, eid))
    }
    return counts
  }
  return { countsIn }
}

/** From the counts above back-filled history to those at a reference into it. */
function changesInHistory(room: RoomContext, serverName: ServerName) {
  const slots = memberSlotsInHistory(room, `:${serverName}`)
    .filter(({ userId }) => isOf(userId, serverName))
    .map(({ slot }) => ({ slot, heldIn: slotInHistory(room, slot) }))
  return (ref: StateRef, above: Counts): Counts =>
    slots.reduce((counts, { slot, heldIn }) => {
      const held = heldIn(ref)
      if ('state' in held) return counts
      const later = membershipOf(room, eidInState(room, stateAbove(room, ref), slot))
      return replaced(counts, later, membershipOf(room, held.eid))
    }, above)
}

function membershipOf(room: RoomContext, eid: number): unknown {
  return eid === 0 ? undefined : eventByEid(room, eid).event.content['membership']
}

function replaced(counts: Counts, before: unknown, after: unknown): Counts {
  const change = (membership: string) => Number(after === membership) - Number(before === membership)
  return { joined: counts.joined + change('join'), invited: counts.invited + change('invite') }
}

/** The last entry that is not above a position, by bisection. */
function newestUpTo<T extends { readonly pos: number }>(
  entries: readonly T[],
  position: number,
): T | undefined {
  let low = 0
  let high = entries.length
  while (low < high) {
    const middle = (low + high) >> 1
    if ((entries[middle]?.pos ?? Infinity) <= position) low = middle + 1
    else high = middle
  }
  return entries[low - 1]
}
