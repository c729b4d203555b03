// Knocking on a room, here or on a server that is in it. Specification: client-server API, "Knocking on rooms"; server-server
// API, "Knocking upon a room".

import { config } from '../config.ts'
import { type Env, hubStub } from '../env.ts'
import { makeMember, sendKnock } from '../federation/remote-join/handshake.ts'
import type { SignedMember } from '../federation/remote-join/own-member.ts'
import { candidates, firstOf } from '../federation/remote-join/servers.ts'
import { checkShownState, strippedEntries } from '../federation/server/shown-state.ts'
import type { AppContext } from '../http/app-type.ts'
import type { RoomId } from '../matrix/event.ts'
import { type JsonObject, objectProperty, property } from '../matrix/json.ts'
import { askRoom, ownProfile } from './change-membership.ts'
import { handshakeDeps } from './handshake-deps.ts'

/** Knocks. `servers` may be in the room. M_FORBIDDEN, M_NOT_FOUND where nobody is known to be, 502 and 504. */
export async function knockOnRoom(
  c: AppContext,
  roomId: RoomId,
  content: JsonObject,
  servers: readonly string[],
): Promise<void> {
  const answer = await askRoom(c, roomId, 'knock', content)
  if ('eventId' in answer) return
  const { userId, shard } = c.var.session
  const member = {
    roomId,
    userId,
    membership: 'knock',
    content: { ...(await ownProfile(c.env, userId)), ...content },
  } as const
  const deps = await handshakeDeps(c.env)
  const helpers = candidates(config(c.env).serverName, roomId, [...servers, ...answer.through])
  const { knock, body } = await firstOf(helpers, async (server) => {
    const signed = await makeMember(deps, server, member)
    return { knock: signed, body: await sendKnock(deps, server, roomId, signed) }
  })
  const { eventId, pdu } = knock
  await hubStub(c.env, shard).applyRemoteMembership({
    roomId,
    userId,
    membership: 'knock',
    eventId,
    stripped: await shownState(c.env, roomId, knock, body),
    event: {
      type: 'm.room.member',
      event_id: eventId,
      sender: userId,
      state_key: userId,
      content: objectProperty(pdu, 'content') ?? {},
      origin_server_ts: property(pdu, 'origin_server_ts') ?? Date.now(),
    },
  })
}

/** What the other server says of the room, and the knock. */
async function shownState(
  env: Env,
  roomId: RoomId,
  { pdu, rules }: SignedMember,
  body: JsonObject,
): Promise<JsonObject[]> {
  const listed = property(body, 'knock_room_state')
  const entries = Array.isArray(listed) ? listed : []
  // Older servers, in rooms of older versions, give events that nobody can check: shown, and no more.
  const state = rules.roomIdIsCreateHash
    ? (await checkShownState(env, rules, roomId, entries)).state
    : strippedEntries(entries)
  const own = {
    type: 'm.room.member',
    state_key: property(pdu, 'state_key') ?? '',
    sender: property(pdu, 'sender') ?? '',
    content: objectProperty(pdu, 'content') ?? {},
  }
  const others = state.filter(({ type, state_key: key }) => type !== own.type || key !== own.state_key)
  return [...others, own]
}
