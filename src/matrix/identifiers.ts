// Identifiers and their grammars. Each `parse…` answers the text itself, branded, or undefined. Appendices, "Identifier
// Grammar"; rooms/v3, v4 and v12 for event and room ids; client-server API, "Matrix Content (mxc://) URIs".

import type { EventId, RoomAlias, RoomId, ServerName, UserId } from './event.ts'
import type { RoomVersionRules } from './room-version.ts'
import { fitsInBytes } from './utf8.ts'

const maxIdentifierBytes = 255
const serverNameShape = /^(?:\[([0-9A-Fa-f:.]{2,45})\]|([0-9A-Za-z.-]{1,255}))(?::[0-9]{1,5})?$/
const dottedQuad = /^[0-9]+\.[0-9]+\.[0-9]+\.[0-9]+$/
const newLocalpart = /^[a-z0-9._=/+-]+$/
const compliantLocalpart = /^[!-~]+$/
const standardHash = /^[A-Za-z0-9+/]{43}$/
const urlSafeHash = /^[A-Za-z0-9_-]{43}$/
const opaqueId = /^[0-9A-Za-z._~-]{1,255}$/
const mediaId = /^[0-9A-Za-z_-]{1,255}$/

/** A server name: DNS name, IPv4 or bracketed IPv6 literal, optionally a port. Case is significant. */
export function parseServerName(text: string): ServerName | undefined {
  const match = serverNameShape.exec(text)
  if (match === null) return undefined
  const [, ipv6, hostname = ''] = match
  if (ipv6 !== undefined && !isIpv6(ipv6)) return undefined
  // Four numbers are an IPv4 literal, never a DNS name.
  if (dottedQuad.test(hostname) && !isIpv4(hostname)) return undefined
  return text as ServerName
}

/**
 * A user id as servers must accept it from others: the localpart may be empty and hold any code point but `:` and NUL.
 * At most 255 bytes.
 */
export function parseUserId(text: string): UserId | undefined {
  return hasDomainForm(text, '@') ? (text as UserId) : undefined
}

/** The id of a new user of ours, in the strict grammar; undefined when the localpart or the length does not allow it. */
export function newUserId(localpart: string, serverName: ServerName): UserId | undefined {
  return newLocalpart.test(localpart) ? parseUserId(`@${localpart}:${serverName}`) : undefined
}

/**
 * The id of a user that an application service makes, also in the historical grammar: visible ASCII but for `:`. Bridges take
 * over the names of other networks as they are (`@irc_WildGoose`), and other servers let them.
 */
export function bridgedUserId(localpart: string, serverName: ServerName): UserId | undefined {
  const isName = compliantLocalpart.test(localpart) && !localpart.includes(':')
  return isName ? parseUserId(`@${localpart}:${serverName}`) : undefined
}

/** Whether a user id may be shown to clients outside of events: a localpart of visible ASCII, not empty. */
export function isCompliantUserId(userId: UserId): boolean {
  return compliantLocalpart.test(localpartOf(userId))
}

/** A room id with a domain or, from version 12 on, in hash form. With rules only the form of that version. */
export function parseRoomId(text: string, rules?: RoomVersionRules): RoomId | undefined {
  const isHash = text.startsWith('!') && urlSafeHash.test(text.slice(1))
  const hasDomain = hasDomainForm(text, '!')
  const allowed = rules === undefined ? isHash || hasDomain : rules.roomIdIsCreateHash ? isHash : hasDomain
  return allowed ? (text as RoomId) : undefined
}

/** A room alias. At most 255 bytes. */
export function parseRoomAlias(text: string): RoomAlias | undefined {
  return hasDomainForm(text, '#') ? (text as RoomAlias) : undefined
}

/**
 * An event id. With rules only the form events of that room version have: with a domain (1, 2), hash (3) or URL-safe hash
 * (4 and later). Without rules anything that could be one in some version: opaque, at most 255 bytes.
 */
export function parseEventId(text: string, rules?: RoomVersionRules): EventId | undefined {
  return text.startsWith('$') && hasEventIdForm(text, rules) ? (text as EventId) : undefined
}

/** An `mxc://` URI taken apart; undefined also for media ids with other characters than letters, digits, `_` and `-`. */
export function parseMxcUri(text: string): { serverName: ServerName; mediaId: string } | undefined {
  if (!text.startsWith('mxc://')) return undefined
  const [host = '', id = '', ...rest] = text.slice('mxc://'.length).split('/')
  const serverName = parseServerName(host)
  if (serverName === undefined || rest.length > 0 || !mediaId.test(id)) return undefined
  return { serverName, mediaId: id }
}

/** Whether a text keeps to the opaque identifier grammar: device ids, media ids and the like that we make. */
export function isOpaqueId(text: string): boolean {
  return opaqueId.test(text)
}

/** The server an id belongs to. Room and event ids in hash form have none. */
export function serverNameOf(id: UserId | RoomAlias): ServerName
export function serverNameOf(id: RoomId | EventId): ServerName | undefined
export function serverNameOf(id: UserId | RoomAlias | RoomId | EventId): ServerName | undefined {
  const colon = id.indexOf(':')
  return colon === -1 ? undefined : parseServerName(id.slice(colon + 1))
}

/** What stands between the sigil and the first colon. */
export function localpartOf(id: UserId | RoomAlias): string {
  return id.slice(1, id.indexOf(':'))
}

/** Sigil, localpart without NUL and lone surrogates, the first colon, server name. */
function hasDomainForm(text: string, sigil: string): boolean {
  const colon = text.indexOf(':')
  if (!text.startsWith(sigil) || colon === -1 || !isOpaqueText(text)) return false
  return parseServerName(text.slice(colon + 1)) !== undefined
}

function hasEventIdForm(text: string, rules: RoomVersionRules | undefined): boolean {
  if (rules === undefined) return text.length > 1 && isOpaqueText(text)
  if (rules.eventId === 'field') return hasDomainForm(text, '$')
  return (rules.eventId === 'hash' ? standardHash : urlSafeHash).test(text.slice(1))
}

function isOpaqueText(text: string): boolean {
  return fitsInBytes(text, maxIdentifierBytes) && !text.includes('\0') && text.isWellFormed()
}

function isIpv4(text: string): boolean {
  return dottedQuad.test(text) && text.split('.').every((part) => part.length <= 3 && Number(part) <= 255)
}

/** RFC 3513 section 2.2: eight groups of up to four hex digits, one run of zeros as `::`, the end may be an IPv4 address. */
function isIpv6(text: string): boolean {
  const [head = '', tail, ...more] = text.split('::')
  if (more.length > 0) return false
  const headGroups = ipv6Groups(head, tail === undefined)
  const tailGroups = tail === undefined ? 0 : ipv6Groups(tail, true)
  if (headGroups === undefined || tailGroups === undefined) return false
  const groups = headGroups + tailGroups
  return tail === undefined ? groups === 8 : groups < 8
}

/** How many 16-bit groups a colon-separated run holds, undefined if one is malformed. */
function ipv6Groups(run: string, mayEndInIpv4: boolean): number | undefined {
  if (run === '') return 0
  const groups = run.split(':')
  const last = groups.at(-1) ?? ''
  const endsInIpv4 = mayEndInIpv4 && isIpv4(last)
  const hexGroups = endsInIpv4 ? groups.slice(0, -1) : groups
  if (!hexGroups.every((group) => /^[0-9A-Fa-f]{1,4}$/.test(group))) return undefined
  return hexGroups.length + (endsInIpv4 ? 2 : 0)
}
