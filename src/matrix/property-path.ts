// Paths to a property of an event: names joined by dots. Specification: appendices, "Dot-separated property paths".

import { isJsonObject, type JsonObject, type JsonValue, property } from './json.ts'

/** The property names of a path. `\.` and `\\` stand for a dot and a backslash within a name. */
export function parsePropertyPath(path: string): readonly string[] {
  const names: string[] = []
  let name = ''
  for (let index = 0; index < path.length; index += 1) {
    const unit = path.charAt(index)
    const next = path.charAt(index + 1)
    if (unit === '\\' && (next === '.' || next === '\\')) {
      name += next
      index += 1
    } else if (unit === '.') {
      names.push(name)
      name = ''
    } else {
      // Any other escape is left as it is, backslash included.
      name += unit
    }
  }
  return [...names, name]
}

/** What an object holds at a path, or undefined. Arrays have no properties here. */
export function valueAtPath(object: JsonObject, names: readonly string[]): JsonValue | undefined {
  let value: JsonValue | undefined = object
  for (const name of names) {
    if (!isJsonObject(value)) return undefined
    value = property(value, name)
  }
  return value
}
