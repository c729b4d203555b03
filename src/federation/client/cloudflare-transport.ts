// Requests to other servers by the platform's `fetch`. It checks certificates for the name it connects to, and connects to no
// IP addresses: servers that need more get a clear error. Private addresses are out of its reach
// (compatibility flag `global_fetch_strictly_public`).

import { boundedBody } from '../../http/bounded-body.ts'
import { isJsonObject, type JsonObject, property, stringProperty } from '../../matrix/json.ts'
import { discover, isIpLiteral, type Resolver, type SrvRecord, type Target } from './discovery.ts'
import { type OutboundRequest, unreachable } from './transport.ts'
import { fetchWellKnown, type WebAnswer, wellKnownCache, wellKnownMaxBytes } from './well-known.ts'

const lookUpTimeoutMs = 10_000
const srvType = 33

const resolver: Resolver = {
  wellKnown: wellKnownCache((hostname) => fetchWellKnown(hostname, webGet, Date.now())),
  srv: srvOverHttps,
}

/** The transport of a deployed Worker. */
export async function cloudflareTransport(request: OutboundRequest): Promise<Response> {
  const { destination, method, uri, headers, body, signal } = request
  const { host, port } = await reachableTarget(request)
  return await fetch(`https://${host}:${port}${uri}`, {
    method,
    headers,
    redirect: 'manual',
    signal,
    ...(body === undefined ? {} : { body }),
  }).catch((error: unknown) => {
    if (signal.aborted) throw error
    throw unreachable(destination, error instanceof Error ? error.message : 'the connection failed')
  })
}

async function reachableTarget({ destination }: OutboundRequest): Promise<Target> {
  const { targets, certificateName } = await discover(destination, resolver)
  if (isIpLiteral(certificateName)) {
    throw unreachable(destination, 'this platform connects to names alone, not to IP addresses')
  }
  const target = targets.find(({ host }) => host.toLowerCase() === certificateName.toLowerCase())
  if (target) return target
  throw unreachable(
    destination,
    `its SRV records lead to other hosts, whose certificate this platform cannot check for ${certificateName}; ` +
      'it can use /.well-known/matrix/server instead',
  )
}

async function webGet(url: URL): Promise<WebAnswer> {
  const response = await fetch(url, { redirect: 'manual', signal: AbortSignal.timeout(lookUpTimeoutMs) })
  const bytes = await boundedBody(response.body, wellKnownMaxBytes)
  return {
    status: response.status,
    header: (name) => response.headers.get(name),
    body: bytes && new TextDecoder().decode(bytes),
  }
}

// A failed look-up counts as no record: the certificate asked for stays the same, whoever answers.
async function srvOverHttps(name: string): Promise<SrvRecord[]> {
  const url = new URL('https://cloudflare-dns.com/dns-query')
  url.search = new URLSearchParams({ name, type: 'SRV' }).toString()
  try {
    const response = await fetch(url, {
      headers: { Accept: 'application/dns-json' },
      signal: AbortSignal.timeout(lookUpTimeoutMs),
    })
    const bytes = await boundedBody(response.body, wellKnownMaxBytes)
    const document: unknown = JSON.parse(new TextDecoder().decode(bytes))
    return isJsonObject(document) ? srvRecords(document) : []
  } catch {
    return []
  }
}

/** The SRV records of a DNS answer in JSON. */
export function srvRecords(answer: JsonObject): SrvRecord[] {
  const records = property(answer, 'Answer')
  if (!Array.isArray(records)) return []
  return records.flatMap((record) => {
    if (!isJsonObject(record) || property(record, 'type') !== srvType) return []
    const data = /^(\d{1,5}) (\d{1,5}) (\d{1,5}) (\S+)$/.exec(stringProperty(record, 'data') ?? '')
    if (!data) return []
    const [, priority, weight, port, name = ''] = data
    return [{ priority: Number(priority), weight: Number(weight), port: Number(port), name }]
  })
}
