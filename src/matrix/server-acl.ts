// Which servers a room lets take part. Specification: client-server API, "Server Access Control Lists".

import type { ServerName } from './event.ts'
import { compileGlob, type Glob, matchesGlob } from './glob.ts'
import { type JsonObject, property } from './json.ts'

/**
 * Whether a server may take part in a room, by the content of the room's `m.room.server_acl` event
 * (undefined when the room has none).
 */
export function isServerAllowed(aclContent: JsonObject | undefined, serverName: ServerName): boolean {
  return compileServerAcl(aclContent)(serverName)
}

/** `isServerAllowed` for many servers: the lists are compiled once. */
export function compileServerAcl(aclContent: JsonObject | undefined): (serverName: ServerName) => boolean {
  // 1. Without an ACL event everyone is allowed.
  if (aclContent === undefined) return () => true
  const denyList = property(aclContent, 'deny')
  // A deny list that cannot be read may mean anyone.
  if (denyList !== undefined && !Array.isArray(denyList)) return () => false
  const deny = compileGlobs(denyList)
  // Without a list of allowed servers nobody is allowed.
  const allow = compileGlobs(property(aclContent, 'allow'))
  // Only `false` itself forbids IP literals: the default holds for values that are not booleans too.
  const allowIpLiterals = property(aclContent, 'allow_ip_literals') !== false
  return (serverName) => {
    const host = withoutPort(serverName)
    // 2. IP literals may be denied as such.
    if (!allowIpLiterals && isIpLiteral(host)) return false
    // 3. A denied server stays denied even if it is allowed as well.
    if (deny.some((glob) => matchesGlob(glob, host))) return false
    // 4. and 5. Otherwise only those listed are allowed.
    return allow.some((glob) => matchesGlob(glob, host))
  }
}

/** The globs of a list; an entry that is not a string matches no server. */
function compileGlobs(list: unknown): readonly Glob[] {
  if (!Array.isArray(list)) return []
  return list
    .filter((entry) => typeof entry === 'string')
    .map((entry) => compileGlob(entry, { caseInsensitive: true }))
}

function withoutPort(serverName: string): string {
  return serverName.replace(/:\d*$/, '')
}

/**
 * Whether a host is an IPv4 or IPv6 literal. Dotted quads out of range and colons without brackets count too:
 * no DNS name looks like that, so they must not slip through as one.
 */
function isIpLiteral(host: string): boolean {
  return host.includes(':') || host.startsWith('[') || /^\d{1,3}(\.\d{1,3}){3}$/.test(host)
}
