// A client of simplified sliding sync, in both of its forms.

import { expect } from 'vitest'
import type { JsonObject, JsonValue } from '../../src/matrix/json.ts'
import type { Account, TestServer } from './server.ts'

export interface SlidingEvent {
  readonly type: string
  readonly event_id: string
  readonly sender: string
  readonly state_key?: string
  readonly content: JsonObject
}

export interface SlidingRoomResult {
  readonly initial?: boolean
  readonly name?: string | null
  readonly avatar?: string | null
  readonly heroes?: readonly { user_id: string; displayname?: string }[]
  readonly is_dm?: boolean
  readonly membership?: string
  readonly lists?: readonly string[]
  readonly bump_stamp?: number
  readonly timeline?: readonly SlidingEvent[]
  readonly required_state?: readonly SlidingEvent[]
  readonly prev_batch?: string
  readonly limited?: boolean
  readonly num_live?: number
  readonly joined_count?: number
  readonly invited_count?: number
  readonly expanded_timeline?: boolean
  readonly unstable_expanded_timeline?: boolean
  readonly stripped_state?: readonly SlidingEvent[]
  readonly invite_state?: readonly SlidingEvent[]
}

export interface SlidingAnswer {
  readonly pos: string
  readonly txn_id?: string
  readonly errcode?: string
  readonly lists: Readonly<Record<string, { readonly count: number }>>
  readonly rooms: Readonly<Record<string, SlidingRoomResult>>
  readonly extensions: {
    readonly to_device?: { next_batch: string; events: JsonObject[] }
    readonly e2ee?: {
      device_lists?: { changed: string[]; left: string[] }
      device_one_time_keys_count?: Record<string, number>
      device_unused_fallback_key_types?: string[]
    }
    readonly account_data?: { global: JsonObject[]; rooms: Record<string, JsonObject[]> }
    readonly receipts?: { rooms: Record<string, { type: string; content: JsonObject }> }
    readonly typing?: { rooms: Record<string, { type: string; content: { user_ids: string[] } }> }
  }
}

/** The deployed form, which Element X and others use. */
export const deployedPath = '/_matrix/client/unstable/org.matrix.simplified_msc3575/sync'

export function slidingClient(server: Pick<TestServer, 'request'>, { token }: Pick<Account, 'token'>) {
  const post = (path: string, body: JsonObject) =>
    server.request<SlidingAnswer>('POST', path, { token, body })
  const deployed = (body: JsonObject, query: Record<string, string | number> = {}) => {
    const entries = Object.entries(query).map(([key, value]) => [key, `${value}`])
    return post(`${deployedPath}?${new URLSearchParams(entries).toString()}`, body)
  }
  return {
    deployed,
    accepted: (body: JsonObject) => post('/_matrix/client/v4/sync', body),
    /** A deployed sync that must succeed. */
    async sync(body: JsonObject, query: Record<string, string | number> = {}): Promise<SlidingAnswer> {
      const answer = await deployed(body, query)
      expect(answer.status, JSON.stringify(answer.body)).toBe(200)
      return answer.body
    },
    /** An accepted sync that must succeed. */
    async syncAccepted(body: JsonObject): Promise<SlidingAnswer> {
      const answer = await post('/_matrix/client/v4/sync', body)
      expect(answer.status, JSON.stringify(answer.body)).toBe(200)
      return answer.body
    },
  }
}

/** A list of all rooms in the deployed form. */
export function allRooms(options: Record<string, JsonValue> = {}): JsonObject {
  return { lists: { all: { ranges: [[0, 99]], timeline_limit: 10, required_state: [], ...options } } }
}

/** The texts of the messages in a timeline. */
export function texts(room: SlidingRoomResult | undefined): JsonValue[] {
  return (room?.timeline ?? [])
    .filter(({ type }) => type === 'm.room.message')
    .map(({ content }) => content['body'] ?? null)
}
