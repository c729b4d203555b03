// The Worker as it runs on one's own machine: the deployed one, plus what Cloudflare does around it there.
// It applies the D1 migrations before the first request (production: `wrangler d1 migrations apply`), and it alone
// decides the client's address (production: the edge sets CF-Connecting-IP, which a client cannot).

import migrations from 'hearth:migrations'
import type { Env } from '../src/env.ts'
import worker from '../src/index.ts'
import { migrateD1 } from './migrate-d1.ts'

export * from '../src/index.ts'

/** What the launcher adds to the bindings of wrangler.toml. */
export interface LocalEnv extends Env {
  /** The request header in which a reverse proxy passes the client's address. Without it, no header is believed. */
  readonly CLIENT_ADDRESS_HEADER?: string
}

let migrated: Promise<void> | undefined

export default {
  ...worker,
  async fetch(request: Request, env: LocalEnv, ctx: ExecutionContext): Promise<Response> {
    migrated ??= migrateD1(env.DB, migrations)
    await migrated
    return await worker.fetch(withClientAddress(request, env.CLIENT_ADDRESS_HEADER), env, ctx)
  },
}

function withClientAddress(request: Request, header: string | undefined): Request {
  // What is before the last comma was sent by the client, the proxy appends what it saw.
  const address = header && request.headers.get(header)?.split(',').at(-1)?.trim()
  if (!address && !request.headers.has('CF-Connecting-IP')) return request
  const headers = new Headers(request.headers)
  headers.delete('CF-Connecting-IP')
  if (address) headers.set('CF-Connecting-IP', address)
  return new Request(request, { headers })
}
