// Server-side backups of room keys: versions and the sessions in them, as clients encrypted them.
// Specification: client-server API, "Server-side key backups".

import type { HubContext } from './context.ts'

/** A version of a backup; `authData` is JSON text. */
export interface KeyBackupVersion {
  readonly version: string
  readonly algorithm: string
  readonly authData: string
  /** Changes whenever a key of the version does. */
  readonly etag: string
  /** How many keys it has. */
  readonly count: number
}

/** A session's key; `sessionData` is JSON text. */
export interface BackedUpKey {
  readonly firstMessageIndex: number
  readonly forwardedCount: number
  readonly isVerified: boolean
  readonly sessionData: string
}

/** A key with its place in the backup. */
export interface PlacedKey extends BackedUpKey {
  readonly roomId: string
  readonly sessionId: string
}

/** Which keys of a version: all, those of a room, or one. */
export interface KeySelection {
  readonly roomId?: string
  readonly sessionId?: string
}

/** What a write answers: the version as it is now, or why it was refused. */
export type KeyBackupWrite =
  | { readonly etag: string; readonly count: number }
  | { readonly refused: 'unknown' }
  | { readonly refused: 'not current'; readonly current: string }

/** Creates a version, which is current from now on. Numbers count up, also past versions that were deleted. */
export function createKeyBackup(
  hub: HubContext,
  uid: number,
  { algorithm, authData }: { readonly algorithm: string; readonly authData: string },
): string {
  const { version } = hub.sql
    .exec<{ version: number }>(
      `INSERT INTO key_backup_versions (uid, version, algorithm, auth_data)
       VALUES (?, ifnull((SELECT max(version) FROM key_backup_versions WHERE uid = ?), 0) + 1, ?, ?) RETURNING version`,
      uid,
      uid,
      algorithm,
      authData,
    )
    .one()
  return String(version)
}

/** A version; the current one when none is named. Undefined where there is none, and for a deleted one. */
export function getKeyBackup(hub: HubContext, uid: number, version?: string): KeyBackupVersion | undefined {
  const number = version === undefined ? undefined : versionNumber(version)
  if (version !== undefined && number === undefined) return undefined
  const row = hub.sql
    .exec<{ version: number; algorithm: string; auth_data: string; etag: number; count: number }>(
      `SELECT version, algorithm, auth_data, etag, count FROM key_backup_versions
       WHERE uid = ? AND algorithm IS NOT NULL AND (?2 IS NULL OR version = ?2) ORDER BY version DESC LIMIT 1`,
      uid,
      number ?? null,
    )
    .toArray()[0]
  return (
    row && {
      version: String(row.version),
      algorithm: row.algorithm,
      authData: row.auth_data,
      etag: String(row.etag),
      count: row.count,
    }
  )
}

/** Replaces the `auth_data` of a version, given as JSON text. */
export function updateKeyBackup(hub: HubContext, uid: number, version: string, authData: string): void {
  hub.sql.exec(
    `UPDATE key_backup_versions SET auth_data = ? WHERE uid = ? AND version = ? AND algorithm IS NOT NULL`,
    authData,
    uid,
    versionNumber(version) ?? 0,
  )
}

/** Deletes a version with its keys. False for one that there never was; deleting again is well. */
export function deleteKeyBackup(hub: HubContext, uid: number, version: string): boolean {
  const number = versionNumber(version)
  if (number === undefined) return false
  return hub.storage.transactionSync(() => {
    hub.sql.exec('DELETE FROM key_backup_keys WHERE uid = ? AND version = ?', uid, number)
    // The row stays, so that its number is not given out again.
    return (
      hub.sql
        .exec(
          `UPDATE key_backup_versions SET algorithm = NULL, auth_data = NULL, count = 0
           WHERE uid = ? AND version = ? RETURNING version`,
          uid,
          number,
        )
        .toArray().length > 0
    )
  })
}

/** Deletes all versions with their keys. */
export function eraseKeyBackups(hub: HubContext, uid: number): void {
  hub.sql.exec('DELETE FROM key_backup_keys WHERE uid = ?', uid)
  hub.sql.exec('DELETE FROM key_backup_versions WHERE uid = ?', uid)
}

/** Stores keys in the current version. Where there is one already, the better of the two stays. */
export function putBackedUpKeys(
  hub: HubContext,
  uid: number,
  version: string,
  keys: readonly PlacedKey[],
): KeyBackupWrite {
  const current = getKeyBackup(hub, uid)
  if (!current) return { refused: 'unknown' }
  // Keys can only be written to the most recently created version.
  if (current.version !== version) return { refused: 'not current', current: current.version }
  return hub.storage.transactionSync(() => {
    let added = 0
    let changed = 0
    for (const key of keys) {
      const old = storedKey(hub, uid, version, key)
      if (old && !replaces(key, old)) continue
      storeKey(hub, uid, version, key)
      changed += 1
      if (!old) added += 1
    }
    return changed === 0 ? current : keysChanged(hub, uid, version, added)
  })
}

/** Deletes keys of a version. */
export function deleteBackedUpKeys(
  hub: HubContext,
  uid: number,
  version: string,
  selection: KeySelection,
): KeyBackupWrite {
  const backup = getKeyBackup(hub, uid, version)
  if (!backup) return { refused: 'unknown' }
  return hub.storage.transactionSync(() => {
    const { where, values } = selected(uid, Number(version), selection)
    // A row a key: the table has no index beside.
    const gone = hub.sql.exec(`DELETE FROM key_backup_keys WHERE ${where}`, ...values).rowsWritten
    return gone === 0 ? backup : keysChanged(hub, uid, version, -gone)
  })
}

/** Keys of a version after a place in the order of rooms and sessions, at most `limit`. */
export function readBackedUpKeys(
  hub: HubContext,
  uid: number,
  version: string,
  selection: KeySelection,
  { after, limit }: { readonly after?: PlacedKey | undefined; readonly limit: number },
): PlacedKey[] {
  const { where, values } = selected(uid, versionNumber(version) ?? 0, selection)
  const [behind, place] = pageStart(selection, after)
  return hub.sql
    .exec<KeyRow & { room_id: string; session_id: string }>(
      `SELECT room_id, session_id, ${keyColumns} FROM key_backup_keys WHERE ${where} ${behind}
       ORDER BY room_id, session_id LIMIT ?`,
      ...values,
      ...place,
      limit,
    )
    .toArray()
    .map((row) => ({ roomId: row.room_id, sessionId: row.session_id, ...keyOf(row) }))
}

// Within a room by the session alone: a comparison of pairs would read the room from its start for each page.
function pageStart(
  { roomId }: KeySelection,
  after: PlacedKey | undefined,
): [where: string, values: string[]] {
  if (!after) return ['', []]
  return roomId === undefined
    ? ['AND (room_id, session_id) > (?, ?)', [after.roomId, after.sessionId]]
    : ['AND session_id > ?', [after.sessionId]]
}

// Named columns are looked up in the order of the keys: a selection costs what it holds, not what the backup does.
function selected(uid: number, version: number, { roomId, sessionId }: KeySelection) {
  const columns = Object.entries({ uid, version, room_id: roomId, session_id: sessionId }).filter(
    (entry): entry is [string, string | number] => entry[1] !== undefined,
  )
  return {
    where: columns.map(([name]) => `${name} = ?`).join(' AND '),
    values: columns.map(([, value]) => value),
  }
}

// "is_verified" wins, then the lower first_message_index, then the lower forwarded_count.
function replaces(key: BackedUpKey, old: BackedUpKey): boolean {
  if (key.isVerified !== old.isVerified) return key.isVerified
  if (key.firstMessageIndex !== old.firstMessageIndex) return key.firstMessageIndex < old.firstMessageIndex
  return key.forwardedCount < old.forwardedCount
}

const keyColumns = 'first_message_index, forwarded_count, is_verified, session_data'

interface KeyRow extends Record<string, SqlStorageValue> {
  first_message_index: number
  forwarded_count: number
  is_verified: number
  session_data: string
}

function keyOf(row: KeyRow): BackedUpKey {
  return {
    firstMessageIndex: row.first_message_index,
    forwardedCount: row.forwarded_count,
    isVerified: row.is_verified === 1,
    sessionData: row.session_data,
  }
}

function storedKey(hub: HubContext, uid: number, version: string, key: PlacedKey): BackedUpKey | undefined {
  const row = hub.sql
    .exec<KeyRow>(
      `SELECT ${keyColumns} FROM key_backup_keys
       WHERE uid = ? AND version = ? AND room_id = ? AND session_id = ?`,
      uid,
      Number(version),
      key.roomId,
      key.sessionId,
    )
    .toArray()[0]
  return row && keyOf(row)
}

function storeKey(hub: HubContext, uid: number, version: string, key: PlacedKey): void {
  hub.sql.exec(
    `INSERT OR REPLACE INTO key_backup_keys (uid, version, room_id, session_id, ${keyColumns})
     VALUES (?, ?, ?, ?, ?, ?, ?, ?)`,
    uid,
    Number(version),
    key.roomId,
    key.sessionId,
    key.firstMessageIndex,
    key.forwardedCount,
    key.isVerified ? 1 : 0,
    key.sessionData,
  )
}

function keysChanged(
  hub: HubContext,
  uid: number,
  version: string,
  added: number,
): { readonly etag: string; readonly count: number } {
  const { etag, count } = hub.sql
    .exec<{ etag: number; count: number }>(
      `UPDATE key_backup_versions SET etag = etag + 1, count = count + ?
       WHERE uid = ? AND version = ? RETURNING etag, count`,
      added,
      uid,
      Number(version),
    )
    .one()
  return { etag: String(etag), count }
}

function versionNumber(version: string): number | undefined {
  return /^[1-9]\d{0,14}$/.test(version) ? Number(version) : undefined
}
