// Events asked of another server. Its answers are material: every event passes the checks of its room.
// Specification: server-server API, "Backfilling and retrieving missing events", "Retrieving events".

import type { Env } from '../../env.ts'
import type { EventId, RoomId, ServerName } from '../../matrix/event.ts'
import { isJsonObject, type JsonObject, type JsonValue, property } from '../../matrix/json.ts'
import { type FederationAnswer, federationRequest } from '../client/request.ts'

const timeoutMs = 20_000
// Workers have six connections.
const atOnce = 6

/** Events between what we have and what we were sent, at most `limit`, oldest first as far as depth tells. */
export async function missingEventsFrom(
  env: Env,
  destination: ServerName,
  roomId: RoomId,
  range: { earliest: readonly EventId[]; latest: readonly EventId[]; limit: number },
): Promise<JsonObject[]> {
  const path = `/_matrix/federation/v1/get_missing_events/${encodeURIComponent(roomId)}`
  const content = {
    earliest_events: [...range.earliest],
    latest_events: [...range.latest],
    limit: range.limit,
    min_depth: 0,
  }
  const answer = await federationRequest(env, { destination, method: 'POST', path, content, timeoutMs })
  return byDepth(objects(answer, 'events').slice(0, range.limit))
}

/** Older events, beginning with the given ones. */
export async function olderEventsFrom(
  env: Env,
  destination: ServerName,
  roomId: RoomId,
  from: readonly EventId[],
  limit: number,
): Promise<JsonObject[]> {
  const v = from.map((id) => `v=${encodeURIComponent(id)}`).join('&')
  const path = `/_matrix/federation/v1/backfill/${encodeURIComponent(roomId)}?${v}&limit=${limit}`
  const answer = await federationRequest(env, { destination, method: 'GET', path, timeoutMs })
  return objects(answer, 'pdus').slice(0, limit)
}

/** The ids of the state before an event and of its auth chain. Undefined where the server does not give them. */
export async function stateIdsFrom(
  env: Env,
  destination: ServerName,
  roomId: RoomId,
  eventId: EventId,
): Promise<{ state: EventId[]; authChain: EventId[] } | undefined> {
  const path = `/_matrix/federation/v1/state_ids/${encodeURIComponent(roomId)}?event_id=${encodeURIComponent(eventId)}`
  const answer = await federationRequest(env, { destination, method: 'GET', path, timeoutMs })
  if (answer.status !== 200) return undefined
  return { state: ids(answer, 'pdu_ids'), authChain: ids(answer, 'auth_chain_ids') }
}

/** The state before an event and its auth chain. */
export async function stateFrom(
  env: Env,
  destination: ServerName,
  roomId: RoomId,
  eventId: EventId,
): Promise<JsonObject[]> {
  const path = `/_matrix/federation/v1/state/${encodeURIComponent(roomId)}?event_id=${encodeURIComponent(eventId)}`
  const answer = await federationRequest(env, { destination, method: 'GET', path, timeoutMs })
  return [...objects(answer, 'pdus'), ...objects(answer, 'auth_chain')]
}

/** The auth chain of an event. */
export async function authChainFrom(
  env: Env,
  destination: ServerName,
  roomId: RoomId,
  eventId: EventId,
): Promise<JsonObject[]> {
  const path = `/_matrix/federation/v1/event_auth/${encodeURIComponent(roomId)}/${encodeURIComponent(eventId)}`
  return objects(await federationRequest(env, { destination, method: 'GET', path, timeoutMs }), 'auth_chain')
}

/** Single events; those that the server does not give are left out. */
export async function eventsFrom(
  env: Env,
  destination: ServerName,
  eventIds: readonly EventId[],
): Promise<JsonObject[]> {
  const waiting = [...eventIds]
  const events: JsonObject[] = []
  const work = async () => {
    for (let id = waiting.shift(); id !== undefined; id = waiting.shift()) {
      const path = `/_matrix/federation/v1/event/${encodeURIComponent(id)}`
      events.push(
        ...objects(await federationRequest(env, { destination, method: 'GET', path, timeoutMs }), 'pdus'),
      )
    }
  }
  await Promise.all(Array.from({ length: Math.min(atOnce, eventIds.length) }, work))
  return events
}

function byDepth(pdus: readonly JsonObject[]): JsonObject[] {
  return [...pdus].sort((a, b) => depthOf(a) - depthOf(b))
}

function depthOf(pdu: JsonObject): number {
  const depth = property(pdu, 'depth')
  return typeof depth === 'number' ? depth : 0
}

// Events with numbers that their room version may have to refuse are left out, whatever the version: such events are
// not made by servers in use, and the text that tells is gone after this.
function objects({ status, body, faults }: FederationAnswer, key: string): JsonObject[] {
  const list = property(body, key)
  if (status !== 200 || !Array.isArray(list)) return []
  const faulty = new Set(faults.filter(({ path }) => path[0] === key).map(({ path }) => path[1]))
  return list.filter((item: JsonValue, i): item is JsonObject => isJsonObject(item) && !faulty.has(i))
}

function ids({ body }: FederationAnswer, key: string): EventId[] {
  const list = property(body, key)
  // The room looks each of them up; what is no event id is the id of no event.
  return Array.isArray(list) ? list.filter((id): id is EventId => typeof id === 'string') : []
}
