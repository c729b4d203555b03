// A request and its answer against the document of their operation.
// Specification: client-server API, "Standard error response", "Rate limiting", "User-interactive API in the REST API".

import {
  isJsonObject,
  type JsonObject,
  type JsonValue,
  objectProperty,
  property,
  stringProperty,
} from '../../src/matrix/json.ts'
import { resolved } from './documents.ts'
import { eduMismatches, eventMismatches } from './events.ts'
import { type MatchedOperation, type Operation, operationOf, type Parameter } from './operations.ts'
import { type Mismatch, mismatches } from './schemas.ts'

export interface Exchange {
  readonly method: string
  /** Path and query. */
  readonly target: string
  readonly requestHeaders: Headers
  /** Empty for none; undefined for one that is no text, or too long to be looked at. */
  readonly requestBody: string | undefined
  readonly status: number
  readonly headers: Headers
  /** Undefined where it is no JSON, or too much of it to be looked at. */
  readonly body: string | undefined
  /** Whether a server of ours has asked, not a test. */
  readonly askedByUs: boolean
  /** Whether the answer is of a server of ours, not of one that a test makes up. */
  readonly answeredByUs: boolean
}

export interface Violation extends Mismatch {
  /** Method and path of the operation, or of the request where no document has it. */
  readonly operation: string
  /** Which part of the exchange it is in: `request body`, `answer 200` … */
  readonly part: string
}

export interface Checked {
  /** Of the operation, where the specification has it. */
  readonly operation: string | undefined
  readonly violations: readonly Violation[]
}

// What any endpoint may answer without its document saying so: the standard errors, and 408, which the application service API has
// for those who wait for a user or a room in vain.
const commonStatuses = new Set([400, 401, 403, 404, 405, 408, 413, 429])

/** What of a request and its answer is not as the documents say. */
export function check(exchange: Exchange): Checked {
  const { pathname: path, searchParams: query } = new URL(exchange.target, 'http://localhost')
  const matched = operationOf(exchange.method, path)
  const name = matched?.operation.name ?? `${exchange.method} ${path}`
  const accepted = exchange.status >= 200 && exchange.status < 300
  const of = (part: string) => (found: Mismatch) => ({ operation: name, part, ...found })
  const violations = [
    ...(matched && (accepted || exchange.askedByUs)
      ? requestMismatches(matched, query, exchange).map(([part, m]) => of(part)(m))
      : []),
    ...(exchange.answeredByUs
      ? answerMismatches(matched?.operation, path, exchange).map(of(`answer ${exchange.status}`))
      : []),
  ]
  return { operation: matched?.operation.name, violations }
}

function requestMismatches(
  { operation, pathParameters }: MatchedOperation,
  query: URLSearchParams,
  { requestBody, requestHeaders, askedByUs }: Exchange,
): [string, Mismatch][] {
  const found = operation.parameters.flatMap((parameter): [string, Mismatch][] => {
    const value = parameterValue(parameter, pathParameters, query, requestHeaders)
    return parameterMismatches(parameter, value).map((one) => [parameter.in, one])
  })
  return [
    ...found,
    ...bodyMismatches(operation, requestBody, askedByUs).map((one): [string, Mismatch] => [
      'request body',
      one,
    ]),
  ]
}

function parameterValue(
  { name, in: place, schema }: Parameter,
  pathParameters: Readonly<Record<string, string>>,
  query: URLSearchParams,
  headers: Headers,
): JsonValue | undefined {
  if (place === 'path') return pathParameters[name]
  if (place === 'header') return headers.get(name) ?? undefined
  if (property(schema, 'type') === 'array') return query.has(name) ? query.getAll(name) : undefined
  const text = query.get(name)
  return text === null ? undefined : typed(text, property(schema, 'type'))
}

// A number or truth value where the schema wants one and the text is one.
function typed(text: string, type: JsonValue | undefined): JsonValue {
  if (type === 'integer' && /^-?\d+$/.test(text)) return Number(text)
  if (type === 'boolean' && /^(?:true|false)$/.test(text)) return text === 'true'
  return text
}

function parameterMismatches(
  { name, required, schema }: Parameter,
  value: JsonValue | undefined,
): Mismatch[] {
  if (value !== undefined) {
    return mismatches(schema, value).map((one) => ({ ...one, pointer: `/${name}${one.pointer}` }))
  }
  return required ? [{ pointer: `/${name}`, rule: 'required', message: 'is missing', found: undefined }] : []
}

function bodyMismatches(
  { requestBody }: Operation,
  text: string | undefined,
  askedByUs: boolean,
): Mismatch[] {
  const schema = jsonSchema(requestBody)
  if (!schema || text === undefined) return []
  if (text === '') {
    return property(requestBody, 'required') === true
      ? [{ pointer: '', rule: 'required', message: 'there is none', found: undefined }]
      : []
  }
  const value = parsed(text)
  if (value === undefined) return [notJson(text)]
  return [...mismatches(schema, value), ...(askedByUs ? eduMismatches(value) : [])]
}

function answerMismatches(operation: Operation | undefined, path: string, exchange: Exchange): Mismatch[] {
  const { status, headers, requestHeaders } = exchange
  // Parts of content, and content that the client has already, are HTTP's own affair.
  if (isConditional(requestHeaders) && [206, 304, 416].includes(status)) return []
  const response = operation?.responses?.get(status)
  if (status >= 400) return errorMismatches(operation, response, path, exchange)
  if (operation?.responses === undefined) return []
  if (!response) {
    return [{ pointer: '', rule: 'status', message: 'is no status of this endpoint', found: status }]
  }
  const isForClients = path.startsWith('/_matrix/client/')
  return [...headerMismatches(response, headers), ...contentMismatches(response, exchange, isForClients)]
}

function isConditional(headers: Headers): boolean {
  return headers.has('Range') || headers.has('If-None-Match') || headers.has('If-Modified-Since')
}

function headerMismatches(response: JsonObject, headers: Headers): Mismatch[] {
  return Object.entries(objectProperty(response, 'headers') ?? {}).flatMap(([name, value]) => {
    const header = resolved(value)
    const schema = resolved(property(header, 'schema')) ?? {}
    const required = property(header, 'required') === true
    return parameterMismatches({ name, in: 'header', required, schema }, headers.get(name) ?? undefined)
  })
}

function contentMismatches(
  response: JsonObject,
  { headers, body }: Exchange,
  isForClients: boolean,
): Mismatch[] {
  const types = Object.keys(objectProperty(response, 'content') ?? {})
  if (types.length === 0) return []
  const type = headers.get('Content-Type') ?? ''
  // Octet-stream stands for any content that users have uploaded.
  if (types.includes('application/octet-stream')) return []
  if (!types.includes(mediaType(type))) {
    return [{ pointer: '', rule: 'content type', message: `must be ${types.join(', ')}`, found: type }]
  }
  const schema = jsonSchema(response)
  if (!schema || body === undefined) return []
  const value = parsed(body)
  if (value === undefined) return [notJson(body)]
  return [...mismatches(schema, value), ...(isForClients ? eventMismatches(value) : [])]
}

function errorMismatches(
  operation: Operation | undefined,
  response: JsonObject | undefined,
  path: string,
  { status, headers, body }: Exchange,
): Mismatch[] {
  // Other paths have no standard errors.
  if (!path.startsWith('/_matrix/')) return []
  const unknown = operation?.responses && !response && !commonStatuses.has(status)
  const found: Mismatch[] = unknown
    ? [{ pointer: '', rule: 'status', message: 'is no status of this endpoint', found: status }]
    : []
  const type = headers.get('Content-Type') ?? ''
  // Pages of fallbacks are for people.
  if (!operation?.responses && mediaType(type) === 'text/html') return found
  if (mediaType(type) !== 'application/json') {
    return [...found, { pointer: '', rule: 'content type', message: 'must be application/json', found: type }]
  }
  if (body === undefined) return found
  const value = parsed(body)
  if (!isJsonObject(value)) return [...found, notJson(body)]
  // Where the OAuth 2.0 API is off it is not there, as any other endpoint that is not.
  if (path.includes('/hearth/oauth/') && status !== 404) return [...found, ...oauthMismatches(value, headers)]
  return [...found, ...errorBodyMismatches(response, status, value), ...retryMismatches(status, headers)]
}

function errorBodyMismatches(response: JsonObject | undefined, status: number, body: JsonObject): Mismatch[] {
  // Interactive authentication asks with status 401, and has an error only when a stage has failed. A token that is
  // refused at such an endpoint is a standard error all the same.
  const asks = status === 401 && property(body, 'flows') !== undefined
  const schema = asks || status !== 401 ? jsonSchema(response) : undefined
  const standard = ['errcode', 'error'].flatMap((field): Mismatch[] =>
    stringProperty(body, field) !== undefined || asks
      ? []
      : [{ pointer: `/${field}`, rule: 'error', message: 'must be there, a string', found: body }],
  )
  return [...standard, ...(schema ? mismatches(schema, body) : [])]
}

// RFC 6749, section 5.2. Client-server API, "API Standards": endpoints that other specifications define use their rules.
function oauthMismatches(body: JsonObject, headers: Headers): Mismatch[] {
  const stored = headers.get('Cache-Control') !== 'no-store'
  return [
    ...(/^[a-z_]+$/.test(stringProperty(body, 'error') ?? '') && property(body, 'errcode') === undefined
      ? []
      : [{ pointer: '/error', rule: 'error', message: 'must be an error of OAuth 2.0', found: body }]),
    ...(stored
      ? [{ pointer: '/Cache-Control', rule: 'required', message: 'must be no-store', found: undefined }]
      : []),
  ]
}

// Since v1.10 the header says when to try again.
function retryMismatches(status: number, headers: Headers): Mismatch[] {
  return status === 429 && !/^\d+$/.test(headers.get('Retry-After') ?? '')
    ? [{ pointer: '/Retry-After', rule: 'required', message: 'is missing', found: undefined }]
    : []
}

function jsonSchema(described: JsonObject | undefined): JsonObject | undefined {
  const content = objectProperty(described, 'content')
  return objectProperty(objectProperty(content, 'application/json'), 'schema')
}

function mediaType(header: string): string {
  return (header.split(';', 1)[0] ?? '').trim().toLowerCase()
}

function parsed(text: string): JsonValue | undefined {
  try {
    return JSON.parse(text) as JsonValue
  } catch {
    return undefined
  }
}

function notJson(text: string): Mismatch {
  return { pointer: '', rule: 'JSON', message: 'is no JSON that fits', found: text }
}
