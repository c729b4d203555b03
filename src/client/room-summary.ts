// Specification: client-server API, "Room Summaries"; under its former names, MSC3266.

import { config } from '../config.ts'
import { hubStub, roomStub } from '../env.ts'
import { isMatrixError, MatrixError } from '../errors.ts'
import { remoteHierarchy } from '../federation/client/hierarchy.ts'
import { candidates } from '../federation/remote-join/servers.ts'
import type { App, AppContext } from '../http/app-type.ts'
import { clientAddress, rateLimit, rateLimitUser } from '../http/rate-limit.ts'
import { optionalSession, type Session } from '../http/session.ts'
import type { RoomAlias, RoomId } from '../matrix/event.ts'
import { parseRoomAlias, parseRoomId } from '../matrix/identifiers.ts'
import { isJsonObject, type JsonObject, property } from '../matrix/json.ts'
import { isLocal, textParam } from './path-params.ts'
import { mayPreview, noRooms, userRooms } from './preview-access.ts'
import { serversBehind } from './remote-standing.ts'
import { resolveAlias } from './resolve-alias.ts'

/** GET /room_summary/{roomIdOrAlias}. */
export function roomSummaryRoutes(app: App): void {
  // https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv1room_summaryroomidoralias
  app.get('/_matrix/client/v1/room_summary/:roomIdOrAlias', async (c) => c.json(await summaryOf(c)))

  // Clients that look for the unstable endpoint know the room version and the encryption by other names.
  app.get('/_matrix/client/unstable/im.nheko.summary/summary/:roomIdOrAlias', async (c) =>
    c.json(withUnstableNames(await summaryOf(c))),
  )
  app.get('/_matrix/client/unstable/im.nheko.summary/rooms/:roomIdOrAlias/summary', async (c) =>
    c.json(withUnstableNames(await summaryOf(c))),
  )
}

function withUnstableNames(summary: JsonObject): JsonObject {
  const version = property(summary, 'room_version')
  const encryption = property(summary, 'encryption')
  return {
    ...summary,
    ...(version === undefined
      ? {}
      : { 'im.nheko.summary.room_version': version, 'im.nheko.summary.version': version }),
    ...(encryption === undefined ? {} : { 'im.nheko.summary.encryption': encryption }),
  }
}

interface Target {
  readonly roomId: RoomId
  /** Servers that may know the room. */
  readonly via: readonly string[]
}

// Whoever may not see a room does not learn that it exists: all failures are the same.
async function summaryOf(c: AppContext): Promise<JsonObject> {
  const session = await optionalSession(c)
  if (session) await rateLimitUser(c.env, c.env.SEND_LIMIT, session)
  const target = await targetOf(c, session)
  const summary =
    target && ((await summaryHere(c, target, session)) ?? (await summaryElsewhere(c, target, session)))
  if (!summary) throw new MatrixError('M_NOT_FOUND', 404, 'Room not found')
  return summary
}

async function targetOf(c: AppContext, session: Session | undefined): Promise<Target | undefined> {
  const text = textParam(c, 'roomIdOrAlias')
  const via = c.req.queries('via') ?? []
  const roomId = parseRoomId(text)
  if (roomId !== undefined) return { roomId, via }
  const alias = parseRoomAlias(text)
  if (alias === undefined) {
    throw new MatrixError(
      'M_INVALID_PARAM',
      400,
      'Invalid parameter roomIdOrAlias: neither room id nor alias',
    )
  }
  if (!isLocal(c.env, alias)) await limitAsking(c, session)
  const found = await resolved(c, alias, session)
  return found && { roomId: found.roomId, via: [...via, ...found.servers] }
}

async function resolved(c: AppContext, alias: RoomAlias, session: Session | undefined) {
  try {
    return await resolveAlias(c.env, alias, async () => (session?.guest ? undefined : session?.userId))
  } catch (error) {
    if (isMatrixError(error)) return undefined
    throw error
  }
}

/** The room as this server knows it; undefined where it is not in it. M_NOT_FOUND where the user may not see it. */
async function summaryHere(
  c: AppContext,
  { roomId }: Target,
  session: Session | undefined,
): Promise<JsonObject | undefined> {
  const requester = session ? { userId: session.userId } : ({ anyone: true } as const)
  const answer = await roomStub(c.env, roomId).summaryFor({ requester })
  if (answer.standing === 'elsewhere') return undefined
  const user = session ? userRooms(c.env, session) : noRooms
  if (answer.standing === 'closed' || (answer.membersOf && !(await user.joinedToAny(answer.membersOf)))) {
    throw new MatrixError('M_NOT_FOUND', 404, 'Room not found')
  }
  const summary: unknown = JSON.parse(answer.summary)
  if (!isJsonObject(summary)) throw new Error('the summary of a room is an object')
  return session ? { ...summary, membership: answer.membership ?? 'leave' } : summary
}

/** The room as other servers describe it. */
async function summaryElsewhere(
  c: AppContext,
  { roomId, via }: Target,
  session: Session | undefined,
): Promise<JsonObject | undefined> {
  await limitAsking(c, session)
  const standing = session && (await hubStub(c.env, session.shard).standingIn(session.userId, roomId))
  const given = [...via, ...(session ? serversBehind(standing, session.userId) : [])]
  const servers = candidates(config(c.env).serverName, roomId, given)
  const found = await remoteHierarchy(c.env, { roomId, suggestedOnly: false, servers })
  const user = session ? userRooms(c.env, session) : noRooms
  if (!found || !(await mayPreview(user, roomId, found.room))) return undefined
  const { children_state: _, ...summary } = found.room
  return session ? { ...summary, membership: standing?.membership ?? 'leave' } : summary
}

// Anybody can make this server ask others: less often where nobody answers for it.
async function limitAsking(c: AppContext, session: Session | undefined): Promise<void> {
  if (!session) await rateLimit(c.env, c.env.LOGIN_LIMIT, `summary ${clientAddress(c) ?? 'local'}`)
}
