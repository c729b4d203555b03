// The OpenAPI documents of the specification, read one by one when something is asked of them. They are beside the project
// where it is developed, not in it.

import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { parse } from 'yaml'
import { isJsonObject, type JsonObject, type JsonValue, property } from '../../src/matrix/json.ts'

const specFolder = join(import.meta.dirname, '../../../shared/spec')
const scheme = 'spec:///'

/** Whether the documents are on this machine. */
export const documentsAreHere = existsSync(join(specFolder, 'api'))

/** A text file of the specification's data. */
export function specText(file: string): string {
  return readFileSync(join(specFolder, file), 'utf8')
}

const documents = new Map<string, JsonObject>()

/** A document by its file name in the specification's data. Each `$ref` in it is absolute. */
export function document(file: string): JsonObject {
  const known = documents.get(file)
  if (known) return known
  // Dates stay text, as they are in JSON.
  const content: JsonValue = parse(specText(file), { schema: 'core' })
  const read = absolute(content, `${scheme}${file}`)
  if (!isJsonObject(read)) throw new Error(`${file} is no document`)
  documents.set(file, read)
  return read
}

/** The same, or undefined if there is none of this name. */
export function documentIfAny(file: string): JsonObject | undefined {
  return documents.has(file) || existsSync(join(specFolder, file)) ? document(file) : undefined
}

/** What a `$ref` points at, or the value itself when it is none. */
export function resolved(value: JsonValue | undefined): JsonObject | undefined {
  if (!isJsonObject(value)) return undefined
  const ref = property(value, '$ref')
  return typeof ref === 'string' ? resolved(pointedAt(ref)) : value
}

/** The files that a schema refers to, directly. */
export function referredFiles(value: JsonValue, found = new Set<string>()): Set<string> {
  if (Array.isArray(value)) for (const item of value) referredFiles(item, found)
  if (!isJsonObject(value)) return found
  for (const [key, item] of Object.entries(value)) {
    if (key === '$ref' && typeof item === 'string') found.add(fileOf(item))
    else referredFiles(item, found)
  }
  return found
}

/** The address of a file within `$ref`s. */
export function addressOf(file: string): string {
  return `${scheme}${file}`
}

function fileOf(ref: string): string {
  return (ref.split('#', 1)[0] ?? '').slice(scheme.length)
}

function pointedAt(ref: string): JsonValue | undefined {
  const pointer = decodeURIComponent(ref.split('#')[1] ?? '')
  const steps = pointer
    .split('/')
    .slice(1)
    .map((step) => step.replaceAll('~1', '/').replaceAll('~0', '~'))
  let value: JsonValue | undefined = document(fileOf(ref))
  for (const step of steps) value = isJsonObject(value) ? property(value, step) : undefined
  return value
}

function absolute(value: JsonValue, base: string): JsonValue {
  if (Array.isArray(value)) return value.map((item) => absolute(item, base))
  if (!isJsonObject(value)) return value
  const entries = Object.entries(value).map(([key, item]): [string, JsonValue] => {
    // What examples hold are no schemas, though they have references of their own.
    if (key === 'example' || key === 'examples') return [key, {}]
    if (key === '$ref' && typeof item === 'string') return [key, new URL(item, base).href]
    return [key, absolute(item, base)]
  })
  return Object.fromEntries(entries)
}
