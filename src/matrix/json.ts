// JSON values as the Matrix specification uses them, and narrow readers for untrusted ones.

export type JsonValue = null | boolean | number | string | JsonValue[] | JsonObject
export interface JsonObject {
  [key: string]: JsonValue
}

/** Whether a value is a JSON object: not null, not an array. */
export function isJsonObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** An own property of an object, or undefined: never something inherited such as `constructor`. */
export function property(object: JsonObject | undefined, key: string): JsonValue | undefined {
  return object !== undefined && Object.hasOwn(object, key) ? object[key] : undefined
}

/** An own property if it is a string, else undefined. */
export function stringProperty(object: JsonObject | undefined, key: string): string | undefined {
  const value = property(object, key)
  return typeof value === 'string' ? value : undefined
}

/** An own property if it is a JSON object, else undefined. */
export function objectProperty(object: JsonObject | undefined, key: string): JsonObject | undefined {
  const value = property(object, key)
  return isJsonObject(value) ? value : undefined
}

/** The object under a key, put there where there is none yet. */
export function childObject(object: JsonObject, key: string): JsonObject {
  const known = objectProperty(object, key)
  if (known) return known
  const fresh: JsonObject = {}
  object[key] = fresh
  return fresh
}
