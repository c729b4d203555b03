// What other servers are asked about their aliases, users and published rooms.
// Server-server API, "Querying for information", "Published Room Directory".

import type { Env } from '../../env.ts'
import { MatrixError } from '../../errors.ts'
import type { RoomAlias, RoomId, ServerName, UserId } from '../../matrix/event.ts'
import { parseRoomId, parseServerName, serverNameOf } from '../../matrix/identifiers.ts'
import { type JsonObject, property, stringProperty } from '../../matrix/json.ts'
import { malformed } from '../remote-join/own-member.ts'
import { refusal } from '../remote-join/servers.ts'
import { federationRequest, type JsonCall } from './request.ts'

const timeoutMs = 20_000
const mostServers = 50

/** Where an alias of another server leads to. */
export interface AliasTarget {
  readonly roomId: RoomId
  /** Servers that are likely in the room. */
  readonly servers: readonly ServerName[]
}

/** The room of another server's alias. M_NOT_FOUND, 502 and 504 where the server cannot be asked. */
export async function queryDirectory(env: Env, alias: RoomAlias): Promise<AliasTarget> {
  const server = serverNameOf(alias)
  const body = await answer(env, get(server, `query/directory?room_alias=${encodeURIComponent(alias)}`))
  const roomId = parseRoomId(stringProperty(body, 'room_id') ?? '')
  if (roomId === undefined) throw malformed(server, 'room_id is not a room id')
  const listed = property(body, 'servers')
  const servers = (Array.isArray(listed) ? listed.slice(0, mostServers) : [])
    .map((name) => (typeof name === 'string' ? parseServerName(name) : undefined))
    .filter((name) => name !== undefined)
  // Whoever knows the alias is likely to be in the room.
  return { roomId, servers: [...new Set([...servers, server])] }
}

// Profiles are looked at many times while a room is on the screen.
const profileFreshMs = 60_000
const profilesKept = 1000
const profiles = new Map<UserId, { readonly profile: JsonObject; readonly until: number }>()

/** The profile of another server's user, a minute old at most. M_NOT_FOUND, M_FORBIDDEN, 502 and 504. */
export async function queryProfile(env: Env, userId: UserId): Promise<JsonObject> {
  const known = profiles.get(userId)
  if (known && known.until > Date.now()) return known.profile
  const profile = await askForProfile(env, userId)
  profiles.delete(userId)
  profiles.set(userId, { profile, until: Date.now() + profileFreshMs })
  const oldest = profiles.size > profilesKept ? profiles.keys().next().value : undefined
  if (oldest !== undefined) profiles.delete(oldest)
  return profile
}

async function askForProfile(env: Env, userId: UserId): Promise<JsonObject> {
  const server = serverNameOf(userId)
  const body = await answer(env, get(server, `query/profile?user_id=${encodeURIComponent(userId)}`))
  // A name or avatar that is not set may be there as null, which clients do not expect; in other fields it is a value.
  const unset = (key: string) => key === 'displayname' || key === 'avatar_url'
  return Object.fromEntries(Object.entries(body).filter(([key, value]) => value !== null || !unset(key)))
}

/** A page of another server's directory, with the query of a GET or the body of a POST. 502 and 504. */
export async function queryPublicRooms(
  env: Env,
  server: ServerName,
  ask: { readonly query: URLSearchParams } | { readonly body: JsonObject },
): Promise<JsonObject> {
  const call: JsonCall =
    'query' in ask
      ? get(server, `publicRooms?${ask.query.toString()}`)
      : { ...get(server, 'publicRooms'), method: 'POST', content: ask.body }
  const body = await answer(env, call)
  if (!Array.isArray(property(body, 'chunk'))) throw malformed(server, 'chunk is not a list')
  return body
}

function get(destination: ServerName, rest: string): JsonCall {
  return { destination, method: 'GET', path: `/_matrix/federation/v1/${rest}`, timeoutMs }
}

async function answer(env: Env, call: JsonCall): Promise<JsonObject> {
  const { status, body } = await federationRequest(env, call)
  if (status === 200) return body
  throw refusal(call.destination, { status, body })
}

/** A server that a client names. M_INVALID_PARAM. */
export function checkedServerName(name: string, text: string): ServerName {
  const serverName = parseServerName(text)
  if (serverName !== undefined) return serverName
  throw new MatrixError('M_INVALID_PARAM', 400, `Invalid parameter ${name}: not a server name`)
}
