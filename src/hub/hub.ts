// The Hub: a shard of local users. It owns their sync log, memberships, devices, account data, unread counts and
// typing; what a room tells it comes in through `inbox.ts`, what a client is told goes out through `sync.ts`.
// The class is only the RPC surface: every method hands over to a function of the file that has its name.

import { DurableObject } from 'cloudflare:workers'
import type { Env } from '../env.ts'
import { migrate } from '../storage/durable-migrations.ts'
import { openHub, type HubContext } from './context.ts'
import { hubMigrations } from './schema.ts'

export class Hub extends DurableObject<Env> {
  readonly #hub: HubContext

  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env)
    migrate(ctx.storage, hubMigrations)
    this.#hub = openHub(ctx, env)
  }
}
