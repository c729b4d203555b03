// Canonical JSON: the one text of a JSON value that is signed and hashed. Appendices, "Canonical JSON";
// rooms/fragments/v1-canonical-json.md (versions 1-5, lenient) and v6-canonical-json.md (6 and later, strict).

import type { JsonFault, JsonPath } from './json-text.ts'
import { maxDepth, parseJson } from './json-text.ts'
import type { JsonObject, JsonValue } from './json.ts'

export interface CanonicalJsonOptions {
  /** Whether only integers within ±(2^53-1) are allowed: room version 6 and later. */
  readonly strict: boolean
  /** Top-level keys to leave out, such as `signatures` and `unsigned`. */
  readonly omit?: readonly string[]
}

/** A value that has no canonical JSON. `path` leads to the culprit, outermost key first. */
export class CanonicalJsonError extends Error {
  readonly path: JsonPath

  constructor(reason: string, path: JsonPath) {
    // Keys may be long and hostile: messages end up in answers and logs.
    super(path.length === 0 ? reason : `${path.join('.').slice(0, 200)}: ${reason}`)
    this.name = 'CanonicalJsonError'
    this.path = path
  }
}

const plainAscii = /^[ !#-[\]-~]*$/
const anySurrogate = /[\ud800-\udfff]/

/**
 * The canonical JSON of a value: no white space, keys in the order of their Unicode code points.
 * Strict refuses floats, -0 and integers beyond ±(2^53-1); otherwise numbers are written as JavaScript prints them.
 * Throws CanonicalJsonError, always for lone surrogates, non-finite numbers and nesting beyond 1000 levels.
 */
export function canonicalJson(value: JsonValue, options: CanonicalJsonOptions): string {
  return writeValue(value, options, [])
}

/**
 * Parses a text that must be canonical-JSON-able, judged by the text itself: strict also refuses `1.0`, `1e3` and `-0`,
 * which JSON.parse makes indistinguishable from integers. White space and key order are free.
 * Throws SyntaxError for what is not JSON and CanonicalJsonError for the rest.
 */
export function parseCanonical(text: string, options: { readonly strict: boolean }): JsonValue {
  const { value, faults } = parseJson(text)
  const fault = faults.find(({ kind }) => options.strict || isFaultEverywhere(kind))
  if (fault !== undefined) throw new CanonicalJsonError(faultReasons[fault.kind], fault.path)
  return value
}

const faultReasons: Record<JsonFault['kind'], string> = {
  float: 'not an integer',
  'negative-zero': 'negative zero',
  'integer-range': 'integer out of range',
  'non-finite': 'number too large',
  'lone-surrogate': 'lone surrogate',
  depth: 'nested too deeply',
}

/** Whether no room version can represent what was found. */
function isFaultEverywhere(kind: JsonFault['kind']): boolean {
  return kind === 'lone-surrogate' || kind === 'non-finite' || kind === 'depth'
}

// `path` is one array pushed to and popped from, read only when something is thrown.
type Path = (string | number)[]

function writeValue(value: JsonValue | undefined, options: CanonicalJsonOptions, path: Path): string {
  if (typeof value === 'string') return writeString(value, path)
  if (typeof value === 'number') return writeNumber(value, options.strict, path)
  if (value === null || typeof value === 'boolean') return String(value)
  if (typeof value !== 'object') throw new CanonicalJsonError('not a JSON value', path)
  if (path.length >= maxDepth) throw new CanonicalJsonError('nested too deeply', path.slice(0, 8))
  return Array.isArray(value) ? writeArray(value, options, path) : writeObject(value, options, path)
}

function writeString(value: string, path: Path): string {
  if (plainAscii.test(value)) return `"${value}"`
  if (!value.isWellFormed()) throw new CanonicalJsonError('lone surrogate', path)
  // JSON.stringify escapes exactly what the canonical grammar wants escaped, in the same form.
  return JSON.stringify(value)
}

function writeNumber(value: number, strict: boolean, path: Path): string {
  if (!Number.isFinite(value)) throw new CanonicalJsonError('not a finite number', path)
  if (strict && !Number.isInteger(value)) throw new CanonicalJsonError('not an integer', path)
  if (strict && !Number.isSafeInteger(value)) throw new CanonicalJsonError('integer out of range', path)
  if (strict && Object.is(value, -0)) throw new CanonicalJsonError('negative zero', path)
  return String(value)
}

function writeArray(values: readonly JsonValue[], options: CanonicalJsonOptions, path: Path): string {
  let text = '['
  for (let index = 0; index < values.length; index++) {
    path.push(index)
    text += (index === 0 ? '' : ',') + writeValue(values[index], options, path)
    path.pop()
  }
  return `${text}]`
}

function writeObject(object: JsonObject, options: CanonicalJsonOptions, path: Path): string {
  const omit = path.length === 0 ? options.omit : undefined
  let text = '{'
  for (const key of sortedKeys(object)) {
    if (omit?.includes(key) === true) continue
    path.push(key)
    text += (text === '{' ? '' : ',') + writeString(key, path) + ':' + writeValue(object[key], options, path)
    path.pop()
  }
  return `${text}}`
}

function sortedKeys(object: JsonObject): string[] {
  const keys = Object.keys(object)
  // UTF-16 order, which sort() uses, differs from code point order only where surrogates occur.
  return keys.some((key) => anySurrogate.test(key)) ? keys.sort(compareCodePoints) : keys.sort()
}

/** Orders two texts by Unicode code point. */
export function compareCodePoints(left: string, right: string): number {
  const shorter = Math.min(left.length, right.length)
  for (let at = 0; at < shorter; at++) {
    const difference = codePointRank(left.charCodeAt(at)) - codePointRank(right.charCodeAt(at))
    if (difference !== 0) return difference
  }
  return left.length - right.length
}

/** Moves surrogates, the halves of code points above U+FFFF, behind all other UTF-16 units. */
function codePointRank(unit: number): number {
  if (unit < 0xd800) return unit
  return unit < 0xe000 ? unit + 0x2000 : unit - 0x800
}
