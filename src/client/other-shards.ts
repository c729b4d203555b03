// Users on other Hub shards are to each other as those on one: what happens in rooms beside their events, receipts and typing,
// reaches all shards, and what each knows is put together.

import { config } from '../config.ts'
import { type Env, hubStub } from '../env.ts'
import type { Hub } from '../hub/hub.ts'

/**
 * Tells every Hub shard but the user's own, which was told before and has checked what the user may do. With a single
 * shard there is nobody to tell.
 */
export async function tellOtherShards(
  env: Env,
  own: number,
  tell: (hub: DurableObjectStub<Hub>) => Promise<void>,
): Promise<void> {
  const others = shards(env).filter((shard) => shard !== own)
  await Promise.all(others.map((shard) => tell(hubStub(env, shard))))
}

/** What every Hub shard answers. */
export async function askShards<T>(env: Env, ask: (hub: DurableObjectStub<Hub>) => Promise<T>): Promise<T[]> {
  return await Promise.all(shards(env).map((shard) => ask(hubStub(env, shard))))
}

function shards(env: Env): number[] {
  return Array.from({ length: config(env).hubShards }, (_, shard) => shard)
}
