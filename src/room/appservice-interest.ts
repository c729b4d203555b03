// Which application services are interested in an event: those that have the room or an alias of it in a namespace, or look
// after somebody whom it is about or who is in the room.
// Specification: application service API, "Registration".

import { listeners } from '../appservice/listeners.ts'
import { looksAfterAlias, looksAfterUser } from '../appservice/namespaces.ts'
import type { Appservice } from '../appservice/registration.ts'
import type { RoomAlias } from '../matrix/event.ts'
import { parseRoomAlias, parseUserId, serverNameOf } from '../matrix/identifiers.ts'
import { aliasesOfRoom } from '../storage/aliases.ts'
import { findIdentity, identity, type RoomContext } from './context.ts'
import type { StoredEvent } from './events.ts'
import { appservicesAround, joinedAppservices } from './joined-servers.ts'
import { listedAliases } from './room-aliases.ts'
import { currentState, eventInState, type StateRef } from './state-at.ts'

const hosted = new WeakMap<RoomContext, readonly RoomAlias[]>()

/** Reads the aliases that lead here again, when they are needed next. */
export function forgetAliases(room: RoomContext): void {
  hosted.delete(room)
}

/** The aliases of this server that lead to the room, if anybody could be interested in it because of them. */
export async function hostedAliases(room: RoomContext): Promise<readonly RoomAlias[]> {
  if (listeners(room.env).every(({ aliases }) => aliases.length === 0)) return []
  const known = hosted.get(room)
  if (known) return known
  const aliases = await aliasesOfRoom(room.env, identity(room).roomId)
  hosted.set(room, aliases)
  return aliases
}

/** Whether an application service is interested in each of some events, given in the order of the room. */
export function interests(
  room: RoomContext,
  appservice: Appservice,
  aliases: readonly RoomAlias[],
  events: readonly StoredEvent[],
): boolean[] {
  if (isWholeRoom(room, appservice, aliases)) return events.map(() => true)
  const around = appservicesAround(
    room,
    events.map(({ eid }) => eid),
  )
  return events.map(
    (stored, i) =>
      around[i]?.has(appservice.id) === true ||
      concerns(room, appservice, stored) ||
      // Also the event that takes the name away.
      isNamedFor(room, appservice, stored.eid - 1) ||
      isNamedFor(room, appservice, stored.eid),
  )
}

/** Whether it is interested in whatever happens in the room now. */
export function isInterestedNow(
  room: RoomContext,
  appservice: Appservice,
  aliases: readonly RoomAlias[],
): boolean {
  return (
    isWholeRoom(room, appservice, aliases) ||
    joinedAppservices(room).has(appservice.id) ||
    isNamedFor(room, appservice, currentState(room))
  )
}

/** The answer to the AppserviceSender, which decides by it about typing and receipts. */
export async function interestsAppservice(room: RoomContext, id: string): Promise<boolean> {
  const appservice = listeners(room.env).find((listener) => listener.id === id)
  if (!appservice || !findIdentity(room)) return false
  return isInterestedNow(room, appservice, await hostedAliases(room))
}

function isWholeRoom(room: RoomContext, appservice: Appservice, aliases: readonly RoomAlias[]): boolean {
  return (
    appservice.rooms.some(({ matches }) => matches(identity(room).roomId)) ||
    aliases.some((alias) => looksAfterAlias(appservice, alias))
  )
}

// Who the event is of, and the target of a membership: also of one's own that ends.
function concerns(room: RoomContext, appservice: Appservice, { event }: StoredEvent): boolean {
  if (looksAfterUser(room.env, appservice, event.sender)) return true
  const target = event.type === 'm.room.member' ? parseUserId(event.state_key ?? '') : undefined
  return target !== undefined && looksAfterUser(room.env, appservice, target)
}

// Where aliases of other servers lead is for the room to say. Of those of this server it is known, whatever a room claims.
function isNamedFor(room: RoomContext, appservice: Appservice, state: StateRef): boolean {
  if (appservice.aliases.length === 0) return false
  const content = eventInState(room, state, 'm.room.canonical_alias', '')?.content
  return listedAliases(content ?? {}).some((text) => {
    const alias = parseRoomAlias(text)
    return alias && serverNameOf(alias) !== room.serverName && looksAfterAlias(appservice, alias)
  })
}
