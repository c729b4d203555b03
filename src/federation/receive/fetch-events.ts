// Events asked of another server. Its answers are material: every event passes the checks of its room.
// Specification: server-server API, "Backfilling and retrieving missing events", "Retrieving events".

import { MatrixError } from '../../errors.ts'
import type { EventId } from '../../matrix/event.ts'
import { isJsonObject, type JsonObject, type JsonValue, property } from '../../matrix/json.ts'
import { type FederationAnswer, federationRequest, type JsonCall } from '../client/request.ts'
import { type Asking, spend } from './asking.ts'

const timeoutMs = 20_000
// Workers have six connections.
const atOnce = 6

/** Events between what we have and what we were sent, at most `limit`, oldest first as far as depth tells. */
export async function missingEventsFrom(
  asking: Asking,
  range: { earliest: readonly EventId[]; latest: readonly EventId[]; limit: number },
): Promise<JsonObject[]> {
  const content = {
    earliest_events: [...range.earliest],
    latest_events: [...range.latest],
    limit: range.limit,
    min_depth: 0,
  }
  const path = `get_missing_events/${encodeURIComponent(asking.roomId)}`
  const answer = await ask(asking, { method: 'POST', path, content })
  return byDepth(objects(answer, 'events').slice(0, range.limit))
}

/** Older events, beginning with the given ones. */
export async function olderEventsFrom(
  asking: Asking,
  from: readonly EventId[],
  limit: number,
): Promise<JsonObject[]> {
  const v = from.map((id) => `v=${encodeURIComponent(id)}`).join('&')
  const path = `backfill/${encodeURIComponent(asking.roomId)}?${v}&limit=${limit}`
  return objects(await ask(asking, { method: 'GET', path }), 'pdus').slice(0, limit)
}

/** The ids of the state before an event and of its auth chain. Undefined where the server does not give them. */
export async function stateIdsFrom(
  asking: Asking,
  eventId: EventId,
): Promise<{ state: EventId[]; authChain: EventId[] } | undefined> {
  const path = `state_ids/${encodeURIComponent(asking.roomId)}?event_id=${encodeURIComponent(eventId)}`
  const answer = await ask(asking, { method: 'GET', path })
  if (answer.status !== 200) return undefined
  return { state: ids(answer, 'pdu_ids'), authChain: ids(answer, 'auth_chain_ids') }
}

/** The state before an event and its auth chain. */
export async function stateFrom(asking: Asking, eventId: EventId): Promise<JsonObject[]> {
  const path = `state/${encodeURIComponent(asking.roomId)}?event_id=${encodeURIComponent(eventId)}`
  const answer = await ask(asking, { method: 'GET', path })
  return [...objects(answer, 'pdus'), ...objects(answer, 'auth_chain')]
}

/** The auth chain of an event. */
export async function authChainFrom(asking: Asking, eventId: EventId): Promise<JsonObject[]> {
  const path = `event_auth/${encodeURIComponent(asking.roomId)}/${encodeURIComponent(eventId)}`
  return objects(await ask(asking, { method: 'GET', path }), 'auth_chain')
}

/** Single events; those that the server does not give are left out. */
export async function eventsFrom(asking: Asking, eventIds: readonly EventId[]): Promise<JsonObject[]> {
  const waiting = [...eventIds]
  const events: JsonObject[] = []
  const work = async () => {
    for (let id = waiting.shift(); id !== undefined; id = waiting.shift()) {
      const path = `event/${encodeURIComponent(id)}`
      events.push(...objects(await ask(asking, { method: 'GET', path }), 'pdus'))
    }
  }
  await Promise.all(Array.from({ length: Math.min(atOnce, eventIds.length) }, work))
  return events
}

async function ask(
  asking: Asking,
  { path, ...call }: Pick<JsonCall, 'method' | 'path' | 'content'>,
): Promise<FederationAnswer> {
  spend(asking)
  const { env, server: destination } = asking
  const answer = await federationRequest(env, {
    ...call,
    destination,
    path: `/_matrix/federation/v1/${path}`,
    timeoutMs,
  })
  // Whatever is wrong there may pass.
  if (answer.status < 500 && answer.status !== 429) return answer
  throw new MatrixError('M_CONNECTION_FAILED', 502, `${destination} answered ${answer.status}`)
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
