// Everything at once, as it was before /sync: deprecated for all rooms of a user, and the way to look into a room that one is
// not in. Specification: client-server API, "Syncing" (deprecated GET /initialSync), "Room Previews".

import * as v from 'valibot'
import { hubStub, roomStub } from '../env.ts'
import type { App, AppContext } from '../http/app-type.ts'
import { queryParams } from '../http/json-body.ts'
import { requireSession } from '../http/session.ts'
import type { SyncPosition } from '../hub/sync-request.ts'
import { formatSyncToken } from '../hub/sync-token.ts'
import type { RoomId } from '../matrix/event.ts'
import type { JsonObject } from '../matrix/json.ts'
import { publishedAmong } from '../storage/room-index.ts'
import { roomParam } from './own-user.ts'
import { pollHub } from './poll-hub.ts'
import { countParam, readerOf, refuseForgotten } from './room-read.ts'
import { inRoom, parseSync, type SyncBody } from './sync-body.ts'
import { renderSync, type SyncView } from './sync-render.ts'

const defaultLimit = 10
const mostMessages = 100
// The memberships that the answers have a name for.
const named = ['invite', 'join', 'leave', 'ban']

const querySchema = v.object({ limit: countParam, archived: v.optional(v.picklist(['true', 'false'])) })

/** GET /initialSync and GET …/initialSync of a room. */
export function initialSyncRoutes(app: App): void {
  // https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3initialsync
  app.get('/_matrix/client/v3/initialSync', requireSession(), async (c) => {
    const { limit = defaultLimit, archived } = queryParams(c, querySchema)
    return c.json(await initialSync(c, Math.min(limit, mostMessages), archived === 'true'))
  })

  // https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3roomsroomidinitialsync
  app.get('/_matrix/client/v3/rooms/:roomId/initialSync', requireSession({ guests: true }), async (c) => {
    const { limit = defaultLimit } = queryParams(c, v.object({ limit: countParam }))
    const body = await roomInitialSync(c, roomParam(c), Math.min(limit, mostMessages))
    return c.body(body, 200, { 'Content-Type': 'application/json' })
  })
}

async function initialSync(c: AppContext, limit: number, archived: boolean): Promise<JsonObject> {
  const { userId, device, shard } = c.var.session
  const timeline = { timeline: { limit }, include_leave: archived }
  const view: SyncView = {
    userId,
    deviceId: device?.deviceId,
    filter: { room: timeline },
    incremental: false,
    fullState: false,
    stateSection: 'state_after',
  }
  const parts: SyncBody[] = []
  let since: SyncPosition | undefined
  do {
    const request = {
      userId,
      ...device,
      fullState: false,
      includeLeave: archived,
      eventsOnly: true,
    }
    const plan = await pollHub<'v3'>(c.env, shard, since ? { ...request, since } : request, 0, {})
    if (!plan) break
    parts.push(parseSync((await renderSync(c.env, view, plan)).text))
    since = plan.next
    // Not all rooms fit into one plan.
  } while (since.given !== undefined)
  const end = formatSyncToken(since ?? { log: 0, ephemeral: 0 })
  const rooms = parts.flatMap((part) => roomInfos(part, userId, end, archived))
  const published = await publishedAmong(
    c.env,
    rooms.map(({ room_id: roomId }) => roomId),
  )
  return {
    end,
    presence: parts.flatMap(({ presence }) => [...presence.events]),
    account_data: [...(parts[0]?.accountData.events ?? [])],
    rooms: rooms.map((room) => ({ ...room, visibility: published.has(room.room_id) ? 'public' : 'private' })),
  }
}

interface RoomInfo extends JsonObject {
  readonly room_id: string
}

function roomInfos({ rooms }: SyncBody, userId: string, end: string, archived: boolean): RoomInfo[] {
  const known =
    (membership: string) =>
    ([roomId, room]: [string, SyncBody['rooms']['join'][string]]) => ({
      room_id: roomId,
      membership,
      messages: { start: room.timeline.prev_batch, end, chunk: inRoom(roomId, room.timeline.events) },
      state: inRoom(roomId, room.state_after?.events ?? []),
      account_data: [...(room.account_data?.events ?? [])],
    })
  const invited = Object.entries(rooms.invite).map(
    ([
      roomId,
      {
        invite_state: { events },
      },
    ]) => {
      const own = events.find((event) => event['type'] === 'm.room.member' && event['state_key'] === userId)
      return {
        room_id: roomId,
        membership: 'invite',
        ...(own ? { invite: { ...own, room_id: roomId } } : {}),
      }
    },
  )
  // Only those who ask for them get the rooms that they have left.
  const left = archived ? Object.entries(rooms.leave) : []
  return [
    ...Object.entries(rooms.join).map(known('join')),
    ...invited,
    ...left.map((entry) => known(endOf(entry, userId))(entry)),
  ]
}

// Who was banned has left too.
function endOf([, { timeline }]: [string, SyncBody['rooms']['leave'][string]], userId: string): string {
  const own = timeline.events.findLast(
    (event) => event['type'] === 'm.room.member' && event['state_key'] === userId,
  )
  const content = own?.['content']
  const isBan =
    typeof content === 'object' &&
    content !== null &&
    'membership' in content &&
    content['membership'] === 'ban'
  return isBan ? 'ban' : 'leave'
}

async function roomInitialSync(
  c: AppContext,
  roomId: RoomId,
  limit: number,
): Promise<ReadableStream<Uint8Array>> {
  const { userId, shard } = c.var.session
  const viewer = await readerOf(c)
  const room = roomStub(c.env, roomId)
  // Events that come in between are in the state already, and come again from `end` on.
  const page = await room.messages(viewer, { direction: 'b', limit })
  if (page.left) await refuseForgotten(c, roomId)
  const { start, end, chunk } = JSON.parse(await new Response(page.body).text()) as {
    start: string
    end?: string
    chunk: JsonObject[]
  }
  const [{ membership, accountData }, published] = await Promise.all([
    hubStub(c.env, shard).roomAccountData(userId, roomId),
    publishedAmong(c.env, [roomId]),
  ])
  const info = {
    room_id: roomId,
    ...(membership !== undefined && named.includes(membership) ? { membership } : {}),
    // A page backwards begins where the next one forwards does.
    messages: { ...(end === undefined ? {} : { start: end }), end: start, chunk: chunk.toReversed() },
    visibility: published.has(roomId) ? 'public' : 'private',
    account_data: accountData.map(({ type, content }) => ({
      type,
      content: JSON.parse(content) as JsonObject,
    })),
  }
  const { body } = await room.readState(viewer)
  return framed(`${JSON.stringify(info).slice(0, -1)},"state":`, body, '}')
}

/** Text around a body, which is not held in memory as a whole. */
function framed(
  before: string,
  body: string | ReadableStream<Uint8Array>,
  after: string,
): ReadableStream<Uint8Array> {
  const encoder = new TextEncoder()
  const frame = new TransformStream<Uint8Array, Uint8Array>({
    start: (controller) => controller.enqueue(encoder.encode(before)),
    flush: (controller) => controller.enqueue(encoder.encode(after)),
  })
  const stream = typeof body === 'string' ? new Response(body).body : body
  return (stream ?? new ReadableStream<Uint8Array>()).pipeThrough(frame)
}
