// Parsing JSON without losing what JavaScript hides: `1.0`, `1e3` and `-0` parse to what `1`, `1000` and `0` parse to, and
// large integers lose digits. Such tokens are reported beside the value. Appendices, "Canonical JSON".

import type { JsonValue } from './json.ts'

export type JsonPath = readonly (string | number)[]

/** Something in a JSON text that strict canonical JSON does not allow, with the way to it: at most 8 steps. */
export interface JsonFault {
  readonly kind: 'float' | 'negative-zero' | 'integer-range' | 'non-finite' | 'lone-surrogate' | 'depth'
  readonly path: JsonPath
}

export interface ParsedJson {
  readonly value: JsonValue
  /** Empty for a text that strict canonical JSON can represent. */
  readonly faults: readonly JsonFault[]
}

// Bounds the memory a text of many faults at a great depth can take. Callers look at the first few steps.
const pathSteps = 8
/** So deep may arrays and objects lie in each other. What lies deeper overflows the stack of whatever walks over it. */
export const maxDepth = 1000
// A number with a fraction, an exponent, 16 digits or a negative zero where a number may stand.
const suspectNumber = /(?:^|[[:,])[ \t\n\r]*(?:-0|-?\d+[.eE]|-?\d{16})/
const escapedSurrogate = /\\u[dD][89a-fA-F]/

/**
 * Parses a JSON text; of duplicate keys the last wins, `__proto__` is a key like any other. Reports what room version 6 and
 * later must refuse, so that a caller who parses many events at once can drop those concerned (`path` is
 * `['pdus', 3, …]`). Throws SyntaxError for what is not JSON.
 */
export function parseJson(text: string): ParsedJson {
  const value: JsonValue = JSON.parse(text)
  const suspect =
    suspectNumber.test(text) || escapedSurrogate.test(text) || !text.isWellFormed() || isTooDeep(text)
  return { value, faults: suspect ? findFaults(text) : [] }
}

/** Whether arrays and objects lie in each other more than 1000 deep in a text known to be JSON. */
export function isTooDeep(text: string): boolean {
  if (text.length < 2 * maxDepth) return false
  let depth = 0
  for (let at = 0; at < text.length; at++) {
    const token = text.charCodeAt(at)
    if (token === quotationMark) at = endOfString(text, at) - 1
    else if (token === openBracket || token === openBrace) depth += 1
    else if (token === closeBracket || token === closeBrace) depth -= 1
    if (depth > maxDepth) return true
  }
  return false
}

const [quotationMark, openBracket, closeBracket, openBrace, closeBrace] = [0x22, 0x5b, 0x5d, 0x7b, 0x7d]

/** Walks over the tokens of a text known to be JSON. */
function findFaults(text: string): JsonFault[] {
  const faults: JsonFault[] = []
  // One step for each open container: the index in an array, the key in an object.
  const path: (string | number)[] = []
  let expectsKey = false
  let at = 0
  const report = (kind: JsonFault['kind'] | undefined): void => {
    if (kind !== undefined) faults.push({ kind, path: path.slice(0, pathSteps) })
  }

  while (at < text.length) {
    const start = at
    const token = text[at++]
    if (token === '{') {
      path.push('')
      expectsKey = true
      report(path.length === maxDepth + 1 ? 'depth' : undefined)
    } else if (token === '[') {
      path.push(0)
      expectsKey = false
      report(path.length === maxDepth + 1 ? 'depth' : undefined)
    } else if (token === '}' || token === ']') {
      path.pop()
      expectsKey = false
    } else if (token === ',') {
      expectsKey = nextMember(path)
    } else if (token === ':') {
      expectsKey = false
    } else if (token === '"') {
      at = endOfString(text, start)
      const content = unquote(text.slice(start, at))
      if (expectsKey) path[path.length - 1] = content
      report(content.isWellFormed() ? undefined : 'lone-surrogate')
    } else if (token !== undefined && isNumberCharacter(token)) {
      while (isNumberCharacter(text[at] ?? '')) at++
      report(numberFault(text.slice(start, at)))
    } else if (token === 't' || token === 'n') {
      at += 3
    } else if (token === 'f') {
      at += 4
    }
  }
  return faults
}

/** Steps on to the next member of the innermost container. Answers whether a key follows. */
function nextMember(path: (string | number)[]): boolean {
  const step = path.at(-1)
  if (typeof step !== 'number') return true
  path[path.length - 1] = step + 1
  return false
}

/** The position behind the closing quotation mark of the string that begins at `start`. */
function endOfString(text: string, start: number): number {
  let at = start + 1
  while (text[at] !== '"') at += text[at] === '\\' ? 2 : 1
  return at + 1
}

function unquote(quoted: string): string {
  if (!quoted.includes('\\')) return quoted.slice(1, -1)
  const content: unknown = JSON.parse(quoted)
  return String(content)
}

function isNumberCharacter(character: string): boolean {
  return (character >= '0' && character <= '9') || (character !== '' && '-+.eE'.includes(character))
}

function numberFault(token: string): JsonFault['kind'] | undefined {
  const value = Number(token)
  if (!Number.isFinite(value)) return 'non-finite'
  if (/[.eE]/.test(token)) return 'float'
  if (token === '-0') return 'negative-zero'
  return Number.isSafeInteger(value) ? undefined : 'integer-range'
}
