// Globs: `*` is any run of characters, `?` exactly one. Specification: appendices, "Glob-style matching".
//
// A pattern is cut at its stars. Taking for each piece the leftmost place that fits is then always right, so
// nothing is ever retried: no pattern costs more than pattern length times value length.

/** What stands between two stars. */
interface Piece {
  readonly text: string
  /** Whether `?` in the text stands for any character; without one the engine's own string search is used. */
  readonly hasSingles: boolean
}

/** A compiled pattern: its pieces are separated by stars, so there is always at least one. */
export interface Glob {
  readonly first: Piece
  /** The pieces between the first and the last, none of them empty. */
  readonly middle: readonly Piece[]
  /** Undefined for a pattern without a star. */
  readonly last: Piece | undefined
  readonly caseInsensitive: boolean
}

export interface GlobOptions {
  /** Compare without regard to case, as `foldCase` defines it. Default false. */
  readonly caseInsensitive?: boolean
  /** `?` is an ordinary character: filters know only the star. Default false. */
  readonly starOnly?: boolean
}

/** The form in which strings are compared case-insensitively; the specification leaves its definition to us. */
export function foldCase(text: string): string {
  return text.toLowerCase()
}

/** Compiles a pattern. Every string is a valid pattern. */
export function compileGlob(pattern: string, options: GlobOptions = {}): Glob {
  const caseInsensitive = options.caseInsensitive ?? false
  const texts = (caseInsensitive ? foldCase(pattern) : pattern).split('*')
  const pieces = texts.map((text) => piece(text, options.starOnly !== true && text.includes('?')))
  return {
    first: pieces[0] ?? piece('', false),
    middle: pieces.slice(1, -1).filter(({ text }) => text !== ''),
    last: pieces.length > 1 ? pieces.at(-1) : undefined,
    caseInsensitive,
  }
}

/** A glob for exactly this text, in which `*` and `?` are ordinary characters. */
export function literalGlob(text: string): Glob {
  return { first: piece(text, false), middle: [], last: undefined, caseInsensitive: false }
}

function piece(text: string, hasSingles: boolean): Piece {
  return { text, hasSingles }
}

/** Whether the whole value matches. */
export function matchesGlob(glob: Glob, value: string): boolean {
  const subject = glob.caseInsensitive ? foldCase(value) : value
  const { first, middle, last } = glob
  let from = endAt(first, subject, 0)
  if (from < 0) return false
  if (last === undefined) return from === subject.length
  const lastStart = startBefore(last, subject)
  for (const part of middle) {
    const start = find(part, subject, from)
    if (start < 0) return false
    from = endAt(part, subject, start)
  }
  return from <= lastStart
}

/**
 * Whether some substring that starts and ends at a word boundary matches.
 * Specification: client-server API, push rules, `event_match` on `content.body`.
 */
export function matchesGlobWords(glob: Glob, value: string): boolean {
  const subject = glob.caseInsensitive ? foldCase(value) : value
  const { first, middle, last } = glob
  const atBoundary = (at: number) => isWordBoundary(subject, at)
  if (last === undefined) {
    return find(first, subject, 0, (start, end) => atBoundary(start) && atBoundary(end)) >= 0
  }
  const start = find(first, subject, 0, atBoundary)
  if (start < 0) return false
  let from = endAt(first, subject, start)
  for (const part of middle) {
    const found = find(part, subject, from)
    if (found < 0) return false
    from = endAt(part, subject, found)
  }
  return find(last, subject, from, (_, end) => atBoundary(end)) >= 0
}

/**
 * Whether a word can start or end at this position. The ends of the value are boundaries and so is any character
 * outside [A-Za-z0-9_], on either side of the position: "@room" is found in "hey@room".
 */
function isWordBoundary(value: string, at: number): boolean {
  return !isWordUnit(value.charCodeAt(at - 1)) || !isWordUnit(value.charCodeAt(at))
}

/** Whether a UTF-16 unit is in [A-Za-z0-9_]; NaN, what lies beyond the ends, is not. */
function isWordUnit(unit: number): boolean {
  return (
    (unit >= 0x61 && unit <= 0x7a) ||
    (unit >= 0x41 && unit <= 0x5a) ||
    (unit >= 0x30 && unit <= 0x39) ||
    unit === 0x5f
  )
}

/** The leftmost start at or after `from` where the piece fits and `accept` agrees, or -1. */
function find(
  part: Piece,
  value: string,
  from: number,
  accept: (start: number, end: number) => boolean = () => true,
): number {
  const next = (at: number) => (part.hasSingles ? at : value.indexOf(part.text, at))
  for (let start = next(from); start >= 0 && start <= value.length; start = next(start + 1)) {
    const end = endAt(part, value, start)
    if (end >= 0 && accept(start, end)) return start
    // Searching for an empty text beyond the end would find the end again.
    if (start === value.length) break
  }
  return -1
}

/** Where the piece ends when it starts at `start`, or -1 if it does not fit there. */
function endAt(part: Piece, value: string, start: number): number {
  const { text, hasSingles } = part
  if (!hasSingles) return value.startsWith(text, start) ? start + text.length : -1
  let at = start
  for (let index = 0; index < text.length; index += 1) {
    if (at >= value.length) return -1
    if (text[index] === '?') at += isPair(value, at) ? 2 : 1
    else if (text[index] === value[at]) at += 1
    else return -1
  }
  return at
}

/** Where the piece starts when it ends at the end of the value, or -1 if it does not fit there. */
function startBefore(part: Piece, value: string): number {
  const { text, hasSingles } = part
  if (!hasSingles) return value.endsWith(text) ? value.length - text.length : -1
  let at = value.length
  for (let index = text.length - 1; index >= 0; index -= 1) {
    if (at <= 0) return -1
    if (text[index] === '?') at -= isPair(value, at - 2) ? 2 : 1
    else if (text[index] === value[at - 1]) at -= 1
    else return -1
  }
  return at
}

/** Whether one character outside the Basic Multilingual Plane, two UTF-16 units, starts here. */
function isPair(value: string, at: number): boolean {
  return (value.codePointAt(at) ?? 0) > 0xffff
}
