// Telling the FederationSender about events of our users, and about those that this server sends on for others, once the
// Hub shards know them. Rooms without other servers tell nothing.
// Specification: server-server API, "PDUs", "Joining Rooms", "Leaving Rooms".

import { federationSenderStub } from '../env.ts'
import type { ToldEvent } from '../federation/sender/tell.ts'
import { errorMessage, log } from '../log.ts'
import type { ServerName } from '../matrix/event.ts'
import { parseUserId, serverNameOf } from '../matrix/identifiers.ts'
import { objectProperty, property } from '../matrix/json.ts'
import { findIdentity, identity, type RoomContext } from './context.ts'
import { tellEventIndex } from './event-index.ts'
import { livePosition, type StoredEvent } from './events.ts'
import { untold } from './fan-out.ts'
import { joinedServersBefore } from './joined-servers.ts'
import { membershipAt } from './member-counts.ts'
import { acknowledge, armAlarm, senderSink, soonMs, toldUpTo } from './outbox.ts'
import { isRelayed } from './relayed.ts'
import { wirePdu } from './server-visibility.ts'

/** Whether the sender was told everything. */
export function senderIsTold(room: RoomContext): boolean {
  return toldUpTo(room, senderSink) >= livePosition(room)
}

const telling = new WeakMap<RoomContext, Promise<void>>()

/** Tells the sender everything up to now. Never throws: what fails is left to the alarm. */
export async function tellSender(room: RoomContext): Promise<void> {
  if (!findIdentity(room)) return
  const upTo = livePosition(room)
  try {
    while (toldUpTo(room, senderSink) < upTo) await (telling.get(room) ?? startTelling(room))
  } catch (error) {
    log({ event: 'sender_not_told', room_id: identity(room).roomId, error: errorMessage(error) })
    armAlarm(room, soonMs)
  }
}

function startTelling(room: RoomContext): Promise<void> {
  const running = tellNext(room).finally(() => telling.delete(room))
  telling.set(room, running)
  return running
}

async function tellNext(room: RoomContext): Promise<void> {
  const { events, last } = untold(room, toldUpTo(room, senderSink), livePosition(room))
  const news = toldEvents(room, events)
  if (news.length > 0) {
    // Whoever is sent an event may ask for it by its id.
    await tellEventIndex(room)
    await federationSenderStub(room.env).tell(identity(room).roomId, news)
  }
  acknowledge(room, senderSink, last)
}

function toldEvents(room: RoomContext, events: readonly StoredEvent[]): ToldEvent[] {
  const ours = events.filter((stored) => isOurs(room, stored))
  return addressees(room, ours).flatMap((destinations, i) => {
    const stored = ours[i]
    if (!stored || destinations.length === 0) return []
    const { eid, event } = stored
    return [{ position: eid, eventId: event.event_id, destinations, text: JSON.stringify(wirePdu(stored)) }]
  })
}

/** Whether it is for this server to send an event. */
export function isOurs(room: RoomContext, { eid, event }: StoredEvent): boolean {
  if (serverNameOf(event.sender) === room.serverName) return true
  // Only membership changes come by way of another server.
  return event.type === 'm.room.member' && isRelayed(room, eid)
}

/** The servers that each of some events goes to: in the order of the room, each an event of `isOurs`. */
export function addressees(room: RoomContext, events: readonly StoredEvent[]): ServerName[][] {
  const before = joinedServersBefore(
    room,
    events.map(({ eid }) => eid),
  )
  return events.map((stored, i) => {
    const servers = new Set(before[i])
    // An event of a server that was not in the room, such as our first join, came in by one that sends it on.
    if (!servers.delete(room.serverName)) return []
    const target = targetServer(room, stored)
    if (target) servers.add(target)
    // The sender's server has it, unless this one made it for them: an invite in place of that of a third party.
    const origin = serverNameOf(stored.event.sender)
    if (property(objectProperty(stored.event.pdu, 'signatures'), origin) !== undefined) servers.delete(origin)
    servers.delete(room.serverName)
    return [...servers]
  })
}

/**
 * The server of one who was removed from the room or from its waiting list. An invite reaches its target by a request of
 * its own, and one who joins or knocks is of the server that the event comes from.
 */
function targetServer(room: RoomContext, { eid, event }: StoredEvent): ServerName | undefined {
  if (event.type !== 'm.room.member' || event.state_key === undefined) return undefined
  const { membership } = event.content
  if (membership !== 'leave' && membership !== 'ban') return undefined
  const target = parseUserId(event.state_key)
  // A server that has nothing to do with the room learns nothing of it.
  if (target === undefined) return undefined
  const before = membershipAt(room, target, eid - 1)
  return before === 'join' || before === 'invite' || before === 'knock' ? serverNameOf(target) : undefined
}
