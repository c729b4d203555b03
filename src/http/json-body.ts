// Request bodies and query strings: parsed, checked by a valibot schema, refused with the specification's errcodes.
// Specification: client-server API, "Standard error response".

import * as v from 'valibot'
import { isMatrixError, MatrixError } from '../errors.ts'
import { isJsonObject, type JsonObject } from '../matrix/json.ts'
import { isTooDeep } from '../matrix/json-text.ts'
import type { AppContext } from './app-type.ts'
import { boundedBody } from './bounded-body.ts'

/** The largest JSON body taken, in bytes. Events are limited to 64 KiB; a few endpoints carry several of them. */
export const maxJsonBytes = 1024 * 1024

/** The body as a JSON object. Empty bodies count as `{}` where `optional`. M_NOT_JSON, M_BAD_JSON, M_TOO_LARGE. */
export async function jsonObject(c: AppContext, options: { optional?: boolean } = {}): Promise<JsonObject> {
  const declared = Number(c.req.header('Content-Length') ?? 0)
  if (declared > maxJsonBytes) throw new MatrixError('M_TOO_LARGE', 413, 'The request body is too large')
  const bytes = await boundedBody(c.req.raw.body, maxJsonBytes)
  if (bytes === undefined) throw new MatrixError('M_TOO_LARGE', 413, 'The request body is too large')
  if (bytes.byteLength === 0 && options.optional) return {}
  const value = parseUtf8Json(bytes)
  if (!isJsonObject(value)) throw new MatrixError('M_BAD_JSON', 400, 'The request body must be a JSON object')
  return value
}

function parseUtf8Json(bytes: Uint8Array): unknown {
  try {
    const text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)
    const value: unknown = JSON.parse(text)
    if (isTooDeep(text)) throw new MatrixError('M_BAD_JSON', 400, 'The request body is nested too deeply')
    return value
  } catch (error) {
    if (isMatrixError(error)) throw error
    throw new MatrixError('M_NOT_JSON', 400, 'The request body is not JSON in UTF-8')
  }
}

/** The body checked against a schema. M_MISSING_PARAM and M_INVALID_PARAM / M_BAD_JSON name the field. */
export async function jsonBody<S extends v.GenericSchema>(
  c: AppContext,
  schema: S,
  options: { optional?: boolean } = {},
): Promise<v.InferOutput<S>> {
  return checked(schema, await jsonObject(c, options), 'M_BAD_JSON')
}

/** The query parameters checked against a schema (values are strings; the first of several counts). */
export function queryParams<S extends v.GenericSchema>(c: AppContext, schema: S): v.InferOutput<S> {
  return checked(schema, c.req.query(), 'M_INVALID_PARAM')
}

/** A value checked against a schema; `invalid` is the errcode for a field of the wrong type. */
export function checked<S extends v.GenericSchema>(
  schema: S,
  value: unknown,
  invalid: 'M_BAD_JSON' | 'M_INVALID_PARAM',
): v.InferOutput<S> {
  const result = v.safeParse(schema, value, { abortEarly: true })
  if (result.success) return result.output
  const issue = result.issues[0]
  const field = v.getDotPath(issue) ?? 'body'
  if (issue.received === 'undefined') throw new MatrixError('M_MISSING_PARAM', 400, `Missing field: ${field}`)
  throw new MatrixError(invalid, 400, `Invalid field ${field}: ${issue.message}`)
}
