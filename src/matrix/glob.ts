// Globs: `*` is any run of characters, `?` exactly one. Specification: appendices, "Glob-style matching".
//
// A pattern is cut at its stars. Taking for each piece the leftmost place that fits is then always right, so
// nothing is ever retried. Pieces are searched for 32 of their characters at a time (the Shift-And algorithm): a
// match costs at most value length times a 32nd of the pattern length, whatever a pattern looks like.

/** What stands between two stars. */
interface Piece {
  readonly text: string
  /** Whether `?` in the text stands for any character; without one the engine's own comparison is used. */
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
    from = findEnd(part, subject, from)
    if (from < 0) return false
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
  let from = findEnd(first, subject, 0, atBoundary, last === undefined ? atBoundary : anywhere)
  if (last === undefined) return from >= 0
  for (const part of [...middle, last]) {
    if (from < 0) return false
    from = findEnd(part, subject, from, anywhere, part === last ? atBoundary : anywhere)
  }
  return from >= 0
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

function anywhere(): boolean {
  return true
}

/** Where the leftmost piece ends that starts at `from` or later and at places that are accepted, or -1. */
function findEnd(
  part: Piece,
  value: string,
  from: number,
  acceptsStart: (at: number) => boolean = anywhere,
  acceptsEnd: (at: number) => boolean = anywhere,
): number {
  const { masks, singles, length } = bitMasks(part)
  // Bit n of the state: whether the first n + 1 characters of the piece end here.
  const state = new Uint32Array(singles.length)
  for (let at = from; at <= value.length;) {
    if (length === 0 && acceptsStart(at) && acceptsEnd(at)) return at
    const char = value.codePointAt(at) ?? 0
    let carry = acceptsStart(at) ? 1 : 0
    const mask = masks.get(char) ?? singles
    for (let word = 0; word < state.length; word += 1) {
      const bits = state[word] ?? 0
      state[word] = ((bits << 1) | carry) & (mask[word] ?? 0)
      carry = bits >>> 31
    }
    at += char > 0xffff ? 2 : 1
    if (at <= value.length && hasBit(state, length - 1) && acceptsEnd(at)) return at
  }
  return -1
}

/** For each character the places in the piece where it fits, as bits; `singles` for all that are not listed. */
function bitMasks({ text, hasSingles }: Piece) {
  const chars = Array.from(text, (char) => char.codePointAt(0) ?? 0)
  const isSingle = (char: number) => hasSingles && char === 0x3f
  const singles = new Uint32Array(Math.ceil(chars.length / 32))
  for (const [index, char] of chars.entries()) if (isSingle(char)) setBit(singles, index)
  const masks = new Map<number, Uint32Array>()
  for (const [index, char] of chars.entries()) {
    if (isSingle(char)) continue
    const mask = masks.get(char) ?? singles.slice()
    setBit(mask, index)
    masks.set(char, mask)
  }
  return { masks, singles, length: chars.length }
}

function setBit(bits: Uint32Array, index: number): void {
  bits[index >>> 5] = (bits[index >>> 5] ?? 0) | (1 << (index & 31))
}

function hasBit(bits: Uint32Array, index: number): boolean {
  return index >= 0 && ((bits[index >>> 5] ?? 0) & (1 << (index & 31))) !== 0
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
