// Equality of JSON values, whatever the order of their keys.

import { isJsonObject, type JsonValue } from '../matrix/json.ts'

/** Whether two JSON values say the same. */
export function canonicalEqual(a: JsonValue, b: JsonValue): boolean {
  if (Array.isArray(a)) {
    return (
      Array.isArray(b) && a.length === b.length && a.every((item, i) => canonicalEqual(item, b[i] ?? null))
    )
  }
  if (!isJsonObject(a)) return a === b
  if (!isJsonObject(b)) return false
  const keys = Object.keys(a)
  return (
    keys.length === Object.keys(b).length &&
    keys.every((key) => Object.hasOwn(b, key) && canonicalEqual(a[key] ?? null, b[key] ?? null))
  )
}
