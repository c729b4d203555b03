// A text field of an answer, which the rest of a test cannot do without.

import { type JsonObject, stringProperty } from '../../src/matrix/json.ts'

/** The field. Throws with the whole answer if it is not there. */
export function textOf(body: JsonObject, field: string): string {
  const value = stringProperty(body, field)
  if (value === undefined) throw new Error(`no ${field} in ${JSON.stringify(body)}`)
  return value
}
