// What the sender is given: events by the rooms, EDUs by the Hub shards.

import type { EventId, RoomId, ServerName } from '../../matrix/event.ts'
import { armAlarm, safetyMs } from './arm-alarm.ts'
import { longestBacklog, writeStanding } from './back-off.ts'
import { giveUpBacklog, isLeftOut, noteMissed } from './catch-up.ts'
import type { Destination, Sender } from './context.ts'
import { newDestination } from './load.ts'
import { addEdu, type OutgoingEdu, type RoomEdu } from './edus.ts'
import { enqueue, type Addressed } from './outbox.ts'
import { markReady, pump } from './work.ts'

/** An event of ours and the servers it goes to. */
export interface ToldEvent {
  readonly position: number
  readonly eventId: EventId
  readonly destinations: readonly ServerName[]
  /** In wire form as JSON text, so that the room need not be asked for it. */
  readonly text?: string
}

// A bound on memory; a room that is forgotten repeats itself at worst.
const rememberedRooms = 10_000

/** Takes over events of a room, in its order: they are on disk when this returns. What was told before is skipped. */
export function tell(sender: Sender, roomId: RoomId, events: readonly ToldEvent[]): void {
  const known = sender.toldUpTo.get(roomId) ?? 0
  const fresh = events.filter(({ position }) => position > known)
  const last = fresh.at(-1)
  if (!last) return
  // Before anything is written: where no alarm is pending, nothing is left to do.
  armAlarm(sender, sender.deps.now() + safetyMs)
  sender.deps.transact(() => {
    const addressed = fresh.map((event) => addressedEvent(sender, roomId, event))
    enqueue(
      sender,
      roomId,
      addressed.filter(({ destinations }) => destinations.length > 0),
    )
    for (const destination of destinationsOf(addressed)) {
      if (destination.failures === 0 || destination.queue.length <= longestBacklog) continue
      giveUpBacklog(sender, destination)
      writeStanding(sender, destination)
    }
  })
  if (sender.toldUpTo.size >= rememberedRooms) sender.toldUpTo.clear()
  sender.toldUpTo.set(roomId, last.position)
  for (const name of new Set(fresh.flatMap(({ destinations }) => destinations))) {
    const destination = sender.destinations.get(name)
    if (destination) markReady(sender, destination)
  }
  pump(sender)
}

function addressedEvent(sender: Sender, roomId: RoomId, event: ToldEvent): Addressed {
  const destinations: Destination[] = []
  for (const name of event.destinations) {
    if (name === sender.deps.serverName) continue
    const destination = sender.destinations.get(name) ?? newDestination(sender, name)
    if (isLeftOut(destination, roomId)) noteMissed(sender, destination, roomId, event.position)
    else destinations.push(destination)
  }
  return { eventId: event.eventId, position: event.position, destinations, text: event.text }
}

function destinationsOf(addressed: readonly Addressed[]): Set<Destination> {
  return new Set(addressed.flatMap(({ destinations }) => destinations))
}

// How long it may take until a server that joined or left is known here.
const serversKeptMs = 10_000

/** Takes over something of a local user for the other servers of a room. Resolves to whether there are any. */
export async function tellEdu(sender: Sender, edu: RoomEdu): Promise<boolean> {
  const servers = await otherServers(sender, edu.roomId)
  tellEduTo(sender, servers, edu)
  return servers.length > 0
}

/** Takes over something of a local user for some servers. */
export function tellEduTo(sender: Sender, servers: readonly ServerName[], edu: OutgoingEdu): void {
  for (const name of servers) {
    const destination = sender.destinations.get(name) ?? newDestination(sender, name)
    const wait = addEdu(destination.edus, edu, sender.deps.now(), destination.failures > 0)
    if (wait === undefined) continue
    if (wait === 0) markReady(sender, destination)
    else sender.deps.later(wait, () => serveNow(sender, destination))
  }
  pump(sender)
}

function serveNow(sender: Sender, destination: Destination): void {
  markReady(sender, destination)
  pump(sender)
}

async function otherServers(sender: Sender, roomId: RoomId): Promise<readonly ServerName[]> {
  const known = sender.serversOf.get(roomId)
  if (known && known.until > sender.deps.now()) return known.servers
  const servers = await sender.deps.rooms.otherServers(roomId)
  if (sender.serversOf.size >= rememberedRooms) sender.serversOf.clear()
  sender.serversOf.set(roomId, { servers, until: sender.deps.now() + serversKeptMs })
  return servers
}
