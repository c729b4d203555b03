// Limits of the platform on what is sent and stored. Sizes are approximate.

import { violate } from './counters.ts'

const megabyte = 1024 * 1024

// Bytes of a value: exact for strings and binary data, a few bytes for anything else.
function sizeOf(value: unknown, seen = new Set<object>()): number {
  if (typeof value === 'string') return Buffer.byteLength(value)
  if (value instanceof ArrayBuffer || ArrayBuffer.isView(value)) return value.byteLength
  if (typeof value !== 'object' || value === null || seen.has(value)) return 8
  seen.add(value)
  if (value instanceof Map) return sizeOf([...value], seen)
  if (value instanceof Set || Array.isArray(value)) {
    return [...value].reduce((sum: number, item) => sum + sizeOf(item, seen), 8)
  }
  return Object.entries(value).reduce((sum, [key, item]) => sum + key.length + sizeOf(item, seen), 8)
}

/** The limits that SQLite has in Durable Objects and in D1 alike. */
export function checkStatement(query: string, params: readonly unknown[], maxRow = 2 * megabyte): void {
  if (query.length > 100_000) violate(`a statement of ${query.length} bytes, 100,000 are allowed`)
  if (params.length > 100) violate(`${params.length} parameters, 100 are allowed: ${query}`)
  const bytes = params.reduce((sum: number, param) => sum + sizeOf(param), 0)
  if (bytes > maxRow) violate(`parameters of ${bytes} bytes, rows can have ${maxRow}: ${query}`)
}

/** The limit of RPC messages. Returns the value. */
export function checkMessage<T>(value: T, what: string): T {
  const bytes = sizeOf(value)
  if (bytes > 32 * megabyte) violate(`RPC ${what} of ${bytes} bytes, 32 MiB are allowed`)
  return value
}
