// The server's Ed25519 signing key, made at first boot. The seed is handed only to our own rooms, over RPC.
// Specification: server-server API, "Publishing Keys"; appendices, "Signing Details".

import { DurableObject } from 'cloudflare:workers'
import { randomBytes } from 'node:crypto'
import { config } from '../config.ts'
import type { Env } from '../env.ts'
import { MatrixError } from '../errors.ts'
import { roomVersion, type RoomVersionId } from '../matrix/room-version.ts'
import { signingKeyFromSeed } from '../matrix/signing.ts'
import { type DurableMigration, migrate } from '../storage/durable-migrations.ts'
import { type CreateRequest, nextCreateTime, signCreate } from './sign-create.ts'

const migrations: readonly DurableMigration[] = [
  {
    id: '0001-signing-keys',
    sql: `
      -- The newest version signs. expired_ts is set on versions that do not sign any more.
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
]

/** What signs events: `seed` is secret and 32 bytes long, `keyId` the whole identifier, `ed25519:…`. */
export interface SigningSeed {
  readonly keyId: string
  readonly seed: Uint8Array
  /** Grows with each rotation. */
  readonly version: number
}

/** A key for others to verify with: 32 bytes. `expiredTs` is set on old ones. */
export interface PublicKey {
  readonly keyId: string
  readonly publicKey: Uint8Array
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

  /** The key to sign with. For Room objects only: never give it to anything that answers a request. */
  signingKey(): SigningSeed {
    const row = this.ctx.storage.sql
      .exec<{ key_id: string; seed: ArrayBuffer; version: number }>(
        'SELECT key_id, seed, version FROM signing_keys ORDER BY version DESC LIMIT 1',
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

  /** All keys that ever signed, newest first. */
  publicKeys(): PublicKey[] {
    return this.ctx.storage.sql
      .exec<{ key_id: string; public_key: ArrayBuffer; expired_ts: number | null }>(
        'SELECT key_id, public_key, expired_ts FROM signing_keys ORDER BY version DESC',
      )
      .toArray()
      .map((row) => ({
        keyId: row.key_id,
        publicKey: new Uint8Array(row.public_key),
        expiredTs: row.expired_ts,
      }))
  }
}

function makeFirstKey(sql: SqlStorage): void {
  const { n } = sql.exec<{ n: number }>('SELECT count(*) AS n FROM signing_keys').one()
  if (n > 0) return
  const seed = new Uint8Array(randomBytes(32))
  sql.exec(
    'INSERT INTO signing_keys (version, key_id, seed, public_key) VALUES (1, ?, ?, ?)',
    `ed25519:${randomBytes(4).toString('hex')}`,
    seed,
    signingKeyFromSeed(seed).publicKey,
  )
}
