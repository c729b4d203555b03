// Requests to other servers, made by the launcher's process on behalf of the Worker: DNS with SRV records, TLS with the
// name that the specification wants, IP literals, further certificate authorities, no private addresses.
// Server-server API, "TLS", "Resolving server names". The other end is src/federation/client/launcher-transport.ts.

import { lookup, type LookupAddress } from 'node:dns'
import { promises as dns } from 'node:dns'
import {
  Agent as PlainAgent,
  type IncomingHttpHeaders,
  type IncomingMessage,
  request as httpRequest,
  type ServerResponse,
} from 'node:http'
import { Agent, request as httpsRequest, type RequestOptions } from 'node:https'
import { isIP, type LookupFunction } from 'node:net'
import { pipeline } from 'node:stream'
import { createSecureContext, getCACertificates } from 'node:tls'
import { callbackify } from 'node:util'
import { discover, type Resolver, type Route, type SrvRecord } from '../src/federation/client/discovery.ts'
import {
  fetchWellKnown,
  type WebAnswer,
  wellKnownCache,
  wellKnownMaxBytes,
} from '../src/federation/client/well-known.ts'
import { parseServerName } from '../src/matrix/identifiers.ts'
import { isPublicAddress } from './public-address.ts'

/** How names become addresses. */
export interface NameService {
  readonly addresses: (hostname: string) => Promise<LookupAddress[]>
  /** Rejects, with a code, where there are no records. */
  readonly srv: (name: string) => Promise<SrvRecord[]>
}

export interface FederationOptions {
  /** Certificates in PEM of authorities to trust besides those of the system. */
  readonly extraCa?: readonly string[]
  /** Whether servers may have loopback and private addresses. */
  readonly allowPrivateNetworks?: boolean
  /** The system's by default. */
  readonly names?: NameService
  /** Where web servers answer; 443 but in tests, which cannot listen there. */
  readonly wellKnownPort?: number
  /** Which ports pages may be fetched from; 80 and 443 but in tests, and any where private networks are allowed. */
  readonly pagePorts?: readonly number[]
}

/** Answers the Worker's requests, as a Miniflare service binding. */
export type NodeHandler = (request: IncomingMessage, response: ServerResponse) => void | Promise<void>

const idleMs = 60_000
const wellKnownTimeoutMs = 10_000
// Headers that mean something to the Worker.
const passedOn = [
  'content-type',
  'content-length',
  'content-disposition',
  'cache-control',
  'location',
  'retry-after',
] as const
const passedOut = ['authorization', 'content-type', 'content-length', 'user-agent', 'accept'] as const
const passedToPages = ['user-agent', 'accept', 'accept-language'] as const

/** The transport. What it cannot do it answers with status 502, without the header that tells of a server's answer. */
export function federationTransport(options: FederationOptions = {}): NodeHandler {
  const network = openNetwork(options)
  return async (request, response) => {
    const body: Buffer[] = await request.toArray()
    // The Worker has lost patience, or its client has.
    const abort = new AbortController()
    response.once('close', () => abort.abort())
    try {
      const url = request.headers['x-hearth-url']
      const answer =
        url === undefined
          ? await forward(network, request, Buffer.concat(body), abort.signal)
          : await webRequest(network, new URL(String(url)), {
              ...webMessage(request.headers, Buffer.concat(body)),
              signal: abort.signal,
            })
      response.writeHead(200, {
        ...picked(answer.headers, passedOn),
        'X-Hearth-Status': String(answer.statusCode),
      })
      // An answer that breaks off breaks off there too.
      pipeline(answer, response, () => undefined)
    } catch (error) {
      response.writeHead(502, { 'Content-Type': 'text/plain' })
      response.end(reason(error))
    }
  }
}

/** A transport for servers that have no business with others: it refuses everything. */
export const noFederation: NodeHandler = (request, response) => {
  request.resume()
  response.writeHead(502, { 'Content-Type': 'text/plain' })
  response.end('this server is not connected to others')
}

interface Network {
  readonly agent: Agent
  readonly plainAgent: PlainAgent
  readonly resolver: Resolver
  readonly lookup: LookupFunction
  readonly isAllowed: (address: string) => boolean
  /** Whether pages may be fetched from a port; an empty one is the scheme's own. */
  readonly isPagePort: (port: string) => boolean
}

function openNetwork({
  extraCa = [],
  allowPrivateNetworks,
  names,
  wellKnownPort,
  pagePorts = [80, 443],
}: FederationOptions): Network {
  const { addresses, srv } = names ?? systemNames()
  const isAllowed = (address: string) => allowPrivateNetworks === true || isPublicAddress(address)
  const sockets = {
    keepAlive: true,
    maxSockets: 16,
    maxTotalSockets: 1000,
    scheduling: 'lifo',
    timeout: idleMs,
  } as const
  const plainAgent = new PlainAgent(sockets)
  const agent = new Agent({
    ...sockets,
    // Made once: reading all authorities takes longer than a handshake.
    secureContext: createSecureContext({ ca: [...getCACertificates('default'), ...extraCa] }),
  })
  const lookupAllowed: LookupFunction = (hostname, { all }, callback) => {
    const answer = async () => {
      const allowed = (await addresses(hostname)).filter(({ address }) => isAllowed(address))
      const [first] = allowed
      if (!first) throw new Error(`${hostname} has no public address`)
      return { allowed, first }
    }
    callbackify(answer)((error, found) => {
      if (error) callback(error, '', 0)
      else if (all === true) callback(null, found.allowed)
      else callback(null, found.first.address, found.first.family)
    })
  }
  const web = {
    agent,
    plainAgent,
    lookup: lookupAllowed,
    isAllowed,
    // Others lead to what is not meant for browsers. Closed networks have their own ways.
    isPagePort: (port: string) =>
      allowPrivateNetworks === true || port === '' || pagePorts.includes(Number(port)),
  }
  const resolver = {
    wellKnown: once(
      wellKnownCache((hostname) =>
        fetchWellKnown(hostname, (url) => webGet(web, url), Date.now(), wellKnownPort),
      ),
    ),
    // A failed look-up counts as no record: the certificate asked for stays the same, whoever answers.
    srv: (name: string) => srv(name).catch(() => []),
  }
  return { ...web, resolver }
}

function systemNames(): NameService {
  const resolver = new dns.Resolver({ timeout: 2000, tries: 2 })
  return {
    addresses: (hostname) =>
      new Promise((found, failed) => {
        lookup(hostname, { all: true }, (error, addresses) => (error ? failed(error) : found(addresses)))
      }),
    srv: (name) => resolver.resolveSrv(name),
  }
}

async function forward(
  network: Network,
  { headers }: IncomingMessage,
  body: Buffer,
  signal: AbortSignal,
): Promise<IncomingMessage> {
  const destination = parseServerName(String(headers['x-hearth-destination']))
  const uri = String(headers['x-hearth-uri'])
  if (destination === undefined || !uri.startsWith('/_matrix/')) throw new Error('not a federation request')
  const route = await discover(destination, network.resolver)
  const options = {
    method: String(headers['x-hearth-method']),
    path: uri,
    headers: { ...picked(headers, passedOut), Host: route.hostHeader },
    signal,
  }
  return await sendToFirst(network, route, options, body)
}

/** Sends to the first target that can be connected to. */
async function sendToFirst(
  network: Network,
  { targets, certificateName }: Route,
  options: RequestOptions,
  body: Buffer,
): Promise<IncomingMessage> {
  const failures: unknown[] = []
  for (const { host, port } of targets) {
    try {
      return await send(network, { ...options, host, port, servername: sni(certificateName) }, body)
    } catch (error) {
      failures.push(error)
      // Further targets are for hosts that are down; this one may have acted upon the request.
      if (!isConnectFailure(error)) break
    }
  }
  throw failures.at(-1)
}

function send(
  { agent, plainAgent, lookup: lookupAllowed, isAllowed }: Web,
  options: RequestOptions,
  body?: Buffer,
): Promise<IncomingMessage> {
  return new Promise((answered, failed) => {
    const { host } = options
    // No look-up happens for addresses.
    if (typeof host === 'string' && isIP(host) > 0 && !isAllowed(host)) {
      failed(new Error(`${host} is no public address`))
      return
    }
    const attempt = () => {
      const request =
        options.protocol === 'http:'
          ? httpRequest({ ...options, agent: plainAgent, lookup: lookupAllowed }, answered)
          : httpsRequest({ ...options, agent, lookup: lookupAllowed }, answered)
      request.setTimeout(idleMs, () => request.destroy(new Error('no answer')))
      // The other end closes connections that were idle, perhaps just now: that says nothing of the server. GET and PUT do
      // the same twice as once.
      const isHarmless = () => request.reusedSocket && options.method !== 'POST'
      request.once('error', (error) => (isHarmless() && isReset(error) ? attempt() : failed(error)))
      request.end(body)
    }
    attempt()
  })
}

type Web = Omit<Network, 'resolver'>

interface WebMessage {
  /** GET by default. */
  readonly method?: 'GET' | 'POST'
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: Buffer
  /** Whether it is for a page that a user links to, which may also be without TLS. */
  readonly page?: boolean
}

/** What the Worker wants to say to a web server. */
function webMessage(headers: IncomingHttpHeaders, body: Buffer): WebMessage {
  if (headers['x-hearth-page'] !== undefined) {
    return { headers: { ...picked(headers, passedToPages), 'accept-encoding': 'identity' }, page: true }
  }
  // Only what is meant for this server: never the signature of a request to a homeserver.
  const authorization = headers['x-hearth-authorization']
  const named: Record<string, string> = typeof authorization === 'string' ? { authorization } : {}
  if (headers['x-hearth-method'] !== 'POST') return { headers: named }
  return {
    method: 'POST',
    headers: { ...named, ...picked(headers, ['content-type', 'content-length']) },
    body,
  }
}

/** A request to a URL that is anybody's. */
async function webRequest(
  web: Web,
  url: URL,
  { method = 'GET', headers, body, page, signal }: WebMessage & { signal: AbortSignal },
): Promise<IncomingMessage> {
  const { protocol } = url
  if (protocol !== 'https:' && !(page && protocol === 'http:')) throw new Error('not an https URL')
  if (page && !web.isPagePort(url.port)) throw new Error(`pages are not fetched from port ${url.port}`)
  const host = url.hostname.replace(/^\[|\]$/g, '')
  const standardPort = protocol === 'https:' ? 443 : 80
  const options = {
    protocol,
    method,
    host,
    port: url.port === '' ? standardPort : Number(url.port),
    path: url.pathname + url.search,
    servername: sni(host),
    headers: { ...headers, Host: url.host },
    signal,
  }
  return await send(web, options, body)
}

async function webGet(web: Web, url: URL): Promise<WebAnswer> {
  const answer = await webRequest(web, url, {
    headers: { Accept: 'application/json' },
    signal: AbortSignal.timeout(wellKnownTimeoutMs),
  })
  const chunks: Buffer[] = []
  let length = 0
  for await (const chunk of answer as AsyncIterable<Buffer>) {
    length += chunk.byteLength
    chunks.push(chunk)
    if (length > wellKnownMaxBytes) break
  }
  return {
    status: answer.statusCode ?? 0,
    header: (name) => answer.headers[name]?.toString(),
    body: length > wellKnownMaxBytes ? undefined : Buffer.concat(chunks).toString('utf8'),
  }
}

/** IP addresses are no server names for TLS; the certificate is then checked for the address that is connected to. */
function sni(certificateName: string): string {
  return isIP(certificateName) > 0 ? '' : certificateName
}

/** A look-up that goes on is not started again. */
function once<T>(ask: (name: string) => Promise<T>): (name: string) => Promise<T> {
  const running = new Map<string, Promise<T>>()
  return (name) => {
    const known = running.get(name)
    if (known) return known
    const asked = ask(name).finally(() => running.delete(name))
    running.set(name, asked)
    return asked
  }
}

function picked(headers: IncomingHttpHeaders, names: readonly string[]): Record<string, string> {
  return Object.fromEntries(
    names.flatMap((name) => {
      const value = headers[name]
      return typeof value === 'string' ? [[name, value]] : []
    }),
  )
}

function isReset(error: Error): boolean {
  return 'code' in error && error.code === 'ECONNRESET'
}

function isConnectFailure(error: unknown): boolean {
  return error instanceof Error && 'syscall' in error && /^(connect|getaddrinfo)$/.test(String(error.syscall))
}

function reason(error: unknown): string {
  // Node joins the failures of several addresses under an empty message.
  if (error instanceof AggregateError) return error.errors.map(reason).join(', ')
  return error instanceof Error ? error.message : String(error)
}
