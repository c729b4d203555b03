// Reads an event for push conditions. One reader serves all users an event is evaluated for, so that long values
// are folded once and not once for each rule of each user.

import { boundedMemo } from '../bounded-memo.ts'
import { foldCase } from '../glob.ts'
import type { JsonObject, JsonValue } from '../json.ts'
import { parsePropertyPath, valueAtPath } from '../property-path.ts'

export interface EventReader {
  /** What the event holds at a dot-separated path, or undefined. */
  readonly value: (path: string) => JsonValue | undefined
  /** The same made comparable without regard to case; undefined where the event holds no string. */
  readonly folded: (path: string) => string | undefined
}

const pathOf = boundedMemo(512, parsePropertyPath)

/** A reader of an event in the form clients get it, with `room_id`. */
export function readEvent(event: JsonObject): EventReader {
  const foldedValues = new Map<string, string | undefined>()
  const value = (path: string) => valueAtPath(event, pathOf(path))
  const folded = (path: string) => {
    if (foldedValues.has(path)) return foldedValues.get(path)
    const found = value(path)
    const text = typeof found === 'string' ? foldCase(found) : undefined
    foldedValues.set(path, text)
    return text
  }
  return { value, folded }
}
