// The bindings of the Worker under guard.

import type { LocalEnv } from '../../../scripts/local-entry.ts'
import { counts, countSubrequest, currentInvocation, violate } from './counters.ts'
import { checkStatement } from './limits.ts'

const guarded = new WeakMap<object, LocalEnv>()

/** The same bindings, each counting its calls and holding to its limits. */
export function guardEnv(env: LocalEnv): LocalEnv {
  const known = guarded.get(env)
  if (known) return known
  const fresh: LocalEnv = {
    ...env,
    DB: guardD1(env.DB),
    MEDIA: guardR2(env.MEDIA),
    ROOM: guardNamespace(env.ROOM, 'Room'),
    HUB: guardNamespace(env.HUB, 'Hub'),
    SERVER_KEYS: guardNamespace(env.SERVER_KEYS, 'ServerKeys'),
    PASSWORD_HASHER: guardNamespace(env.PASSWORD_HASHER, 'PasswordHasher'),
    REMOTE_JOIN: guardNamespace(env.REMOTE_JOIN, 'RemoteJoin'),
    EVENT_FETCHER: guardNamespace(env.EVENT_FETCHER, 'EventFetcher'),
    FEDERATION_SENDER: guardNamespace(env.FEDERATION_SENDER, 'FederationSender'),
    APPSERVICE_SENDER: guardNamespace(env.APPSERVICE_SENDER, 'AppserviceSender'),
    FEDERATION_QUEUE: guardQueue(env.FEDERATION_QUEUE),
    ...(env.FEDERATION_TRANSPORT && { FEDERATION_TRANSPORT: guardTransport(env.FEDERATION_TRANSPORT) }),
    ...(env.MAIL_SINK && { MAIL_SINK: guardTransport(env.MAIL_SINK) }),
  }
  guarded.set(env, fresh)
  return fresh
}

// Stands for what is a plain fetch when deployed.
function guardTransport(transport: Fetcher): Fetcher {
  return announced(transport, () => {
    counts.fetches += 1
    countSubrequest('another server')
  })
}

// Written, read and deleted: three operations a message.
function guardQueue<T>(queue: Queue<T>): Queue<T> {
  const count = (messages: number) => {
    counts.queueOperations += 3 * messages
    countSubrequest('a queue')
  }
  return {
    ...announced(queue, () => undefined),
    send: (body) => {
      count(1)
      return queue.send(body)
    },
    sendBatch: (messages) => {
      const list = [...messages]
      count(list.length)
      return queue.sendBatch(list)
    },
  }
}

/** An object whose methods are first announced to `before`, all else being as it was. */
function announced<T extends object>(
  target: T,
  before: (name: string) => void,
  after?: (result: unknown) => unknown,
): T {
  return new Proxy(target, {
    get(_, key) {
      const value: unknown = Reflect.get(target, key, target)
      if (typeof value !== 'function' || typeof key !== 'string') return value
      return (...args: unknown[]) => {
        before(key)
        // Not through the value: calls of a stub are bound to the stub.
        const result: unknown = Reflect.apply(value, target, args)
        return after ? after(result) : result
      }
    },
  })
}

function guardNamespace<T extends Rpc.DurableObjectBranded>(
  namespace: DurableObjectNamespace<T>,
  name: string,
): DurableObjectNamespace<T> {
  // Making ids and stubs costs nothing, calling a stub does.
  return announced(
    namespace,
    () => undefined,
    (result) =>
      isStub(result) ? announced(result, (method) => countSubrequest(`${name}.${method}`)) : result,
  )
}

function isStub(value: unknown): value is DurableObjectStub {
  return typeof value === 'object' && value !== null && 'id' in value && 'fetch' in value
}

function guardR2(bucket: R2Bucket): R2Bucket {
  const count = (method: string) => {
    counts.r2Operations += 1
    countSubrequest(`R2 ${method}`)
  }
  return announced(bucket, count, (result) =>
    result instanceof Promise
      ? result.then((value: unknown) => (isMultipartUpload(value) ? announced(value, count) : value))
      : result,
  )
}

function isMultipartUpload(value: unknown): value is R2MultipartUpload {
  return typeof value === 'object' && value !== null && 'uploadPart' in value
}

function guardD1(db: D1Database): D1Database {
  const prepare = (query: string) => guardStatement(db.prepare(query), query, [])
  const batch = async <T>(statements: D1PreparedStatement[]) => {
    countQueries(statements.length, 'batch')
    return (await db.batch<T>(statements)).map(counted)
  }
  return new Proxy(db, {
    get(_, key) {
      if (key === 'prepare') return prepare
      if (key === 'batch') return batch
      return () => violate(`D1 ${String(key)} is not counted: use prepare or batch`)
    },
  })
}

// Changed in place: `batch` takes nothing but real statements.
function guardStatement(
  statement: D1PreparedStatement,
  query: string,
  params: unknown[],
): D1PreparedStatement {
  const original = {
    bind: statement.bind.bind(statement),
    all: statement.all.bind(statement),
    raw: statement.raw.bind(statement),
  }
  const all = async () => {
    checkStatement(query, params, 1024 * 1024)
    countQueries(1, query)
    return counted(await original.all())
  }
  const first = async (column?: string) => {
    const row = (await all()).results[0]
    return row === undefined ? null : column === undefined ? row : row[column]
  }
  const raw = async () => {
    // Only `all` tells how many rows were written; it would lose columns of the same name, which only a SELECT has.
    if (!/^\s*select\b/i.test(query)) return (await all()).results.map((row) => Object.values(row))
    checkStatement(query, params)
    countQueries(1, query)
    const rows = await original.raw()
    counts.d1RowsRead += rows.length
    return rows
  }
  return Object.assign(statement, {
    bind: (...values: unknown[]) => guardStatement(original.bind(...values), query, values),
    all,
    run: all,
    first,
    raw,
  })
}

function counted<T>(result: D1Result<T>): D1Result<T> {
  counts.d1RowsWritten += result.meta.rows_written
  counts.d1RowsRead += result.meta.rows_read
  return result
}

function countQueries(queries: number, what: string): void {
  counts.d1Queries += queries
  countSubrequest(`D1: ${what}`)
  const invocation = currentInvocation()
  if (!invocation) return
  invocation.d1Queries += queries
  if (invocation.d1Queries > 1000) violate('more than 1,000 D1 queries in one request')
}
