// Events that the server itself makes, against the schemas of their types: in answers to clients, and as EDUs to servers.
// What users make up is theirs: tests send much that no schema has.

import {
  isJsonObject,
  type JsonObject,
  type JsonValue,
  property,
  stringProperty,
} from '../../src/matrix/json.ts'
import { documentIfAny, resolved } from './documents.ts'
import { type Mismatch, mismatches } from './schemas.ts'

const madeHere = new Set([
  'm.fully_read',
  'm.presence',
  'm.push_rules',
  'm.receipt',
  'm.room.create',
  'm.room.member',
  'm.room.tombstone',
  'm.tag',
  'm.typing',
])

/** Where the contents of events within an answer do not fit their types. */
export function eventMismatches(value: JsonValue, pointer = ''): Mismatch[] {
  if (Array.isArray(value)) return value.flatMap((item, i) => eventMismatches(item, `${pointer}/${i}`))
  if (!isJsonObject(value)) return []
  const type = stringProperty(value, 'type')
  const content = property(value, 'content')
  if (type !== undefined && isJsonObject(content)) return contentMismatches(type, value, content, pointer)
  return Object.entries(value).flatMap(([key, item]) => eventMismatches(item, `${pointer}/${key}`))
}

function contentMismatches(
  type: string,
  event: JsonObject,
  content: JsonObject,
  pointer: string,
): Mismatch[] {
  // Little is left of what was redacted.
  const isRedacted =
    property(event, 'unsigned') !== undefined && JSON.stringify(event).includes('"redacted_because"')
  const schema = madeHere.has(type) && !isRedacted ? contentSchema(type) : undefined
  return schema ? mismatches(schema, content).map((one) => within(one, `${pointer}/content`)) : []
}

/** Where the EDUs of a transaction do not fit their types. */
export function eduMismatches(transaction: JsonValue): Mismatch[] {
  const edus = isJsonObject(transaction) ? property(transaction, 'edus') : undefined
  if (!Array.isArray(edus)) return []
  return edus.flatMap((edu, i) => {
    const type = isJsonObject(edu) ? stringProperty(edu, 'edu_type') : undefined
    const schema =
      type === undefined
        ? undefined
        : documentIfAny(`api/server-server/definitions/event-schemas/${type}.yaml`)
    return schema ? mismatches(schema, edu).map((one) => within(one, `/edus/${i}`)) : []
  })
}

function contentSchema(type: string): JsonObject | undefined {
  const schema = documentIfAny(`event-schemas/schema/${type}.yaml`)
  const properties = property(schema, 'properties')
  return isJsonObject(properties) ? resolved(property(properties, 'content')) : undefined
}

function within(found: Mismatch, pointer: string): Mismatch {
  return { ...found, pointer: `${pointer}${found.pointer}` }
}
