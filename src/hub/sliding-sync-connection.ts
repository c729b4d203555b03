// What was sent to a connection of sliding sync. One row a connection holds it twice: as the client is known to have it,
// and with the answer that is on its way, which may get lost. Rooms that are up to date with the position of the
// connection need no write when it moves on. Specification: MSC4186 (simplified sliding sync), "Connections".

import { MatrixError } from '../errors.ts'
import type { RequiredState } from '../matrix/required-state.ts'
import type { HubContext } from './context.ts'
import { forgetLooks } from './sliding-sync-look.ts'
import type { SlidingSyncRequest } from './sliding-sync-request.ts'

/** What the client has of a room. */
export interface SentRoom {
  /** How many of the newest events it has at least. */
  readonly timelineLimit: number
  /** The state it was given. */
  readonly required: readonly RequiredState[]
  readonly isDm: boolean
  /** Whether it has the receipts, or the account data, up to the position of the connection. */
  readonly receipts: boolean
  readonly accountData: boolean
  /** The position in the log that the client has the room up to, where that is not the position of the connection. */
  readonly behind?: number
}

export interface SentState {
  /** By room number. */
  readonly rooms: ReadonlyMap<number, SentRoom>
  /** Whether the client has the global account data, or the threads its user is subscribed to. */
  readonly accountData: boolean
  readonly threads: boolean
}

/** A room as it is stored: the place of its config, flags, and the position where it is behind. */
type StoredRoom = [config: number, flags: number, behind?: number]

interface StoredState {
  readonly configs: { readonly t: number; readonly s: readonly RequiredState[] }[]
  readonly rooms: Record<string, StoredRoom>
  readonly a: boolean
  readonly th?: boolean
}

type ConnectionRow = { generation: number; used: number; acked: number; sent: number | null }

const flag = { isDm: 1, receipts: 2, accountData: 4 }

const dayMs = 86_400_000
const longestUnusedMs = 30 * dayMs
const mostConnections = 16
// Two of them are in a row, which takes 2 MB.
const longestState = 900_000

export const nothingSent: SentState = { rooms: new Map(), accountData: false, threads: false }

/**
 * What the client has at the position of a request. M_UNKNOWN_POS where it is not one of its last two, or of another user,
 * device or connection.
 */
export function sentAt(hub: HubContext, uid: number, request: SlidingSyncRequest): SentState {
  const { pos } = request
  if (!pos) return nothingSent
  const row = readRow(hub, uid, request)
  const known = row && row.generation === request.generation && pos.log <= hub.position
  if (!known || (pos.state !== row.acked && pos.state !== row.sent)) throw unknownPosition()
  // So that a connection in use outlives others; not with every request, for rows cost.
  if (hub.now() - row.used > dayMs) touch(hub, uid, request)
  const remembered = states(hub).get(pos.state)
  if (remembered) return remembered
  const text = readState(hub, uid, request, pos.state)
  if (text === undefined) throw unknownPosition()
  return remember(hub, pos.state, decode(text))
}

const caches = new WeakMap<HubContext, Map<number, SentState>>()
const rememberedStates = 100

/** The states last used, by their names. */
function states(hub: HubContext): Map<number, SentState> {
  const known = caches.get(hub) ?? new Map<number, SentState>()
  caches.set(hub, known)
  return known
}

function remember(hub: HubContext, name: number, state: SentState): SentState {
  const known = states(hub)
  known.set(name, state)
  const [oldest] = known.keys()
  if (known.size > rememberedStates && oldest !== undefined) known.delete(oldest)
  return state
}

function unknownPosition(): MatrixError {
  return new MatrixError('M_UNKNOWN_POS', 400, 'pos is not a current position of this connection')
}

function readRow(hub: HubContext, uid: number, request: SlidingSyncRequest): ConnectionRow | undefined {
  return hub.sql
    .exec<ConnectionRow>(
      `SELECT generation, used, acked, sent FROM sliding_connections
       WHERE uid = ? AND device_id = ? AND conn_id = ?`,
      uid,
      request.deviceId,
      request.connId,
    )
    .toArray()[0]
}

function readState(
  hub: HubContext,
  uid: number,
  { deviceId, connId }: SlidingSyncRequest,
  name: number,
): string | undefined {
  const row = hub.sql
    .exec<{ state: string | null }>(
      `SELECT CASE ?1 WHEN acked THEN acked_state WHEN sent THEN sent_state END AS state FROM sliding_connections
       WHERE uid = ?2 AND device_id = ?3 AND conn_id = ?4`,
      name,
      uid,
      deviceId,
      connId,
    )
    .toArray()[0]
  return row?.state ?? undefined
}

function touch(hub: HubContext, uid: number, { deviceId, connId }: SlidingSyncRequest): void {
  hub.sql.exec(
    'UPDATE sliding_connections SET used = ? WHERE uid = ? AND device_id = ? AND conn_id = ?',
    hub.now(),
    uid,
    deviceId,
    connId,
  )
}

/**
 * Keeps what an answer to a request sends, beside what the client has so far. Answers the name of the new state. A first
 * request begins the connection anew, and ends those of the device that were not used for long.
 */
export function keepSent(hub: HubContext, uid: number, request: SlidingSyncRequest, sent: SentState): number {
  const text = encode(sent)
  // The client would have to begin anew, and ask for less.
  if (text.length > longestState) throw unknownPosition()
  const name = newName()
  const held = request.pos && (request.held ?? request.pos.state)
  const heldText = held === undefined ? undefined : readState(hub, uid, request, held)
  if (held !== undefined && heldText === undefined) throw unknownPosition()
  if (held === undefined) makeRoom(hub, uid, request)
  hub.sql.exec(
    `INSERT OR REPLACE INTO sliding_connections
       (uid, device_id, conn_id, generation, used, acked, acked_state, sent, sent_state)
     VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`,
    uid,
    request.deviceId,
    request.connId,
    request.generation,
    hub.now(),
    held ?? name,
    heldText ?? text,
    held === undefined ? null : name,
    held === undefined ? null : text,
  )
  remember(hub, name, sent)
  return name
}

// Random: a position of an earlier connection must not fit a later one.
function newName(): number {
  const [high = 0, low = 0] = crypto.getRandomValues(new Uint32Array(2))
  return (high >>> 16) * 2 ** 32 + low
}

// What a device may keep is bounded: the connections that were not used for longest go.
function makeRoom(hub: HubContext, uid: number, { deviceId, connId }: SlidingSyncRequest): void {
  const others = hub.sql
    .exec<{ conn_id: string; used: number }>(
      `SELECT conn_id, used FROM sliding_connections WHERE uid = ? AND device_id = ? AND conn_id <> ?
       ORDER BY used DESC`,
      uid,
      deviceId,
      connId,
    )
    .toArray()
  const surplus = others.filter(
    ({ used }, place) => place >= mostConnections - 1 || hub.now() - used > longestUnusedMs,
  )
  for (const other of surplus) {
    forgetLooks(hub, uid, deviceId, other.conn_id)
    hub.sql.exec(
      'DELETE FROM sliding_connections WHERE uid = ? AND device_id = ? AND conn_id = ?',
      uid,
      deviceId,
      other.conn_id,
    )
  }
}

/** Ends the connections of a device that is gone. */
export function dropConnections(hub: HubContext, uid: number, deviceId: string): void {
  forgetLooks(hub, uid, deviceId)
  hub.sql.exec('DELETE FROM sliding_connections WHERE uid = ? AND device_id = ?', uid, deviceId)
}

function encode({ rooms, accountData, threads }: SentState): string {
  const places = new Map<string, number>()
  const configs: StoredState['configs'] = []
  const stored = [...rooms].map(([rid, room]): [string, StoredRoom] => {
    const config = { t: room.timelineLimit, s: room.required }
    const key = JSON.stringify(config)
    const place = places.get(key) ?? configs.push(config) - 1
    places.set(key, place)
    const flags =
      (room.isDm ? flag.isDm : 0) |
      (room.receipts ? flag.receipts : 0) |
      (room.accountData ? flag.accountData : 0)
    return [`${rid}`, room.behind === undefined ? [place, flags] : [place, flags, room.behind]]
  })
  const state: StoredState = { configs, rooms: Object.fromEntries(stored), a: accountData, th: threads }
  return JSON.stringify(state)
}

function decode(text: string): SentState {
  // Written by `encode` alone.
  const { configs, rooms, a, th = false } = JSON.parse(text) as StoredState
  const sent = Object.entries(rooms).map(([rid, [place, flags, behind]]): [number, SentRoom] => {
    const config = configs[place]
    return [
      Number(rid),
      {
        timelineLimit: config?.t ?? 0,
        required: config?.s ?? [],
        isDm: (flags & flag.isDm) !== 0,
        receipts: (flags & flag.receipts) !== 0,
        accountData: (flags & flag.accountData) !== 0,
        ...(behind === undefined ? {} : { behind }),
      },
    ]
  })
  return { rooms: new Map(sent), accountData: a, threads: th }
}
