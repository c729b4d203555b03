// The Worker in workerd on this machine, through the Miniflare API: shared by launcher, tests and bench.

import { createRequire } from 'node:module'
import { join } from 'node:path'
import type { Readable } from 'node:stream'
import { Miniflare, type MiniflareOptions } from 'miniflare'
import { modulesRoot, type BundleModule } from './bundle.ts'
import { noFederation, type NodeHandler } from './federation-transport.ts'
import { readWranglerConfig, type WranglerConfig } from './wrangler-config.ts'

export interface RuntimeOptions {
  readonly modules: readonly BundleModule[]
  /** Where all data goes. */
  readonly dataDir: string
  readonly host: string
  /** 0 takes any free port. */
  readonly port: number
  /** Text variables, over those of wrangler.toml. */
  readonly vars?: Readonly<Record<string, string>>
  /** What requests to other servers go through. Default: they are refused. */
  readonly federation?: NodeHandler
  /** Where mails go that no provider sends. Default: nowhere, there are none then. */
  readonly mail?: NodeHandler
  /** Takes each line that the Worker or workerd prints. Default: standard output and standard error. */
  readonly onLine?: (line: string, stream: 'stdout' | 'stderr') => void
}

export interface Runtime {
  readonly mf: Miniflare
  /** Where it answers, without a slash at the end. */
  readonly url: string
}

/** Starts workerd. The promise is fulfilled when it has answered a request, so D1 is migrated by then. */
export async function startRuntime(options: RuntimeOptions): Promise<Runtime> {
  process.env.MINIFLARE_WORKERD_PATH = join(import.meta.dirname, 'workerd.sh')
  const mf = new Miniflare(runtimeOptions(options))
  try {
    await mf.ready
    const { origin } = await mf.unsafeGetDirectURL()
    const response = await fetch(`${origin}/_matrix/client/versions`)
    await response.arrayBuffer()
    if (response.status === 500) throw new Error('the Worker does not start, see the lines above')
    return { mf, url: origin }
  } catch (error) {
    await mf.dispose()
    throw error
  }
}

// One process and no subrequest limit: sessions may be kept in memory, a sync may ask any number of rooms, and the sender
// serves any number of servers itself. Nobody
// pays for requests, rows or duration, so there is presence, and what a crash left is looked after at once.
const ownMachine = {
  SESSION_CACHE: 'on',
  ROOMS_PER_SYNC: '1000',
  PRESENCE: 'on',
  SENDER_CONNECTIONS: '50',
  SENDER_QUEUE_FROM: '1000000',
  ORIGIN_REQUESTS_PER_DAY: '1000000',
  ORIGIN_PDUS_PER_DAY: '1000000',
  ROOM_ALARM_SECONDS: '5',
}

// Miniflare's options for the Worker of wrangler.toml.
function runtimeOptions(options: RuntimeOptions, config = readWranglerConfig()): MiniflareOptions {
  return {
    name: config.name,
    modulesRoot,
    modules: options.modules.map((module) => ({ ...module })),
    compatibilityDate: config.compatibility_date,
    compatibilityFlags: config.compatibility_flags,
    bindings: { ...config.vars, ...ownMachine, ...options.vars },
    ...storageOptions(config, options.dataDir),
    ...queueOptions(config),
    serviceBindings: {
      FEDERATION_TRANSPORT: { node: options.federation ?? noFederation },
      ...(options.mail && { MAIL_SINK: { node: options.mail } }),
    },
    ratelimits: Object.fromEntries(config.ratelimits.map(({ name, ...limit }) => [name, limit])),
    // The port of the server leads straight to the Worker. Miniflare's own entry, which among other things hands
    // out R2 objects to anyone who sends `Host: localhost`, stays on a random port of the loopback interface.
    unsafeDirectSockets: [{ host: options.host, port: options.port }],
    host: '127.0.0.1',
    port: 0,
    // No look-up of this machine's place in the world, nothing written outside of the data folder.
    cf: false,
    telemetry: { enabled: false },
    logRequests: false,
    unsafeRuntimeEnv: {
      HEARTH_WORKERD: workerdPath(),
      HEARTH_PARENT: String(process.pid),
      HEARTH_PID_FILE: pidFile(options.dataDir),
    },
    handleRuntimeStdio: (stdout: Readable, stderr: Readable) => {
      const onLine = options.onLine ?? print
      stdout.setEncoding('utf8').on(
        'data',
        lines((line) => onLine(line, 'stdout')),
      )
      stderr.setEncoding('utf8').on(
        'data',
        lines((line) => onLine(line, 'stderr')),
      )
    },
  }
}

/** The file that holds the process id of the workerd that uses a data folder. */
export function pidFile(dataDir: string): string {
  return join(dataDir, 'workerd.pid')
}

function storageOptions(config: WranglerConfig, dataDir: string) {
  const sqliteClasses = new Set(config.migrations.flatMap((migration) => migration.new_sqlite_classes))
  return {
    durableObjects: Object.fromEntries(
      config.durable_objects.bindings.map(({ name, class_name: className }) => [
        name,
        { className, useSQLite: sqliteClasses.has(className) },
      ]),
    ),
    durableObjectsPersist: join(dataDir, 'durable-objects'),
    d1Databases: Object.fromEntries(config.d1_databases.map((db) => [db.binding, db.database_name])),
    d1Persist: join(dataDir, 'd1'),
    r2Buckets: config.r2_buckets.map((bucket) => bucket.binding),
    r2Persist: join(dataDir, 'r2'),
  }
}

function queueOptions({ queues: { producers, consumers } }: WranglerConfig) {
  return {
    queueProducers: Object.fromEntries(producers.map(({ binding, queue }) => [binding, queue])),
    queueConsumers: Object.fromEntries(
      consumers.map((consumer) => [
        consumer.queue,
        {
          maxBatchSize: consumer.max_batch_size,
          maxBatchTimeout: consumer.max_batch_timeout,
          maxRetries: consumer.max_retries,
        },
      ]),
    ),
  }
}

function workerdPath(): string {
  const found: { default: string } = createRequire(import.meta.resolve('miniflare'))('workerd')
  return found.default
}

function print(line: string, stream: 'stdout' | 'stderr'): void {
  process[stream].write(`${line}\n`)
}

function lines(take: (line: string) => void): (chunk: string) => void {
  let rest = ''
  return (chunk) => {
    const parts = `${rest}${chunk}`.split('\n')
    rest = parts.pop() ?? ''
    parts.forEach(take)
  }
}
