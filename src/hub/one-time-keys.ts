// One-time and fallback keys of devices. All keys of a device are one row: an upload of fifty costs one row, and so does a
// claim. Specification: client-server API, "One-time and fallback keys", POST /keys/upload, POST /keys/claim.

import { createHash } from 'node:crypto'
import { MatrixError } from '../errors.ts'
import type { UserId } from '../matrix/event.ts'
import { type HubContext, transact } from './context.ts'
import { findUser } from './interned.ts'

/** A key id, `<algorithm>:<id>`, and the key as canonical JSON text. */
export type NamedKey = readonly [keyId: string, key: string]

/** What a device is told in each /sync. */
export interface KeyCounts {
  /** Algorithm → unclaimed one-time keys. */
  readonly oneTime: { readonly [algorithm: string]: number }
  /** Algorithms whose fallback key was not given out yet. */
  readonly unusedFallback: readonly string[]
}

export interface KeyClaim {
  readonly userId: UserId
  readonly deviceId: string
  readonly algorithm: string
}

export interface ClaimedKey extends KeyClaim {
  readonly keyId: string
  /** As JSON text. */
  readonly key: string
}

interface FallbackKey {
  readonly id: string
  readonly key: string
  readonly used: boolean
}

interface DeviceKeyStore {
  /** In the order of upload. */
  keys: NamedKey[]
  /** The last keys given out: id and digest. An upload that is repeated does not bring them back. */
  claimed: NamedKey[]
  /** One an algorithm. */
  fallback: FallbackKey[]
}

// Clients keep fifty or a hundred of them.
const mostKeys = 1000
// A row takes 2 MB.
const mostTextLength = 1_000_000
const claimedKept = 200

/**
 * Adds keys to those of a device. Identical ones that are there, or were there and given out of late, are skipped.
 * M_INVALID_PARAM for another key under an id that is in use. Call inside a transaction.
 */
export function addKeys(
  hub: HubContext,
  uid: number,
  deviceId: string,
  oneTime: readonly NamedKey[],
  fallback: readonly NamedKey[],
): void {
  if (oneTime.length + fallback.length === 0) return
  const store = readStore(hub, uid, deviceId)
  const present = new Map(store.keys)
  const claimed = new Map(store.claimed)
  const fresh = oneTime.filter(([id, key]) => {
    const known = present.get(id)
    if (known !== undefined && known !== key) {
      throw new MatrixError('M_INVALID_PARAM', 400, `Another one-time key is stored as ${id}`)
    }
    return known === undefined && claimed.get(id) !== digest(key)
  })
  const replaced = fallback.filter(([id, key]) => {
    const known = store.fallback.find((one) => one.id === id)
    return known?.key !== key
  })
  if (fresh.length + replaced.length === 0) return
  store.keys.push(...fresh)
  for (const [id, key] of replaced) setFallback(store, { id, key, used: false })
  if (store.keys.length > mostKeys || textLength(store) > mostTextLength) {
    throw new MatrixError('M_TOO_LARGE', 413, 'The device has too many keys')
  }
  writeStore(hub, uid, deviceId, store)
}

function setFallback(store: DeviceKeyStore, key: FallbackKey): void {
  const others = store.fallback.filter(({ id }) => algorithmOf(id) !== algorithmOf(key.id))
  store.fallback = [...others, key]
}

/**
 * Gives keys out: of each device the one-time key that was uploaded first, which nobody else gets, else the fallback key.
 * Claims that cannot be met are left out.
 */
export function claimKeys(hub: HubContext, claims: readonly KeyClaim[]): ClaimedKey[] {
  return transact(hub, () =>
    claims.flatMap((claim) => {
      const uid = findUser(hub, claim.userId)
      const key = uid === undefined ? undefined : claimKey(hub, uid, claim)
      return key === undefined ? [] : [{ ...claim, keyId: key[0], key: key[1] }]
    }),
  )
}

function claimKey(
  hub: HubContext,
  uid: number,
  { deviceId, algorithm }: Omit<KeyClaim, 'userId'>,
): NamedKey | undefined {
  const store = readStore(hub, uid, deviceId)
  const at = store.keys.findIndex(([id]) => algorithmOf(id) === algorithm)
  const [oneTime] = at === -1 ? [] : store.keys.splice(at, 1)
  if (oneTime) {
    const [id, key] = oneTime
    store.claimed = [...store.claimed.slice(1 - claimedKept), [id, digest(key)]]
    writeStore(hub, uid, deviceId, store)
    return oneTime
  }
  const fallback = store.fallback.find(({ id }) => algorithmOf(id) === algorithm)
  if (!fallback) return undefined
  if (!fallback.used) {
    setFallback(store, { ...fallback, used: true })
    writeStore(hub, uid, deviceId, store)
  }
  return [fallback.id, fallback.key]
}

/** Deletes all keys of a device. */
export function dropKeys(hub: HubContext, uid: number, deviceId: string): void {
  hub.sql.exec('DELETE FROM one_time_keys WHERE uid = ? AND device_id = ?', uid, deviceId)
  counted(hub).delete(cacheKey(uid, deviceId))
}

const caches = new WeakMap<HubContext, Map<string, KeyCounts>>()
const countedDevices = 10_000

function counted(hub: HubContext): Map<string, KeyCounts> {
  const known = caches.get(hub)
  if (known && known.size < countedDevices) return known
  const fresh = new Map<string, KeyCounts>()
  caches.set(hub, fresh)
  return fresh
}

function cacheKey(uid: number, deviceId: string): string {
  return `${uid} ${deviceId}`
}

/** How many keys a device has left. Kept in memory, since each sync tells it. */
export function keyCounts(hub: HubContext, uid: number, deviceId: string): KeyCounts {
  const key = cacheKey(uid, deviceId)
  const known = counted(hub).get(key)
  if (known) return known
  const counts = countsOf(readStore(hub, uid, deviceId))
  counted(hub).set(key, counts)
  return counts
}

function countsOf({ keys, fallback }: DeviceKeyStore): KeyCounts {
  // Clients that find an algorithm missing take it for one that this server does not count.
  const oneTime = new Map([['signed_curve25519', 0]])
  for (const [id] of keys) oneTime.set(algorithmOf(id), (oneTime.get(algorithmOf(id)) ?? 0) + 1)
  const unused = fallback.filter(({ used }) => !used)
  return { oneTime: Object.fromEntries(oneTime), unusedFallback: unused.map(({ id }) => algorithmOf(id)) }
}

function readStore(hub: HubContext, uid: number, deviceId: string): DeviceKeyStore {
  const row = hub.sql
    .exec<{ json: string }>('SELECT json FROM one_time_keys WHERE uid = ? AND device_id = ?', uid, deviceId)
    .toArray()[0]
  // Written by `writeStore` alone.
  return row ? (JSON.parse(row.json) as DeviceKeyStore) : { keys: [], claimed: [], fallback: [] }
}

function writeStore(hub: HubContext, uid: number, deviceId: string, store: DeviceKeyStore): void {
  hub.sql.exec(
    `INSERT INTO one_time_keys (uid, device_id, json) VALUES (?, ?, ?)
     ON CONFLICT (uid, device_id) DO UPDATE SET json = excluded.json`,
    uid,
    deviceId,
    JSON.stringify(store),
  )
  // Counted again when asked for: what is written here may be rolled back.
  counted(hub).delete(cacheKey(uid, deviceId))
}

function textLength({ keys, fallback }: DeviceKeyStore): number {
  const sizes = [
    ...keys.map(([id, key]) => id.length + key.length),
    ...fallback.map(({ id, key }) => id.length + key.length),
  ]
  return sizes.reduce((sum, size) => sum + size, 0)
}

/** What stands before the colon of a key id. */
export function algorithmOf(keyId: string): string {
  return keyId.slice(0, keyId.indexOf(':'))
}

function digest(key: string): string {
  return createHash('sha256').update(key).digest('base64url').slice(0, 16)
}
