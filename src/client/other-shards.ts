// What happens in rooms beside their events reaches the users of every Hub shard: receipts and typing.

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
  const shards = Array.from({ length: config(env).hubShards }, (_, shard) => shard)
  await Promise.all(shards.filter((shard) => shard !== own).map((shard) => tell(hubStub(env, shard))))
}
