// What a join writes down, so that whoever goes on with it, in another turn or after a crash, knows how far it has come.

import { type Errcode, MatrixError } from '../../errors.ts'
import { decodeBase64, encodeBase64 } from '../../matrix/base64.ts'
import type { EventId, RoomId, ServerName, UserId } from '../../matrix/event.ts'
import type { JsonObject } from '../../matrix/json.ts'
import type { ServerKeySet } from '../../room/receive-pdu.ts'
import type { KeyRequest } from '../client/key-ring.ts'
import type { SpooledList } from './spool.ts'

export interface JoinRequest {
  readonly roomId: RoomId
  readonly userId: UserId
  /** The Hub shard of the user. */
  readonly shard: number
  /** The content besides `membership`: profile, reason. */
  readonly content: JsonObject
  /** To be tried in this order. */
  readonly servers: readonly ServerName[]
}

/** A join under way. Each phase begins anew after a crash, but for `staging`, which goes on behind its last batch. */
export interface Job {
  readonly request: JoinRequest
  /**
   * `asking`: the server at `at` is to be asked, with what the state needs kept nowhere yet. `keys`: the state is spooled, the
   * keys to check it with are fetched. `staging`: it is handed to the room. `completing`: our join makes it the room's state.
   */
  readonly phase: 'asking' | 'keys' | 'staging' | 'completing'
  /** Which of the servers is asked. */
  readonly at: number
  /** Why those before could not help. */
  readonly failures: readonly Failure[]
  /** How often the work was found broken off since it last went forward. */
  readonly brokenOff: number
  /** Our join with all signatures, once a server has taken it. */
  readonly join?: JsonObject
  /** The first server that has taken our join: for it and all others the user is in the room. */
  readonly joinedThrough?: ServerName
  readonly keys: KeyProgress
}

export interface Failure {
  readonly errcode: Errcode
  readonly status: number
  readonly message: string
  readonly extra: JsonObject
}

/** How far the keys are: the part of the signers, whether the notaries were asked for it, and who is left to be asked. */
export interface KeyProgress {
  readonly part: number
  readonly notaries?: boolean
  readonly left?: readonly ServerName[]
}

/** What came of handing a batch to the room. */
export interface StagedBatch {
  readonly list: SpooledList
  /** How many events it had. */
  readonly events: number
  /** The state events that hold. */
  readonly ids: readonly EventId[]
  readonly refused: number
  readonly reason?: string
  /** The numbers of the events that rest upon others which were not here yet. */
  readonly waiting: readonly number[]
}

/** The tables of a join. */
export interface JobStore {
  readonly load: () => Job | undefined
  readonly save: (job: Job) => void
  /** The keys that the state was signed with, in parts of which each can be asked for at once. */
  readonly keepSigners: (parts: readonly (readonly KeyRequest[])[]) => void
  readonly signers: (part: number) => KeyRequest[] | undefined
  readonly keepKeys: (part: number, keys: ServerKeySet) => void
  readonly keys: () => ServerKeySet
  readonly keepBatch: (batch: StagedBatch) => void
  /** How many events of a list were handed to the room. */
  readonly staged: (list: SpooledList) => number
  readonly batches: () => StagedBatch[]
  /** Forgets all but the job: a server could not help after all. */
  readonly clearState: () => void
}

/** Whether a join is written down in a database. Makes no tables. */
export function hasJob(sql: SqlStorage): boolean {
  if (sql.exec("SELECT 1 FROM sqlite_master WHERE name = 'job'").toArray().length === 0) return false
  return sql.exec('SELECT 1 FROM job').toArray().length > 0
}

/** The store of a database. */
export function jobStore(sql: SqlStorage): JobStore {
  sql.exec('CREATE TABLE IF NOT EXISTS job (id INTEGER PRIMARY KEY, json TEXT NOT NULL)')
  sql.exec('CREATE TABLE IF NOT EXISTS signers (part INTEGER PRIMARY KEY, json TEXT NOT NULL, keys TEXT)')
  sql.exec(
    'CREATE TABLE IF NOT EXISTS batches (id INTEGER PRIMARY KEY, list TEXT NOT NULL, events INTEGER NOT NULL, json TEXT NOT NULL)',
  )
  let keys: ServerKeySet | undefined
  // Everything in these tables was written here.
  const read = <T>(query: string, ...params: number[]): T[] =>
    sql
      .exec<{ json: string }>(query, ...params)
      .toArray()
      .map(({ json }) => JSON.parse(json) as T)
  return {
    load: () => read<Job>('SELECT json FROM job WHERE id = 1')[0],
    save(job) {
      sql.exec('INSERT OR REPLACE INTO job (id, json) VALUES (1, ?)', JSON.stringify(job))
    },
    keepSigners(parts) {
      for (const [part, signers] of parts.entries())
        sql.exec('INSERT INTO signers (part, json) VALUES (?, ?)', part, JSON.stringify(signers))
    },
    signers: (part) => read<KeyRequest[]>('SELECT json FROM signers WHERE part = ?', part)[0],
    keepKeys(part, set) {
      keys = undefined
      sql.exec('UPDATE signers SET keys = ? WHERE part = ?', JSON.stringify(packedKeys(set)), part)
    },
    keys: () =>
      (keys ??= unpackedKeys(
        read<PackedKey[]>('SELECT keys AS json FROM signers WHERE keys IS NOT NULL').flat(),
      )),
    keepBatch(batch) {
      const json = JSON.stringify(batch)
      sql.exec('INSERT INTO batches (list, events, json) VALUES (?, ?, ?)', batch.list, batch.events, json)
    },
    staged: (list) =>
      sql
        .exec<{ events: number }>('SELECT ifnull(sum(events), 0) AS events FROM batches WHERE list = ?', list)
        .toArray()[0]?.events ?? 0,
    batches: () => read<StagedBatch>('SELECT json FROM batches ORDER BY id'),
    clearState() {
      keys = undefined
      sql.exec('DELETE FROM signers')
      sql.exec('DELETE FROM batches')
    },
  }
}

type PackedKey = readonly [serverName: string, keyId: string, key: string, validUntilTs: number | null]

function packedKeys(keys: ServerKeySet): PackedKey[] {
  return Object.entries(keys).flatMap(([serverName, ofServer]) =>
    Object.entries(ofServer).map(
      ([keyId, { key, validUntilTs }]) =>
        [serverName, keyId, encodeBase64(key), validUntilTs ?? null] as const,
    ),
  )
}

function unpackedKeys(packed: readonly PackedKey[]): ServerKeySet {
  const byServer = Map.groupBy(packed, ([serverName]) => serverName)
  return Object.fromEntries(
    [...byServer].map(([serverName, keys]) => [
      serverName,
      Object.fromEntries(
        keys.map(([, keyId, key, validUntilTs]) => [
          keyId,
          { key: decodeBase64(key) ?? new Uint8Array(), ...(validUntilTs === null ? {} : { validUntilTs }) },
        ]),
      ),
    ]),
  )
}

/** A failure as it is written down. */
export function failureOf({ errcode, status, message, extra }: MatrixError): Failure {
  return { errcode, status, message, extra }
}

/** The error that a failure was. */
export function errorOf({ errcode, status, message, extra }: Failure): MatrixError {
  return new MatrixError(errcode, status, message, extra)
}
