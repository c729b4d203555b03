// A whole server for a test: the Worker in workerd on a free port of 127.0.0.1, with data of its own.

import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Miniflare } from 'miniflare'
import { bundle, type BundleModule } from '../../scripts/bundle.ts'
import type { NodeHandler } from '../../scripts/federation-transport.ts'
import { startRuntime } from '../../scripts/runtime.ts'
import type { Hub } from '../../src/hub/hub.ts'
import type { JsonValue } from '../../src/matrix/json.ts'
import type { Room } from '../../src/room/room.ts'
import { isOneOfOurs, watchTransport } from '../contract/watch-transport.ts'
import type { Counts, GuardReport } from './guard/counters.ts'

export interface ServerOptions {
  /** Text variables over the defaults of a test server. */
  readonly vars?: Readonly<Record<string, string>>
  /** Data to start from and to leave there. Default: a new folder that goes with the server. */
  readonly dataDir?: string
  /** A free port by default. */
  readonly port?: number
  /** What requests to other servers go through. Default: they are refused. */
  readonly federation?: NodeHandler
  /** Where mails go. Default: there is no mail. */
  readonly mail?: NodeHandler
  /** Entry of another Worker, for the tests of the guard. */
  readonly entry?: string
}

export interface RequestOptions {
  readonly token?: string
  /** Sent as JSON. */
  readonly body?: JsonValue
  readonly headers?: Readonly<Record<string, string>>
}

export interface Answer<T> {
  readonly status: number
  readonly body: T
  readonly headers: Headers
}

export interface Account {
  readonly userId: string
  readonly token: string
  readonly deviceId: string
}

export const testServerName = 'test.local'

const testVars = { SERVER_NAME: testServerName, REGISTRATION: 'open', RATE_LIMITS: 'off', KEY_NOTARIES: '' }

const guardedEntry = join(import.meta.dirname, 'guarded-entry.ts')

const bundles = new Map<string, Promise<BundleModule[]>>()

export type TestServer = Awaited<ReturnType<typeof startServer>>

/** Starts a server. */
export async function startServer(options: ServerOptions = {}) {
  const dataDir = options.dataDir ?? (await mkdtemp(join(tmpdir(), 'hearth-test-')))
  const logs: string[] = []
  const vars = { ...testVars, ...options.vars }
  isOneOfOurs(vars.SERVER_NAME)
  const { mf, url } = await startRuntime({
    modules: await bundled(options.entry ?? guardedEntry),
    dataDir,
    host: '127.0.0.1',
    port: options.port ?? 0,
    vars,
    ...(options.federation && { federation: watchTransport(options.federation) }),
    ...(options.mail && { mail: options.mail }),
    onLine: (line) => logs.push(line),
  })
  let running = true
  const kill = async () => {
    if (!running) return
    running = false
    await mf.dispose()
    if (options.dataDir === undefined) await rm(dataDir, { recursive: true, force: true })
  }
  return {
    url,
    dataDir,
    mf,
    /** Every line that the Worker and workerd printed. */
    logs,
    ...httpClient(url),
    room: (roomId: string) => stub<Room>(mf, 'ROOM', roomId),
    hub: (shard = 0) => stub<Hub>(mf, 'HUB', `hub-${shard}`),
    /** What the guard counted so far. */
    report: () => guardReport(url),
    /** What `run` cost, with the work that went on after its answers. */
    measure: (run: () => Promise<unknown>) => measure(url, run),
    /** Ends workerd at once, whatever it is at, without asking what the guard found. */
    kill,
    /** Ends the server. Throws when it has broken a limit of the platform, whatever the test looked at. */
    async stop(): Promise<void> {
      const { violations } = await guardReport(url)
      await kill()
      if (violations.length > 0)
        throw new Error(`limits of the platform were broken:\n${violations.join('\n')}`)
    },
  }
}

function bundled(entry: string): Promise<BundleModule[]> {
  const known = bundles.get(entry) ?? bundle(entry)
  bundles.set(entry, known)
  return known
}

async function guardReport(url: string): Promise<GuardReport> {
  const response = await fetch(`${url}/__guard`)
  const report: GuardReport = JSON.parse(await response.text())
  return report
}

async function measure(url: string, run: () => Promise<unknown>): Promise<Counts> {
  const { counts: before } = await calmReport(url)
  await run()
  const { counts: after } = await idleReport(url)
  const names = Object.keys(after) as (keyof Counts)[]
  return Object.fromEntries(names.map((name) => [name, after[name] - before[name]])) as unknown as Counts
}

// How long a measurement takes at most, in milliseconds, and how long it waits for the alarms of what was done before it.
const measured = 3_000
const patience = 20_000

/** A report at a time when no alarm of before will come. */
async function calmReport(url: string): Promise<GuardReport> {
  const deadline = Date.now() + patience
  for (;;) {
    const report = await idleReport(url)
    const soon = report.alarms.some((time) => time > Date.now() - 500 && time < Date.now() + measured)
    if (!soon || Date.now() > deadline) return report
    await sleep(100)
  }
}

// Fan-out and alarms go on after an answer: they have come to rest when two reports in a row are the same.
async function idleReport(url: string): Promise<GuardReport> {
  let last = await guardReport(url)
  for (;;) {
    await sleep(50)
    const next = await guardReport(url)
    if (next.active === 0 && JSON.stringify(next.counts) === JSON.stringify(last.counts)) return next
    last = next
  }
}

/** Requests to a server at a base URL. */
export function httpClient(url: string) {
  return {
    register: (localpart: string) => register(url, localpart),
    fetch: (path: string, init?: RequestInit) => fetch(`${url}${path}`, init),
    /** A request whose answer is JSON, an object unless the caller says otherwise. An empty answer is `{}`. */
    async request<T = Record<string, JsonValue>>(
      method: string,
      path: string,
      { token, body, headers = {} }: RequestOptions = {},
    ): Promise<Answer<T>> {
      const response = await fetch(`${url}${path}`, {
        method,
        headers: {
          ...(token === undefined ? {} : { Authorization: `Bearer ${token}` }),
          ...(body === undefined ? {} : { 'Content-Type': 'application/json' }),
          ...headers,
        },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      })
      const text = await response.text()
      return { status: response.status, body: JSON.parse(text || '{}') as T, headers: response.headers }
    },
  }
}

async function register(url: string, localpart: string): Promise<Account> {
  const { status, body } = await httpClient(url).request<Record<string, string>>(
    'POST',
    '/_matrix/client/v3/register',
    {
      body: { username: localpart, password: `password of ${localpart}`, auth: { type: 'm.login.dummy' } },
    },
  )
  const { user_id: userId, access_token: token, device_id: deviceId } = body
  if (userId === undefined || token === undefined || deviceId === undefined) {
    throw new Error(`could not register ${localpart}: ${status} ${JSON.stringify(body)}`)
  }
  return { userId, token, deviceId }
}

async function stub<T extends Rpc.DurableObjectBranded>(
  mf: Miniflare,
  binding: string,
  name: string,
): Promise<DurableObjectStub<T>> {
  const namespace = await mf.getDurableObjectNamespace(binding)
  // Miniflare's own types know nothing of the class behind a binding.
  return namespace.get(namespace.idFromName(name)) as unknown as DurableObjectStub<T>
}
