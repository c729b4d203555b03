// The operations of the OpenAPI documents: which one a request is about, and what its document says of it.

import {
  isJsonObject,
  type JsonObject,
  type JsonValue,
  objectProperty,
  property,
} from '../../src/matrix/json.ts'
import { document, resolved, specText } from './documents.ts'

export interface Operation {
  /** Method and path, with parameters in braces. */
  readonly name: string
  readonly parameters: readonly Parameter[]
  /** Undefined where no body is sent. */
  readonly requestBody: JsonObject | undefined
  /** By status; undefined for the few pages that only the text of the specification has. */
  readonly responses: ReadonlyMap<number, JsonObject> | undefined
}

export interface Parameter {
  readonly name: string
  readonly in: string
  readonly required: boolean
  readonly schema: JsonObject
}

export interface MatchedOperation {
  readonly operation: Operation
  readonly pathParameters: Readonly<Record<string, string>>
}

interface Endpoint {
  readonly method: string
  readonly path: string
  readonly parts: readonly string[]
  /** Empty where no document describes it. */
  readonly file: string
}

/** The operation that a request is about; undefined where the specification has none. */
export function operationOf(method: string, path: string): MatchedOperation | undefined {
  const parts = documentedForm(path).split('/')
  const fitting = endpoints().filter((endpoint) => endpoint.method === method && fits(endpoint.parts, parts))
  // A path that says more goes before one with more parameters.
  const [endpoint] = fitting.sort((a, b) => parameterCount(a.parts) - parameterCount(b.parts))
  if (!endpoint) return undefined
  const pathParameters = Object.fromEntries(
    endpoint.parts.flatMap((part, i) =>
      isParameter(part) ? [[part.slice(1, -1), decodeURIComponent(parts[i] ?? '')]] : [],
    ),
  )
  return { operation: operation(endpoint), pathParameters }
}

// Forms of paths that servers take beside the documented ones: the name that v3 had before v1.1, a state key that is empty,
// and the slash at the end of the push rules.
function documentedForm(path: string): string {
  return path
    .replace(/^\/_matrix\/(client|media)\/r0\//, '/_matrix/$1/v3/')
    .replace(/^(\/_matrix\/client\/v3\/rooms\/[^/]+\/state\/[^/]+)$/, '$1/')
    .replace(/^(\/_matrix\/client\/v3\/pushrules(?:\/global)?)\/$/, '$1')
}

function fits(template: readonly string[], parts: readonly string[]): boolean {
  return (
    template.length === parts.length &&
    template.every((part, i) => isParameter(part) || part === decodeURIComponent(parts[i] ?? ''))
  )
}

function isParameter(part: string): boolean {
  return part.startsWith('{')
}

function parameterCount(parts: readonly string[]): number {
  return parts.filter(isParameter).length
}

let read: readonly Endpoint[] | undefined

function endpoints(): readonly Endpoint[] {
  read ??= specText('endpoints.tsv')
    .trim()
    .split('\n')
    .slice(1)
    .flatMap((line) => {
      const columns = line.split('\t')
      const [api, method = '', path = ''] = columns
      const file = columns[16] ?? ''
      // Not the endpoints of OAuth, which have no fixed paths.
      return api !== 'cs-oauth' && !path.includes('*') ? [{ method, path, parts: path.split('/'), file }] : []
    })
  return read
}

const operations = new Map<string, Operation>()

function operation({ method, path, file }: Endpoint): Operation {
  const name = `${method} ${path}`
  const known = operations.get(name)
  if (known) return known
  const made =
    file === ''
      ? { name, parameters: [], requestBody: undefined, responses: undefined }
      : { name, ...described(file, method, path) }
  operations.set(name, made)
  return made
}

function described(file: string, method: string, path: string): Omit<Operation, 'name'> {
  const { item, content } = contentOf(file, method, path)
  const both = [...list(property(item, 'parameters')), ...list(property(content, 'parameters'))]
  return {
    parameters: both.flatMap(parameter),
    requestBody: resolved(property(content, 'requestBody')),
    responses: new Map(
      Object.entries(objectProperty(content, 'responses') ?? {}).map(([status, response]) => [
        Number(status),
        resolved(response) ?? {},
      ]),
    ),
  }
}

function contentOf(file: string, method: string, path: string): { item: JsonObject; content: JsonObject } {
  const content = document(file)
  const base = basePath(content)
  for (const [suffix, item] of Object.entries(objectProperty(content, 'paths') ?? {})) {
    const found = isJsonObject(item) ? objectProperty(item, method.toLowerCase()) : undefined
    // The list of endpoints has no slash at the end of paths.
    const named = `${base}${suffix}`.trim().replace(/\/$/, '')
    if (isJsonObject(item) && found && named === path.replace(/\/$/, '')) return { item, content: found }
  }
  throw new Error(`${file} does not have ${method} ${path}`)
}

function basePath(content: JsonObject): string {
  const [server] = list(property(content, 'servers'))
  const variables = isJsonObject(server) ? objectProperty(server, 'variables') : undefined
  const base = property(objectProperty(variables, 'basePath'), 'default')
  return typeof base === 'string' ? base : ''
}

function parameter(value: JsonValue): Parameter[] {
  const content = resolved(value)
  const name = property(content, 'name')
  const place = property(content, 'in')
  const schema = resolved(property(content, 'schema'))
  if (typeof name !== 'string' || typeof place !== 'string' || !schema) return []
  return [{ name, in: place, required: property(content, 'required') === true, schema }]
}

function list(value: JsonValue | undefined): JsonValue[] {
  return Array.isArray(value) ? value : []
}
