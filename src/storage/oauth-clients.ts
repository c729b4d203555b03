// Registered clients in D1. Specification: client-server API, "Client registration".

import { eq, sql } from 'drizzle-orm'
import type { Env } from '../env.ts'
import type { ClientMetadata } from '../oauth/client-metadata.ts'
import { database, statement } from './database.ts'
import { oauthClients as table } from './schema/oauth.ts'

// So long a registration without a session is kept.
const unusedLifetimeMs = 24 * 60 * 60 * 1000
// So old the note of when a client was registered last may be.
const noteLifetimeMs = 60 * 60 * 1000

/** Registers a client. Another one like it costs nothing; a new one takes those away that nobody uses. */
export async function registerClient(env: Env, clientId: string, metadata: ClientMetadata): Promise<void> {
  const now = Date.now()
  const text = JSON.stringify(metadata)
  const { meta } = await database(env).run(sql`
    INSERT INTO oauth_clients (client_id, metadata, registered_at) VALUES (${clientId}, ${text}, ${now})
    ON CONFLICT (client_id) DO UPDATE SET registered_at = excluded.registered_at
    WHERE registered_at < ${now - noteLifetimeMs}`)
  if (meta.changes > 0) await forgetUnused(env, now)
}

// A client with a session is never forgotten, nor one that may be in the middle of its first.
async function forgetUnused(env: Env, now: number): Promise<void> {
  const unused = sql`
    DELETE FROM oauth_clients WHERE registered_at < ${now - unusedLifetimeMs}
    AND NOT EXISTS (SELECT 1 FROM refresh_tokens WHERE refresh_tokens.client_id = oauth_clients.client_id)`
  await env.DB.batch([statement(env, unused)])
}

/** What a client has registered, undefined for one that there is not. */
export async function findClient(env: Env, clientId: string): Promise<ClientMetadata | undefined> {
  const row = await database(env).select().from(table).where(eq(table.clientId, clientId)).get()
  return row && (JSON.parse(row.metadata) as ClientMetadata)
}
