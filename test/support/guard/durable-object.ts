// Durable Objects under guard: their calls, their rows, and the limits of their SQLite.

import { DurableObject } from 'cloudflare:workers'
import type { LocalEnv } from '../../../scripts/local-entry.ts'
import {
  classCounts,
  counts,
  currentInvocation,
  invoke,
  noteAlarm,
  violate,
  whileActive,
} from './counters.ts'
import { guardEnv } from './env.ts'
import { checkMessage, checkStatement } from './limits.ts'

type ObjectClass = new (ctx: DurableObjectState, env: LocalEnv) => DurableObject<LocalEnv>
type Method = (this: object, ...args: unknown[]) => unknown

/** The class with its storage, its bindings and its calls under guard. */
export function guardObject(Base: ObjectClass, name: string): ObjectClass {
  class Guarded extends Base {
    constructor(ctx: DurableObjectState, env: LocalEnv) {
      guardState(ctx, name)
      super(ctx, guardEnv(env))
    }
  }
  for (const [key, method] of methods(Base.prototype)) {
    Object.defineProperty(Guarded.prototype, key, { value: guardMethod(`${name}.${key}`, name, method) })
  }
  return Guarded
}

function methods(prototype: object): [string, Method][] {
  return Object.entries(Object.getOwnPropertyDescriptors(prototype)).flatMap(([key, { value }]) =>
    key !== 'constructor' && typeof value === 'function' ? [[key, value as Method] as [string, Method]] : [],
  )
}

function guardMethod(label: string, className: string, method: Method): Method {
  return function (...args) {
    // A call from within the object is no request.
    if (currentInvocation()?.object === this) return method.apply(this, args)
    if (/\.webSocket(Message|Close|Error)$/.test(label)) counts.doMessages += 1
    else {
      counts.doRequests += 1
      classCounts(className).requests += 1
    }
    return invoke(label, this, () => {
      checkMessage(args, 'arguments')
      const result = method.apply(this, args)
      if (!(result instanceof Promise)) return checkMessage(result, 'result')
      return whileActive(result.then((value: unknown) => checkMessage(value, 'result')))
    })
  }
}

// The real objects are changed in place: the base class of Durable Objects takes nothing that merely looks like them.
function guardState(ctx: DurableObjectState, className: string): void {
  const { storage } = ctx
  const { sql } = storage
  const waitUntil = ctx.waitUntil.bind(ctx)
  Object.defineProperty(ctx, 'waitUntil', {
    value: (promise: Promise<unknown>) => waitUntil(whileActive(promise)),
  })
  Object.defineProperty(ctx, 'storage', { value: storage })
  Object.defineProperty(storage, 'sql', { value: sql })
  Object.defineProperty(sql, 'exec', { value: guardedExec(sql, className) })
  guardKeyValue(storage, className)
}

function guardedExec(sql: SqlStorage, className: string) {
  const exec = sql.exec.bind(sql)
  return (query: string, ...params: (string | number | ArrayBuffer | null)[]) => {
    checkStatement(query, params)
    return countRows(exec(query, ...params), className)
  }
}

// A cursor counts on while it is read.
function countRows<T extends Record<string, SqlStorageValue>>(
  cursor: SqlStorageCursor<T>,
  className: string,
) {
  let [written, read] = [0, 0]
  const update = () => {
    const newlyWritten = cursor.rowsWritten - written
    const newlyRead = cursor.rowsRead - read
    written += newlyWritten
    read += newlyRead
    counts.doRowsWritten += newlyWritten
    counts.doRowsRead += newlyRead
    classCounts(className).rowsWritten += newlyWritten
    classCounts(className).rowsRead += newlyRead
  }
  update()
  for (const key of ['toArray', 'one', 'next'] as const) {
    const method = cursor[key].bind(cursor)
    Object.defineProperty(cursor, key, { value: () => updated(method(), update) })
  }
  Object.defineProperty(cursor, Symbol.iterator, {
    value: () => countIteration(() => cursor.next(), update),
  })
  const raw = cursor.raw.bind(cursor)
  Object.defineProperty(cursor, 'raw', {
    value: () => {
      const rows = raw()
      return countIteration(() => rows.next(), update)
    },
  })
  return cursor
}

function updated<T>(value: T, update: () => void): T {
  update()
  return value
}

function* countIteration<T>(next: () => IteratorResult<T>, update: () => void): Generator<T> {
  for (let result = next(); !result.done; result = next()) {
    update()
    yield result.value
  }
  update()
}

function guardKeyValue(storage: DurableObjectStorage, className: string): void {
  const write = (rows: number) => {
    counts.doRowsWritten += rows
    classCounts(className).rowsWritten += rows
  }
  const setAlarm = storage.setAlarm.bind(storage)
  Object.defineProperty(storage, 'setAlarm', {
    value: (time: number | Date) => {
      write(1)
      noteAlarm(storage, Number(time))
      return setAlarm(time)
    },
  })
  // The objects of this server keep everything in SQL; what is not counted may not be used.
  for (const key of ['get', 'put', 'delete', 'list'] as const) {
    Object.defineProperty(storage, key, { value: () => violate(`storage.${key} is not counted: use SQL`) })
  }
}
