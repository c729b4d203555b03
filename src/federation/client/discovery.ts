// Where to reach a server by its name. Server-server API, "Resolving server names". Pure: what asks the network is given.

import type { ServerName } from '../../matrix/event.ts'

/** A DNS name or an IP address without brackets, and a port. */
export interface Target {
  readonly host: string
  readonly port: number
}

export interface Route {
  /** To be tried in this order. */
  readonly targets: readonly Target[]
  /** The `Host` header to send. */
  readonly hostHeader: string
  /** What the certificate must be valid for: a DNS name, or an IP address, for which no SNI is sent. */
  readonly certificateName: string
}

export interface SrvRecord {
  readonly priority: number
  readonly weight: number
  readonly port: number
  readonly name: string
}

export interface Resolver {
  /** The server that /.well-known/matrix/server of a host delegates to, if it does. */
  readonly wellKnown: (hostname: string) => Promise<ServerName | undefined>
  /** The SRV records of a name; empty if there are none. */
  readonly srv: (name: string) => Promise<readonly SrvRecord[]>
}

export const federationPort = 8448

/** The way to a server. Rejects only if the resolver does. */
export async function discover(serverName: ServerName, resolver: Resolver): Promise<Route> {
  const direct = routeWithoutLookUp(serverName)
  if (direct) return direct
  // 3. A host name alone: its web server may delegate to another name.
  const delegated = await resolver.wellKnown(serverName)
  if (delegated === undefined) return await routeBySrv(serverName, resolver)
  // 3.1 and 3.2 are steps 1 and 2 for the delegated name; 3.3 to 3.5 are 4 to 6.
  return routeWithoutLookUp(delegated) ?? (await routeBySrv(delegated, resolver))
}

/** Steps 1 and 2: IP literals, and names with a port. */
function routeWithoutLookUp(serverName: ServerName): Route | undefined {
  const { host, port } = splitServerName(serverName)
  if (port === undefined && !isIpLiteral(host)) return undefined
  const target = { host, port: port ?? federationPort }
  return { targets: [target], hostHeader: serverName, certificateName: host }
}

/** Steps 4 to 6. Whoever an SRV record points to must have the certificate of the name it was found under. */
async function routeBySrv(hostname: string, resolver: Resolver): Promise<Route> {
  const found = await firstRecords(hostname, resolver)
  // "." says that there is no such service.
  const targets = inOrder(found.filter(({ name }) => name !== '' && name !== '.')).map(({ name, port }) => ({
    host: name.replace(/\.$/, ''),
    port,
  }))
  return {
    targets: targets.length > 0 ? targets : [{ host: hostname, port: federationPort }],
    hostHeader: hostname,
    certificateName: hostname,
  }
}

async function firstRecords(hostname: string, resolver: Resolver): Promise<readonly SrvRecord[]> {
  const records = await resolver.srv(`_matrix-fed._tcp.${hostname}`)
  return records.length > 0 ? records : await resolver.srv(`_matrix._tcp.${hostname}`)
}

/** RFC 2782: the lowest priority first, among equals at random by weight. */
function inOrder(records: readonly SrvRecord[]): SrvRecord[] {
  return records
    .map((record) => ({ record, rank: Math.random() ** (1 / Math.max(record.weight, 0.001)) }))
    .sort((left, right) => left.record.priority - right.record.priority || right.rank - left.rank)
    .map(({ record }) => record)
}

/** A server name taken apart; the brackets of IPv6 literals go. */
export function splitServerName(serverName: ServerName): { host: string; port: number | undefined } {
  const match = /^(?:\[(.+)\]|([^:]+))(?::(\d+))?$/.exec(serverName)
  const [, ipv6, name, port] = match ?? []
  return { host: ipv6 ?? name ?? '', port: port === undefined ? undefined : Number(port) }
}

/** Whether a host is an IPv4 or IPv6 address. */
export function isIpLiteral(host: string): boolean {
  return host.includes(':') || /^\d+\.\d+\.\d+\.\d+$/.test(host)
}
