// Reads the test vectors of the specification, which lie beside the project: ../shared/spec/vectors.

import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { JsonObject, JsonValue } from '../../src/matrix/json.ts'
import { isJsonObject } from '../../src/matrix/json.ts'

const folder = fileURLToPath(new URL('../../../shared/spec', import.meta.url).href)

/** A file of the specification folder as text. Throws with the path where it should be. */
export function specFile(path: string): string {
  const file = join(folder, path)
  try {
    return readFileSync(file, 'utf8')
  } catch (error) {
    throw new Error(`the specification data is missing: expected ${file}`, { cause: error })
  }
}

/** A JSON object of the specification folder. */
export function specObject(path: string): JsonObject {
  return asObject(JSON.parse(specFile(path)))
}

/** A value that a vector file has as an object. */
export function asObject(value: JsonValue | undefined): JsonObject {
  if (!isJsonObject(value)) throw new TypeError('not an object')
  return value
}

/** A value that a vector file has as a list of objects. */
export function asObjects(value: JsonValue | undefined): JsonObject[] {
  if (!Array.isArray(value)) throw new TypeError('not a list')
  return value.map(asObject)
}

/** A value that a vector file has as a string. */
export function asText(value: JsonValue | undefined): string {
  if (typeof value !== 'string') throw new TypeError('not a string')
  return value
}
