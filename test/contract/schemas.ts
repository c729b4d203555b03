// Values against JSON Schemas of the documents. A schema is compiled when it is first needed, with the files it refers to.

import { Ajv2020, type ErrorObject, type ValidateFunction } from 'ajv/dist/2020.js'
import type { JsonObject, JsonValue } from '../../src/matrix/json.ts'
import { addressOf, document, referredFiles } from './documents.ts'

export interface Mismatch {
  /** JSON pointer into the value. */
  readonly pointer: string
  /** Keyword of the schema; with `required`, the field after a space. */
  readonly rule: string
  readonly message: string
  /** What is there. */
  readonly found: unknown
}

const ajv = new Ajv2020({
  allErrors: true,
  verbose: true,
  // The documents have keywords of OpenAPI and of their own.
  strict: false,
  validateSchema: false,
  logger: false,
  formats: {
    'mx-user-id': /^@/,
    'mx-room-id': /^!/,
    'mx-event-id': /^\$/,
    'mx-room-alias': /^#/,
    'mx-mxc-uri': /^mxc:\/\/[^/]+\/[\w-]+$/,
    'mx-server-name': /^(?:\[[0-9A-Fa-f:.]{2,45}\]|[0-9A-Za-z.-]{1,255})(?::\d{1,5})?$/,
    'mx-unpadded-base64': /^[A-Za-z0-9+/]*$/,
    'mx-urlsafe-unpadded-base64': /^[A-Za-z0-9_-]*$/,
    uri: (text: string) => URL.canParse(text),
    email: /^[^@\s]+@[^@\s]+$/,
    int64: true,
    float: true,
  },
})

const compiled = new WeakMap<JsonObject, ValidateFunction>()

/** Where a value does not fit its schema. */
export function mismatches(schema: JsonObject, value: JsonValue): Mismatch[] {
  const validate = compiled.get(schema) ?? compile(schema)
  if (validate(value)) return []
  return (validate.errors ?? []).map(mismatch)
}

function compile(schema: JsonObject): ValidateFunction {
  addReferred(schema)
  const validate = ajv.compile(schema)
  compiled.set(schema, validate)
  return validate
}

function addReferred(schema: JsonValue): void {
  for (const file of referredFiles(schema)) {
    if (ajv.schemas[addressOf(file)] !== undefined) continue
    ajv.addSchema(document(file), addressOf(file))
    addReferred(document(file))
  }
}

function mismatch(error: ErrorObject): Mismatch {
  const { instancePath: pointer, keyword, message = keyword, params, data: found } = error
  const rule = keyword === 'required' ? `required ${String(params['missingProperty'])}` : keyword
  const detail = 'allowedValues' in params ? `: ${JSON.stringify(params['allowedValues'])}` : ''
  return { pointer, rule, message: `${message}${detail}`, found }
}
