// The Worker's own requests under guard.

import type { QueuedWork } from '../../../src/federation/sender/context.ts'
import type { LocalEnv } from '../../../scripts/local-entry.ts'
import { counts, countSubrequest, invoke, report, whileActive } from './counters.ts'
import { guardEnv } from './env.ts'

interface Handler {
  fetch: (request: Request, env: LocalEnv, ctx: ExecutionContext) => Response | Promise<Response>
  queue?: (batch: MessageBatch<QueuedWork>, env: LocalEnv) => Promise<void>
}

/** The handler with its bindings, its fetches and its work after the answer under guard. `/__guard` is the report. */
export function guardWorker(worker: Handler) {
  guardFetch()
  return {
    async fetch(request: Request, env: LocalEnv, ctx: ExecutionContext): Promise<Response> {
      const { pathname } = new URL(request.url)
      if (pathname === '/__guard') return Response.json(report())
      const waitUntil = ctx.waitUntil.bind(ctx)
      Object.defineProperty(ctx, 'waitUntil', {
        value: (promise: Promise<unknown>) => waitUntil(whileActive(promise)),
      })
      return await invoke(`${request.method} ${pathname}`, undefined, () =>
        worker.fetch(request, guardEnv(env), ctx),
      )
    },
    async queue(batch: MessageBatch<QueuedWork>, env: LocalEnv): Promise<void> {
      await invoke(`queue ${batch.queue}`, undefined, () =>
        whileActive(worker.queue?.(batch, guardEnv(env)) ?? Promise.resolve()),
      )
    },
  }
}

function guardFetch(): void {
  const original = globalThis.fetch
  globalThis.fetch = (input: RequestInfo | URL, init?: RequestInit) => {
    counts.fetches += 1
    countSubrequest('another server')
    return original(input, init)
  }
}
