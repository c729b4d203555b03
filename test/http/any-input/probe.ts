// Asks a route with anything, and learns from what the server says is missing or wrong how to get further.

import * as fc from 'fast-check'
import { anyText, anyValue, fieldName, oddBodies, type World } from './values.ts'

export interface Route {
  readonly method: string
  readonly path: string
}

export interface Probe {
  readonly method: string
  /** Path and query. */
  readonly uri: string
  readonly body?: string | Uint8Array<ArrayBuffer>
}

export interface Reply {
  readonly status: number
  readonly type: string
  readonly text: string
}

/** How often a route is probed: ANY_INPUT_RUNS, or what a test run has the time for. */
export const runs = Number(process.env['ANY_INPUT_RUNS'] ?? 8)

// Enough to get through a few levels of checks.
const attempts = 6
const longestPollMs = 20

/** What is wrong with a reply, undefined where it is in order: done, or a proper error of Matrix. */
export function fault({ status, type, text }: Reply): string | undefined {
  if (status === 500 || status === 503 || status >= 505) return `status ${status}`
  if (status < 400 || type.startsWith('text/html')) return undefined
  if (!type.startsWith('application/json')) return `an error as ${type}`
  const { errcode, error, flows } = parsed(text)
  // Endpoints of OAuth 2.0 have the errors of its own.
  if (errcode === undefined && typeof error === 'string' && /^[a-z]+(?:_[a-z]+)+$/.test(error))
    return undefined
  // What interactive authentication asks for is no error yet.
  if (status === 401 && Array.isArray(flows)) return undefined
  if (typeof errcode !== 'string' || !/^[A-Z][A-Z0-9_.]*$/.test(errcode)) return 'no errcode'
  return typeof error === 'string' ? undefined : 'no error text'
}

/** Asks a route several times, each time with more of what it wants. Fails on a reply that is not in order. */
export async function probe(
  g: fc.GeneratorValue,
  route: Route,
  world: World,
  ask: (probe: Probe) => Promise<Reply>,
): Promise<void> {
  const path = fill(g, route.path, world)
  // Without a prototype: `__proto__` is a name like any other.
  const body: Record<string, unknown> = Object.create(null)
  const bare = route.method === 'GET' || route.method === 'DELETE'
  const query = new URLSearchParams(bare ? { timeout: '0' } : {})
  for (let attempt = 0; attempt < attempts; attempt += 1) {
    const odd = !bare && g(fc.integer, { min: 0, max: 14 }) === 0
    const text = odd ? g(() => fc.constantFrom(...oddBodies)) : JSON.stringify(body)
    const search = query.toString()
    const sent = {
      method: route.method,
      uri: `${path}${search && `?${search}`}`,
      ...(bare ? {} : { body: text }),
    }
    const reply = await ask(sent)
    const wrong = fault(reply)
    if (wrong !== undefined)
      throw new Error(`${wrong}: ${describe(sent)} → ${reply.status} ${reply.text.slice(0, 300)}`)
    const field = wantedField(reply.text) ?? g(() => fieldName)
    if (bare || g(fc.boolean)) addToQuery(g, query, field, world)
    if (!bare)
      put(
        body,
        field.split('.'),
        g(() => anyValue(world)),
      )
  }
}

/** A path of the route with something for each of its parameters. */
function fill(g: fc.GeneratorValue, path: string, world: World): string {
  const known: Readonly<Record<string, string>> = {
    ...world,
    roomIdOrAlias: world.roomId,
    type: world.dataType,
    eventType: 'm.room.member',
    stateKey: world.userId,
    kind: 'underride',
    keyName: 'displayname',
    version: '1',
    idpId: 'fake',
    appserviceId: 'bridge',
    networkId: 'irc',
    protocol: 'irc',
  }
  const segments = path.split('/').map((segment) => {
    if (!segment.startsWith(':')) return segment
    const fitting = known[segment.slice(1).replace(/\{.*/, '')]
    const text =
      fitting !== undefined && g(fc.integer, { min: 0, max: 3 }) > 0 ? fitting : g(() => anyText(world))
    // Dots alone would be taken for another path, surrogates alone cannot be written.
    return /^\.*$/.test(text) ? 'x' : encodeURIComponent(text.toWellFormed())
  })
  return segments.join('/')
}

function addToQuery(g: fc.GeneratorValue, query: URLSearchParams, field: string, world: World): void {
  const text = g(() => anyText(world)).slice(0, 4000)
  query.set(field, field === 'timeout' && Number(text) > longestPollMs ? String(longestPollMs) : text)
}

/** The field that a message names as missing or wrong. */
function wantedField(text: string): string | undefined {
  const { error } = parsed(text)
  return typeof error === 'string'
    ? /(?:[Mm]issing|[Ii]nvalid) (?:field|parameter):? ([\w.-]+)/.exec(error)?.[1]
    : undefined
}

function put(
  target: Record<string, unknown>,
  [first = '', ...rest]: readonly string[],
  value: unknown,
): void {
  const inner = target[first]
  if (rest.length === 0 || typeof inner !== 'object' || inner === null) target[first] = value
  else put(inner as Record<string, unknown>, rest, value)
}

function parsed(text: string): Record<string, unknown> {
  try {
    return (JSON.parse(text) as Record<string, unknown> | null) ?? {}
  } catch {
    return {}
  }
}

function describe({ method, uri, body }: Probe): string {
  return `${method} ${uri.slice(0, 1000)} ${String(body ?? '').slice(0, 1000)}`
}
