// A server that asks us something can be reached again, perhaps: if the sender is backing off from it, it tries at once.

import { type Env, federationSenderStub } from '../../env.ts'
import type { AppContext } from '../../http/app-type.ts'
import { errorMessage, log } from '../../log.ts'
import type { ServerName } from '../../matrix/event.ts'

// Most servers are well: the few that are not are asked for once in a while, instead of telling about each request.
const keptMs = 60_000
const failing = new WeakMap<Env, { readonly servers: Promise<Set<ServerName>>; readonly until: number }>()

/** Notes that a server was heard of. Returns at once. */
export function heardOf({ env, executionCtx }: AppContext, server: ServerName): void {
  executionCtx.waitUntil(
    wakeIfFailing(env, server).catch((error: unknown) =>
      log({ event: 'not_woken', destination: server, error: errorMessage(error) }),
    ),
  )
}

async function wakeIfFailing(env: Env, server: ServerName): Promise<void> {
  const servers = await failingServers(env)
  // Once is enough.
  if (servers.delete(server)) await federationSenderStub(env).wake(server)
}

async function failingServers(env: Env): Promise<Set<ServerName>> {
  const known = failing.get(env)
  if (known && known.until > Date.now()) return await known.servers
  const servers = federationSenderStub(env)
    .failingDestinations()
    .then((names) => new Set(names))
  failing.set(env, { servers, until: Date.now() + keptMs })
  return await servers
}
