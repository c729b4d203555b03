// Rooms of other servers, as they describe them: one level of a space a request, kept for a short while. What comes is
// material: only fields that the specification knows and that are of its types are taken over.
// Server-server API, "Spaces".

import type { Env } from '../../env.ts'
import { errorMessage, log } from '../../log.ts'
import type { RoomId, ServerName } from '../../matrix/event.ts'
import { parseRoomAlias, parseRoomId, parseUserId } from '../../matrix/identifiers.ts'
import {
  isJsonObject,
  type JsonObject,
  type JsonValue,
  objectProperty,
  property,
  stringProperty,
} from '../../matrix/json.ts'
import { compareChildren, parseSpaceChild, spaceType } from '../../matrix/space-child.ts'
import { mostChildren } from '../../room/space-children.ts'
import { backOff } from './back-off.ts'
import { federationRequest } from './request.ts'

export interface RemoteHierarchy {
  /** A RoomSummary with `children_state`. */
  readonly room: JsonObject
  /** The summaries of children, without theirs. */
  readonly children: ReadonlyMap<RoomId, JsonObject>
  /** Children that nobody of this server could see, whoever is asked. */
  readonly inaccessible: ReadonlySet<RoomId>
}

export interface HierarchyQuery {
  readonly roomId: RoomId
  readonly suggestedOnly: boolean
  /** The servers to ask, in this order. */
  readonly servers: readonly ServerName[]
}

/** How many servers are asked about one room. */
export const mostServersAsked = 3
const timeoutMs = 10_000
const maxBytes = 1024 * 1024
const freshMs = 60_000
// In characters of JSON, for all rooms together.
const keptLength = 4 * 1024 * 1024

interface Kept {
  readonly hierarchy: RemoteHierarchy
  readonly until: number
  readonly length: number
}

const kept = new Map<string, Kept>()
let length = 0

// A server that does not answer would hold up each page of a space again.
const silent = backOff({ afterSuccess: 0, afterFailure: 30_000, longest: 300_000 })

/**
 * A room and its children as the first server tells that knows it, a minute old at most; undefined where none does. `asking`
 * is called before each request.
 */
export async function remoteHierarchy(
  env: Env,
  { roomId, suggestedOnly, servers }: HierarchyQuery,
  asking: () => void = () => undefined,
): Promise<RemoteHierarchy | undefined> {
  const key = `${roomId} ${suggestedOnly}`
  const known = kept.get(key)
  if (known && known.until > Date.now()) return known.hierarchy
  for (const server of servers.filter(silent.allows).slice(0, mostServersAsked)) {
    asking()
    const body = await askServer(env, server, roomId, suggestedOnly)
    const hierarchy = body && checkedHierarchy(body, roomId, suggestedOnly)
    if (!hierarchy) continue
    keep(key, { hierarchy, until: Date.now() + freshMs, length: JSON.stringify(body).length })
    return hierarchy
  }
  return undefined
}

async function askServer(
  env: Env,
  destination: ServerName,
  roomId: RoomId,
  suggestedOnly: boolean,
): Promise<JsonObject | undefined> {
  const path = `/_matrix/federation/v1/hierarchy/${encodeURIComponent(roomId)}?suggested_only=${suggestedOnly}`
  try {
    const answer = await federationRequest(env, { destination, method: 'GET', path, timeoutMs, maxBytes })
    silent.succeeded(destination)
    return answer.status === 200 ? answer.body : undefined
  } catch (error) {
    silent.failed(destination)
    log({ event: 'hierarchy_failed', room_id: roomId, server: destination, error: errorMessage(error) })
    return undefined
  }
}

function keep(key: string, entry: Kept): void {
  forget(key)
  kept.set(key, entry)
  length += entry.length
  for (const oldest of kept.keys()) {
    if (length <= keptLength) return
    forget(oldest)
  }
}

function forget(key: string): void {
  length -= kept.get(key)?.length ?? 0
  kept.delete(key)
}

/** What an answer says about a room, undefined if it is about another one. */
export function checkedHierarchy(
  body: JsonObject,
  roomId: RoomId,
  suggestedOnly: boolean,
): RemoteHierarchy | undefined {
  const asked = objectProperty(body, 'room')
  const room = asked && checkedSummary(asked)
  if (!asked || room?.['room_id'] !== roomId) return undefined
  const events = room['room_type'] === spaceType ? childEvents(asked, suggestedOnly) : []
  const children = list(body, 'children').flatMap((value) => {
    const summary = isJsonObject(value) ? checkedSummary(value) : undefined
    const childId = parseRoomId(stringProperty(summary, 'room_id') ?? '')
    return summary && childId !== undefined ? [[childId, summary] as const] : []
  })
  return {
    room: { ...room, children_state: events },
    children: new Map(children),
    inaccessible: new Set(roomIds(body, 'inaccessible_children')),
  }
}

function checkedSummary(summary: JsonObject): JsonObject | undefined {
  const roomId = parseRoomId(stringProperty(summary, 'room_id') ?? '')
  if (roomId === undefined) return undefined
  const members = property(summary, 'num_joined_members')
  const allowed = roomIds(summary, 'allowed_room_ids')
  const result: JsonObject = {
    room_id: roomId,
    num_joined_members: Number.isSafeInteger(members) ? Math.max(0, Number(members)) : 0,
    world_readable: property(summary, 'world_readable') === true,
    guest_can_join: property(summary, 'guest_can_join') === true,
    ...(allowed.length > 0 ? { allowed_room_ids: allowed } : {}),
  }
  for (const key of ['join_rule', 'name', 'topic', 'avatar_url', 'room_type', 'encryption', 'room_version']) {
    const text = stringProperty(summary, key)
    if (text !== undefined) result[key] = text
  }
  const alias = parseRoomAlias(stringProperty(summary, 'canonical_alias') ?? '')
  return alias === undefined ? result : { ...result, canonical_alias: alias }
}

function childEvents(summary: JsonObject, suggestedOnly: boolean): JsonObject[] {
  return list(summary, 'children_state')
    .flatMap((value) => {
      const event = isJsonObject(value) ? strippedChild(value) : undefined
      const child = event && parseSpaceChild(event)
      return event && child && (child.suggested || !suggestedOnly) ? [{ event, child }] : []
    })
    .toSorted((a, b) => compareChildren(a.child, b.child))
    .slice(0, mostChildren)
    .map(({ event }) => event)
}

function strippedChild(event: JsonObject): JsonObject | undefined {
  const type = stringProperty(event, 'type')
  const stateKey = stringProperty(event, 'state_key')
  const sender = parseUserId(stringProperty(event, 'sender') ?? '')
  const content = objectProperty(event, 'content')
  const timestamp = property(event, 'origin_server_ts')
  if (type === undefined || stateKey === undefined || sender === undefined || !content) return undefined
  if (!Number.isSafeInteger(timestamp)) return undefined
  return { type, state_key: stateKey, sender, content, origin_server_ts: Number(timestamp) }
}

function list(object: JsonObject, key: string): readonly JsonValue[] {
  const value = property(object, key)
  return Array.isArray(value) ? value : []
}

function roomIds(object: JsonObject, key: string): RoomId[] {
  return list(object, key)
    .map((value) => (typeof value === 'string' ? parseRoomId(value) : undefined))
    .filter((roomId) => roomId !== undefined)
}
