// Taking a large JSON object apart while it arrives: the elements of some of its lists and the values of some of its members,
// each as a piece of text of its own. A piece is then parsed by the platform, which is fast and leaves the text to be looked at
// for what JavaScript hides (matrix/json-text.ts); everything else is passed over. Memory holds one piece at a time.

import { MatrixError } from '../../errors.ts'

export interface JsonPiece {
  readonly key: string
  /** Whether it is an element of a list. */
  readonly listed: boolean
  /** JSON text, which was not parsed yet and may be malformed. */
  readonly text: string
}

export interface JsonMembersOptions {
  /** Members whose lists are given element by element. */
  readonly lists: readonly string[]
  /** Members that are given whole. */
  readonly values: readonly string[]
  /** The largest piece, in bytes. */
  readonly maxPieceBytes: number
  /** Whether the object comes as the second of two elements, as the first version of some endpoints has it. */
  readonly wrapped?: boolean
}

export interface JsonMembers {
  /** The pieces that end in these bytes, the next of the text. M_BAD_JSON, M_TOO_LARGE for a piece that is too large. */
  readonly feed: (bytes: Uint8Array) => JsonPiece[]
  /** M_BAD_JSON if the text is not at its end. */
  readonly end: () => void
}

const code = (character: string): number => character.charCodeAt(0)
const [quote, backslash, comma, colon] = [code('"'), code('\\'), code(','), code(':')]
const [openBrace, closeBrace, openBracket, closeBracket] = [code('{'), code('}'), code('['), code(']')]
const whitespace = [' ', '\t', '\n', '\r'].map(code)

/** Takes a text apart. */
export function jsonMembers({
  lists,
  values,
  maxPieceBytes,
  wrapped = false,
}: JsonMembersOptions): JsonMembers {
  // How many containers are around the members of the object.
  const inObject = wrapped ? 2 : 1
  const captured = capture(maxPieceBytes)
  let depth = 0
  let inString = false
  let escaped = false
  let part: 'before' | 'key' | 'value' | 'list' | 'after' = 'before'
  let key = ''
  // Whether something of the present member's value, or of the present list, was there already.
  let begun = false
  let pieces: JsonPiece[] = []

  const open = (byte: number, at: number): void => {
    const opensList =
      depth === inObject && part === 'value' && !begun && byte === openBracket && lists.includes(key)
    begun = true
    depth += 1
    if (part === 'before' && depth <= inObject) {
      require(byte === (depth === inObject ? openBrace : openBracket))
      if (depth < inObject) return
      part = 'key'
      captured.begin(at + 1)
    } else if (opensList) {
      part = 'list'
      begun = false
      captured.begin(at + 1)
    }
  }

  const endMember = (last: boolean): void => {
    const text = captured.end()
    // An object may have no members, but nothing else may be missing.
    if (part === 'key') require(last && text?.trim() === '' && key === '')
    else if (values.includes(key)) pieces.push({ key, listed: false, text: text ?? '' })
  }

  const endElement = (last: boolean): void => {
    const text = captured.end() ?? ''
    if (!last || begun || text.trim() !== '') pieces.push({ key, listed: true, text })
  }

  const close = (byte: number, at: number): void => {
    if (part === 'list' && depth === inObject + 1) {
      require(byte === closeBracket)
      captured.upTo(at)
      endElement(true)
      part = 'value'
      begun = true
    } else if (depth === inObject && part !== 'after') {
      require(byte === closeBrace)
      captured.upTo(at)
      endMember(true)
      part = 'after'
    }
    depth -= 1
    require(depth >= 0)
  }

  const separate = (at: number): void => {
    if (part === 'list' && depth === inObject + 1) {
      captured.upTo(at)
      endElement(false)
      begun = true
      captured.begin(at + 1)
    } else if (depth === inObject && part !== 'after') {
      captured.upTo(at)
      endMember(false)
      part = 'key'
      captured.begin(at + 1)
    }
  }

  const endKey = (at: number): void => {
    captured.upTo(at)
    key = parsedKey(captured.end() ?? '')
    part = 'value'
    begun = false
    if (values.includes(key)) captured.begin(at + 1)
  }

  const take = (byte: number, at: number): void => {
    if (inString) {
      if (escaped) escaped = false
      else if (byte === backslash) escaped = true
      else if (byte === quote) inString = false
      return
    }
    if (whitespace.includes(byte)) return
    if (byte === openBrace || byte === openBracket) {
      require(depth > 0 || part === 'before')
      return open(byte, at)
    }
    // Nothing but the one object.
    require(depth > 0)
    if (byte === closeBrace || byte === closeBracket) return close(byte, at)
    if (byte === comma) return separate(at)
    if (byte === colon && depth === inObject && part === 'key') return endKey(at)
    if (byte === quote) inString = true
    if (part === 'value' || (part === 'list' && depth === inObject + 1)) begun = true
  }

  return {
    feed: (bytes) => {
      pieces = []
      captured.read(bytes)
      for (let at = 0; at < bytes.length; at += 1) {
        // Most of a text is within strings.
        if (inString && !escaped) at = endOfPlain(bytes, at)
        if (at < bytes.length) take(bytes[at] ?? 0, at)
      }
      captured.upTo(bytes.length)
      return pieces
    },
    end: () => require(depth === 0 && part === 'after'),
  }
}

// Where a string ends, or something in it is escaped.
function endOfPlain(bytes: Uint8Array, from: number): number {
  let at = from
  while (at < bytes.length && bytes[at] !== quote && bytes[at] !== backslash) at += 1
  return at
}

/** Gathers a stretch of a text that comes in several arrays of bytes. */
function capture(maxBytes: number) {
  const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })
  let bytes: Uint8Array = new Uint8Array()
  let parts: Uint8Array[] | undefined
  let from = 0
  let length = 0
  return {
    read(next: Uint8Array): void {
      bytes = next
      from = 0
    },
    begin(at: number): void {
      parts = []
      from = at
      length = 0
    },
    /** Takes what there is up to a position, if anything is gathered. */
    upTo(at: number): void {
      if (!parts) return
      length += at - from
      if (length > maxBytes) throw new MatrixError('M_TOO_LARGE', 413, 'A part of the answer is too large')
      parts.push(bytes.slice(from, at))
      from = at
    },
    /** What was gathered, undefined if nothing was to be. */
    end(): string | undefined {
      if (!parts) return undefined
      const all = parts.length === 1 && parts[0] ? parts[0] : Buffer.concat(parts)
      parts = undefined
      return decoded(decoder, all)
    },
  }
}

function decoded(decoder: TextDecoder, bytes: Uint8Array): string {
  try {
    return decoder.decode(bytes)
  } catch {
    throw badJson()
  }
}

function parsedKey(text: string): string {
  try {
    const key: unknown = JSON.parse(text)
    if (typeof key === 'string') return key
  } catch {
    // Falls through to the same refusal.
  }
  throw badJson()
}

function require(condition: boolean): void {
  if (!condition) throw badJson()
}

function badJson(): MatrixError {
  return new MatrixError('M_BAD_JSON', 400, 'The answer is not the JSON that was asked for')
}
