// A room of local users as a story: events through the Room's own RPC, reading through the client-server API.

import { randomBytes } from 'node:crypto'
import type { EventId, RoomId, UserId } from '../../src/matrix/event.ts'
import type { JsonObject } from '../../src/matrix/json.ts'
import type { RoomVersionId } from '../../src/matrix/room-version.ts'
import type { Account, TestServer } from './server.ts'

export interface LocalRoomOptions {
  readonly visibility?: string
  readonly version?: RoomVersionId
}

export type LocalRoom = Awaited<ReturnType<typeof localRoom>>

/** A public room. Its `history_visibility` is `shared` unless the options say otherwise. */
export async function localRoom(server: TestServer, creator: Account, options: LocalRoomOptions = {}) {
  const { visibility = 'shared', version = '10' } = options
  const roomId = `!${randomBytes(9).toString('hex')}:test.local` as RoomId
  const room = await server.room(roomId)
  await room.createRoom({
    roomId,
    roomVersion: version,
    creator: creator.userId as UserId,
    creatorProfile: { displayname: 'The Creator' },
    create: { content: { room_version: version, creator: creator.userId } },
    preset: 'public_chat',
    powerLevelContentOverride: {},
    initialState: [
      { type: 'm.room.history_visibility', state_key: '', content: { history_visibility: visibility } },
    ],
    invite: [],
    isDirect: false,
    published: false,
    localUsers: [],
  })
  const send = (sender: Account, type: string, content: JsonObject, stateKey?: string): Promise<EventId> =>
    room.sendEvent({
      draft: {
        type,
        sender: sender.userId as UserId,
        content,
        ...(stateKey === undefined ? {} : { state_key: stateKey }),
      },
    })
  return {
    roomId,
    room,
    send,
    say: (sender: Account, body: string) => send(sender, 'm.room.message', { msgtype: 'm.text', body }),
    /** Sets the membership of a user, their own unless `target` names another. */
    member: (sender: Account, membership: string, target = sender) =>
      send(sender, 'm.room.member', { membership }, target.userId),
    /** GET below the room's path. */
    get: <T = JsonObject>(reader: Account, path: string, query: Record<string, string> = {}) =>
      server.request<T>(
        'GET',
        `/_matrix/client/v3/rooms/${encodeURIComponent(roomId)}/${path}?${new URLSearchParams(query).toString()}`,
        { token: reader.token },
      ),
  }
}
