// What clients do to rooms, over HTTP, with little to type.

import { expect } from 'vitest'
import type { JsonObject, JsonValue } from '../../src/matrix/json.ts'
import type { Account, TestServer } from './server.ts'
import { textOf } from './text-of.ts'

const api = '/_matrix/client/v3'
let transactions = 0

export type RoomClient = ReturnType<typeof roomClient>

/** A registered user. Paths are below /_matrix/client/v3. */
export async function newClient(
  server: Pick<TestServer, 'request' | 'register'>,
  localpart: string,
): Promise<RoomClient> {
  return roomClient(server, await server.register(localpart))
}

/** The client of an account. */
export function roomClient(server: Pick<TestServer, 'request'>, account: Account) {
  const call = async (method: string, path: string, body?: JsonValue) =>
    await server.request(method, `${api}${path}`, {
      token: account.token,
      ...(body === undefined ? {} : { body }),
    })
  const rooms = (roomId: string, rest: string) => `/rooms/${encodeURIComponent(roomId)}/${rest}`
  const done = async (method: string, path: string, body?: JsonValue) => {
    const answer = await call(method, path, body)
    expect(answer.status, `${method} ${path}: ${JSON.stringify(answer.body)}`).toBe(200)
    return answer.body
  }
  return {
    ...account,
    call,
    /** A request that must succeed. Answers the body. */
    done,
    inRoom: (method: string, roomId: string, rest: string, body?: JsonValue) =>
      call(method, rooms(roomId, rest), body),
    async createRoom(options: JsonObject = {}): Promise<string> {
      return textOf(await done('POST', '/createRoom', options), 'room_id')
    },
    async send(roomId: string, content: JsonObject, type = 'm.room.message'): Promise<string> {
      transactions += 1
      const sent = await done('PUT', rooms(roomId, `send/${type}/t${transactions}`), content)
      return textOf(sent, 'event_id')
    },
    setState: (roomId: string, type: string, content: JsonObject, stateKey = '') =>
      call('PUT', rooms(roomId, `state/${type}/${encodeURIComponent(stateKey)}`), content),
    /** The content of a state event, undefined where there is none. */
    async state(roomId: string, type: string, stateKey = ''): Promise<JsonObject | undefined> {
      const answer = await call('GET', rooms(roomId, `state/${type}/${encodeURIComponent(stateKey)}`))
      return answer.status === 200 ? answer.body : undefined
    },
    join: (room: string, body: JsonObject = {}) => call('POST', `/join/${encodeURIComponent(room)}`, body),
    knock: (room: string, body: JsonObject = {}) => call('POST', `/knock/${encodeURIComponent(room)}`, body),
    /** `invite`, `kick`, `ban` or `unban`. */
    act: (action: string, roomId: string, target: string, body: JsonObject = {}) =>
      call('POST', rooms(roomId, action), { user_id: target, ...body }),
    leave: (roomId: string, body: JsonObject = {}) => call('POST', rooms(roomId, 'leave'), body),
    event: (roomId: string, eventId: string) =>
      call('GET', rooms(roomId, `event/${encodeURIComponent(eventId)}`)),
    async redact(roomId: string, eventId: string, body: JsonObject = {}) {
      transactions += 1
      return await call('PUT', rooms(roomId, `redact/${encodeURIComponent(eventId)}/t${transactions}`), body)
    },
    setAlias: (alias: string, roomId: string) =>
      call('PUT', `/directory/room/${encodeURIComponent(alias)}`, { room_id: roomId }),
    removeAlias: (alias: string) => call('DELETE', `/directory/room/${encodeURIComponent(alias)}`),
    aliasTarget: (alias: string) => call('GET', `/directory/room/${encodeURIComponent(alias)}`),
  }
}

/** The refusal that an answer must be. */
export function refusal(status: number, errcode: string) {
  return expect.objectContaining({ status, body: expect.objectContaining({ errcode }) })
}
