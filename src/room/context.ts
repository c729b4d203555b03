// What the functions of a room work on: its SQLite, its rules and its signing key.

import { config } from '../config.ts'
import { serverKeysStub, type Env } from '../env.ts'
import { MatrixError } from '../errors.ts'
import type { RoomId, ServerName } from '../matrix/event.ts'
import { roomVersion, type RoomVersionRules } from '../matrix/room-version.ts'
import { signingKeyFromSeed, type SigningKey } from '../matrix/signing.ts'
import { migrate } from '../storage/durable-migrations.ts'
import { roomMigrations } from './schema.ts'

export interface RoomContext {
  readonly sql: SqlStorage
  readonly storage: DurableObjectStorage
  readonly env: Env
  readonly serverName: ServerName
  readonly now: () => number
  /** In memory only: what is known of the live end of the room. */
  readonly live: LiveEnd
  /** (type, state_key) → integer of the slots that were looked at, 0 for those that no event ever had. */
  readonly slots: Map<string, number>
  /** Slot → its newest entry in the current state: what most look-ups ask for. */
  readonly newest: Map<number, { readonly pos: number; readonly eid: number }>
  /** Whether any event was back-filled; undefined until looked up. */
  hasHistory: boolean | undefined
  /** Tells apart the rooms that share the isolate's cache. */
  cacheKey: number
  /** When the pending alarm comes, in milliseconds; undefined if there is none. */
  alarmAt: number | undefined
  /** How far each sink was told, as far as memory knows; the disk may lag behind. */
  readonly told: Map<string, number>
  /** The deliveries under way, a promise a Hub shard. */
  readonly telling: Map<number, Promise<void>>
  /** Whether the database has its tables. It has none before the room exists: asking about a made-up id writes nothing. */
  hasTables: boolean
  identity: RoomIdentity | undefined
  signer: Signer | undefined
}

export interface RoomIdentity {
  readonly roomId: RoomId
  readonly rules: RoomVersionRules
}

export interface Signer {
  readonly keyId: string
  readonly key: SigningKey
  /** When it was asked for, in milliseconds. */
  readonly since: number
}

// A rotated key is published before it is used, and the old one stays valid for far longer than this.
const signerAgeMs = 5 * 60_000

export interface LiveEnd {
  /** The highest live position, 0 in an empty room; undefined until read. */
  position: number | undefined
  /** The forward extremities as eids; undefined until read. */
  heads: readonly number[] | undefined
  /** How far each sink was told when the last event was appended; undefined until read. */
  told: Readonly<Record<string, number>> | undefined
}

let contexts = 0

/** Opens the context, bringing the tables of a room that exists up to date. */
export function openRoom(ctx: DurableObjectState, env: Env): RoomContext {
  contexts += 1
  const hasTables = tablesExist(ctx.storage.sql)
  if (hasTables) migrate(ctx.storage, roomMigrations)
  const room: RoomContext = {
    sql: ctx.storage.sql,
    storage: ctx.storage,
    env,
    serverName: config(env).serverName,
    now: Date.now,
    live: { position: undefined, heads: undefined, told: undefined },
    slots: new Map(),
    newest: new Map(),
    hasHistory: undefined,
    cacheKey: contexts,
    alarmAt: undefined,
    told: new Map(),
    telling: new Map(),
    hasTables,
    identity: undefined,
    signer: undefined,
  }
  if (hasTables) {
    void ctx.blockConcurrencyWhile(async () => {
      room.alarmAt = (await ctx.storage.getAlarm()) ?? undefined
    })
  }
  return room
}

function tablesExist(sql: SqlStorage): boolean {
  return sql.exec("SELECT 1 FROM sqlite_master WHERE name = 'migrations'").toArray().length > 0
}

/** Drops what memory knows of the live end, after a transaction was rolled back. */
export function forgetLiveEnd(room: RoomContext): void {
  contexts += 1
  room.cacheKey = contexts
  room.live.position = undefined
  room.live.heads = undefined
  room.live.told = undefined
  room.slots.clear()
  room.newest.clear()
  room.hasHistory = undefined
  room.hasTables = tablesExist(room.sql)
  room.identity = undefined
}

/** Reads a value of the meta table. */
export function meta(room: RoomContext, key: string): SqlStorageValue | undefined {
  return room.sql.exec<{ value: SqlStorageValue }>('SELECT value FROM meta WHERE key = ?', key).toArray()[0]
    ?.value
}

/** Writes a value of the meta table. */
export function setMeta(room: RoomContext, key: string, value: SqlStorageValue): void {
  room.sql.exec(
    'INSERT INTO meta VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value',
    key,
    value,
  )
}

/** The room's id and rules, or undefined while this object holds no room. */
export function findIdentity(room: RoomContext): RoomIdentity | undefined {
  if (room.identity) return room.identity
  if (!room.hasTables) return undefined
  const roomId = meta(room, 'room_id')
  const version = meta(room, 'room_version')
  const rules = typeof version === 'string' ? roomVersion(version) : undefined
  if (typeof roomId !== 'string' || !rules) return undefined
  // Written by `adoptIdentity` alone, from a checked id.
  room.identity = { roomId: roomId as RoomId, rules }
  return room.identity
}

/**
 * The room's id and rules. While this object holds no room: M_FORBIDDEN, the same answer that a room gives to those
 * who are not in it, so that nobody learns which rooms exist.
 */
export function identity(room: RoomContext): RoomIdentity {
  const known = findIdentity(room)
  if (!known) throw new MatrixError('M_FORBIDDEN', 403, 'You are not in this room')
  return known
}

/** Makes this object the home of a room. Must run in the transaction that writes its first event. */
export function adoptIdentity(room: RoomContext, made: RoomIdentity): void {
  if (!room.hasTables) migrate(room.storage, roomMigrations)
  room.hasTables = true
  setMeta(room, 'room_id', made.roomId)
  setMeta(room, 'room_version', made.rules.id)
  room.identity = made
}

/**
 * The server's signing key, kept in memory for minutes. The only await on the way of an event, and only in a room that
 * was just loaded or has not asked for long.
 */
export async function ensureSigner(room: RoomContext): Promise<Signer> {
  if (room.signer && room.now() - room.signer.since < signerAgeMs) return room.signer
  const { keyId, seed } = await serverKeysStub(room.env).signingKey()
  room.signer = { keyId, key: signingKeyFromSeed(seed), since: room.now() }
  return room.signer
}
