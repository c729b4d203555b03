// The server's Ed25519 signing key, made at first boot. The seed is handed only to our own rooms, over RPC.
// Specification: server-server API, "Publishing Keys"; appendices, "Signing Details".

import { DurableObject } from 'cloudflare:workers'
import { randomBytes } from 'node:crypto'
import { config } from '../config.ts'
import type { Env } from '../env.ts'
import { MatrixError } from '../errors.ts'
import { canonicalJson } from '../matrix/canonical-json.ts'
import { roomVersion, type RoomVersionId } from '../matrix/room-version.ts'
import { signingKeyFromSeed } from '../matrix/signing.ts'
import { type DurableMigration, migrate } from '../storage/durable-migrations.ts'
import { ownKeyAnswer } from './key-answer.ts'
import { type CreateRequest, nextCreateTime, signCreate } from './sign-create.ts'

const migrations: readonly DurableMigration[] = [
  {
    id: '0001-signing-keys',
    sql: `
      -- expired_ts is set on versions that were replaced.
      CREATE TABLE signing_keys (
        version INTEGER PRIMARY KEY,
        key_id TEXT NOT NULL UNIQUE,
        seed BLOB NOT NULL,
        public_key BLOB NOT NULL,
        expired_ts INTEGER
      );
    `,
  },
  {
    id: '0002-last-create',
    // The time of the newest create event that was signed here.
    sql: 'CREATE TABLE last_create (id INTEGER PRIMARY KEY, ts INTEGER NOT NULL)',
  },
  {
    id: '0003-rotation',
    // A new key is published some time before it signs.
    sql: 'ALTER TABLE signing_keys ADD COLUMN signs_from INTEGER NOT NULL DEFAULT 0',
  },
]

/** The times of a replacement, in milliseconds. */
export interface RotationTimes {
  /** From when the new key is published until it signs. */
  readonly publishedBefore: number
  /** From when the new key signs until the old one expires. */
  readonly overlap: number
}

const standardTimes: RotationTimes = {
  // Longer than anyone keeps our published keys without looking again for a key they do not know.
  publishedBefore: 10 * 60 * 1000,
  // Longer than own-signer.ts and rooms that were loaded before keep the key they sign with.
  overlap: 24 * 60 * 60 * 1000,
}

/** What signs events: `seed` is secret and 32 bytes long, `keyId` the whole identifier, `ed25519:…`. */
export interface SigningSeed {
  readonly keyId: string
  readonly seed: Uint8Array
  /** Grows with each rotation. */
  readonly version: number
}

/** A key for others to verify with: 32 bytes. `expiredTs` is set on those that were replaced, and may lie ahead. */
export interface PublicKey {
  readonly keyId: string
  readonly publicKey: Uint8Array
  /** From when on it signs, 0 for the first one. */
  readonly signsFrom: number
  readonly expiredTs: number | null
}

export interface SignCreateRequest extends Omit<CreateRequest, 'rules'> {
  readonly roomVersion: RoomVersionId
}

export class ServerKeys extends DurableObject<Env> {
  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env)
    migrate(ctx.storage, migrations)
    makeFirstKey(ctx.storage.sql)
  }

  /** The key to sign with. For Room objects and `own-signer.ts` only: never show it in an answer. */
  signingKey(): SigningSeed {
    const row = this.ctx.storage.sql
      .exec<{ key_id: string; seed: ArrayBuffer; version: number }>(
        'SELECT key_id, seed, version FROM signing_keys WHERE signs_from <= ? ORDER BY version DESC LIMIT 1',
        Date.now(),
      )
      .one()
    return { keyId: row.key_id, seed: new Uint8Array(row.seed), version: row.version }
  }

  /**
   * The create event of a new room whose id is its hash, signed, as JSON text. No two are alike. M_BAD_JSON,
   * M_TOO_LARGE.
   */
  signCreate({ roomVersion: id, ...request }: SignCreateRequest): string {
    const rules = roomVersion(id)
    if (!rules) throw new MatrixError('M_UNSUPPORTED_ROOM_VERSION', 400, 'The room version is not supported')
    const { keyId, seed } = this.signingKey()
    const signer = { serverName: config(this.env).serverName, keyId, key: signingKeyFromSeed(seed) }
    const pdu = signCreate(signer, { ...request, rules }, nextCreateTime(this.ctx.storage.sql, Date.now()))
    return JSON.stringify(pdu)
  }

  /** What we publish about our keys, signed by each in use, as canonical JSON. */
  keyAnswer(): string {
    const keys = this.ctx.storage.sql
      .exec<{ key_id: string; seed: ArrayBuffer; expired_ts: number | null }>(
        'SELECT key_id, seed, expired_ts FROM signing_keys ORDER BY version DESC',
      )
      .toArray()
      .map((row) => ({ keyId: row.key_id, seed: new Uint8Array(row.seed), expiredTs: row.expired_ts }))
    const answer = ownKeyAnswer(config(this.env).serverName, keys, Date.now())
    // Whoever checks the text as it is, without sorting its keys, finds it signed all the same.
    return canonicalJson(answer, { strict: true })
  }

  /**
   * Replaces the key: the new one is published at once, signs in ten minutes, and the one before it expires a day after
   * that. Does nothing while a replacement is under way.
   */
  rotate({ publishedBefore, overlap }: RotationTimes = standardTimes): void {
    const { storage } = this.ctx
    const signsFrom = Date.now() + publishedBefore
    storage.transactionSync(() => {
      const { waiting } = storage.sql
        .exec<{ waiting: number }>(
          'SELECT count(*) AS waiting FROM signing_keys WHERE signs_from > ?',
          Date.now(),
        )
        .one()
      if (waiting > 0) return
      storage.sql.exec('UPDATE signing_keys SET expired_ts = ? WHERE expired_ts IS NULL', signsFrom + overlap)
      addKey(storage.sql, signsFrom)
    })
  }

  /** All keys that sign or ever signed, newest first. */
  publicKeys(): PublicKey[] {
    return this.ctx.storage.sql
      .exec<{ key_id: string; public_key: ArrayBuffer; signs_from: number; expired_ts: number | null }>(
        'SELECT key_id, public_key, signs_from, expired_ts FROM signing_keys ORDER BY version DESC',
      )
      .toArray()
      .map((row) => ({
        keyId: row.key_id,
        publicKey: new Uint8Array(row.public_key),
        signsFrom: row.signs_from,
        expiredTs: row.expired_ts,
      }))
  }
}

function makeFirstKey(sql: SqlStorage): void {
  const { n } = sql.exec<{ n: number }>('SELECT count(*) AS n FROM signing_keys').one()
  if (n === 0) addKey(sql, 0)
}

function addKey(sql: SqlStorage, signsFrom: number): void {
  const seed = new Uint8Array(randomBytes(32))
  sql.exec(
    `INSERT INTO signing_keys (version, key_id, seed, public_key, signs_from)
     VALUES ((SELECT coalesce(max(version), 0) + 1 FROM signing_keys), ?, ?, ?, ?)`,
    `ed25519:${randomBytes(4).toString('hex')}`,
    seed,
    signingKeyFromSeed(seed).publicKey,
    signsFrom,
  )
}
