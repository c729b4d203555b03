// Looking for the event closest to a time where our history has gaps: other servers say which it is, and the history down to
// it is filled in, so that clients can go on from there.
// Server-server API, GET /timestamp_to_event/{roomId}; client-server API, GET /rooms/{roomId}/timestamp_to_event.

import { config } from '../../config.ts'
import { type Env, roomStub } from '../../env.ts'
import { errorMessage, log } from '../../log.ts'
import type { RoomId, ServerName, UserId } from '../../matrix/event.ts'
import { parseEventId } from '../../matrix/identifiers.ts'
import { type JsonObject, property, stringProperty } from '../../matrix/json.ts'
import type { EventAtTime, TimestampAnswer, TimestampRequest } from '../../room/event-by-timestamp.ts'
import type { Gap } from '../../room/gaps.ts'
import { federationRequest } from '../client/request.ts'
import { eventsFrom } from './fetch-events.ts'
import { fillGap, receiveHistory } from './fill-gap.ts'

const mostServers = 3
// Each fetches a hundred events. What lies deeper is fetched alone.
const mostFills = 2
const requestsForOne = 12
const timeoutMs = 10_000

/** The room's answer after what is missing beside it was filled in, as far as others know of a closer event. */
export async function withCloserEvent(
  env: Env,
  roomId: RoomId,
  { userId, ...request }: TimestampRequest & { readonly userId: UserId },
  answer: TimestampAnswer,
): Promise<TimestampAnswer> {
  if (!answer.gap) return answer
  const near = await eventNear(env, roomId, request, answer.gap)
  if (!near) return answer
  const room = roomStub(env, roomId)
  let best = answer
  for (let fills = 0; fills < mostFills; fills++) {
    if (!best.gap || !isCloser(near, best.found, request)) return best
    if (!(await fillGap(env, roomId, best.gap))) break
    best = await room.eventByTimestamp(userId, request)
  }
  if (!best.gap || !isCloser(near, best.found, request)) return best
  return (await fetchAlone(env, roomId, near, best.gap)) ? await room.eventByTimestamp(userId, request) : best
}

/** Fetches an event without what lies between it and what is here. Whether it has its place. */
async function fetchAlone(
  env: Env,
  roomId: RoomId,
  { eventId, server }: RemoteEvent,
  gap: Gap,
): Promise<boolean> {
  const asking = { env, roomId, server, budget: { left: requestsForOne } }
  try {
    await receiveHistory(asking, eventId, await eventsFrom(asking, [eventId]))
    return await roomStub(env, roomId).placeApart(gap.pos, eventId)
  } catch (error) {
    log({ event: 'missing_events_failed', room_id: roomId, server, error: errorMessage(error) })
    return false
  }
}

interface RemoteEvent extends EventAtTime {
  /** Who told of it. */
  readonly server: ServerName
}

/** Whether an event is closer to the time than another one. */
function isCloser(
  event: EventAtTime,
  other: EventAtTime | undefined,
  { timestamp }: TimestampRequest,
): boolean {
  return !other || Math.abs(event.timestamp - timestamp) < Math.abs(other.timestamp - timestamp)
}

/** The closest event as the first server tells that knows one. */
async function eventNear(
  env: Env,
  roomId: RoomId,
  request: TimestampRequest,
  gap: Gap,
): Promise<RemoteEvent | undefined> {
  // Those that we had the event above the gap from are likely to know what is below.
  const servers = new Set([...gap.servers, ...(await roomStub(env, roomId).joinedServerNames())])
  servers.delete(config(env).serverName)
  for (const server of [...servers].slice(0, mostServers)) {
    const near = await askServer(env, server, roomId, request)
    if (near) return { ...near, server }
  }
  return undefined
}

async function askServer(
  env: Env,
  destination: ServerName,
  roomId: RoomId,
  { timestamp, direction }: TimestampRequest,
): Promise<EventAtTime | undefined> {
  const query = new URLSearchParams({ ts: String(Math.max(0, timestamp)), dir: direction }).toString()
  const path = `/_matrix/federation/v1/timestamp_to_event/${encodeURIComponent(roomId)}?${query}`
  try {
    const { status, body } = await federationRequest(env, { destination, method: 'GET', path, timeoutMs })
    const near = status === 200 ? eventIn(body) : undefined
    // An event on the other side of the time is no answer.
    return near && (direction === 'f' ? near.timestamp >= timestamp : near.timestamp <= timestamp)
      ? near
      : undefined
  } catch (error) {
    log({
      event: 'missing_events_failed',
      room_id: roomId,
      server: destination,
      error: errorMessage(error),
    })
    return undefined
  }
}

function eventIn(body: JsonObject): EventAtTime | undefined {
  const eventId = parseEventId(stringProperty(body, 'event_id') ?? '')
  const timestamp = property(body, 'origin_server_ts')
  if (eventId === undefined || !Number.isSafeInteger(timestamp)) return undefined
  return { eventId, timestamp: Number(timestamp) }
}
