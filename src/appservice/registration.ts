// An application service as it is registered: who it is, how it proves that, and what it looks after.
// Specification: application service API, "Registration".

import type { ServerName, UserId } from '../matrix/event.ts'
import { bridgedUserId } from '../matrix/identifiers.ts'
import { isJsonObject, type JsonObject, property, stringProperty } from '../matrix/json.ts'
import { tokenHash } from '../storage/secret-token.ts'

/** User ids, room aliases or room ids that an application service looks after. */
export interface Namespace {
  /** Whether nobody else may create or delete what is in it. */
  readonly exclusive: boolean
  readonly matches: (id: string) => boolean
}

export interface Appservice {
  readonly id: string
  /** Without a slash at its end; undefined for one that only asks and is never told. */
  readonly url: string | undefined
  /** SHA-256 of the token by which it asks us. */
  readonly asTokenHash: string
  /** The token by which we ask it. */
  readonly hsToken: string
  /** The user that it is where it names no other. */
  readonly sender: UserId
  readonly users: readonly Namespace[]
  readonly aliases: readonly Namespace[]
  readonly rooms: readonly Namespace[]
  /** Whether the users that it acts for have rate limits; its sender never has. */
  readonly rateLimited: boolean
  /** Whether typing, receipts and presence are sent to it (MSC2409). */
  readonly receivesEphemeral: boolean
  /** Whether it has asked for them by the name of before they were specified: then they are sent by that name too. */
  readonly unstableEphemeral: boolean
  /** Names of the networks that it reaches. */
  readonly protocols: readonly string[]
}

/**
 * Reads a registration, which is JSON text: the variable `name` has it. Throws an Error that names the variable and the field
 * that makes no sense, never with a token in it.
 */
export function parseRegistration(name: string, text: string, serverName: ServerName): Appservice {
  const wrong = (what: string) => new Error(`${name}: ${what}`)
  const value = parsed(text)
  if (!isJsonObject(value)) throw wrong('is not a JSON object')
  const required = (field: string): string => {
    const found = stringProperty(value, field)
    if (found === undefined || found === '') throw wrong(`${field} must be a text that is not empty`)
    return found
  }
  const namespaces = property(value, 'namespaces')
  if (!isJsonObject(namespaces)) throw wrong('namespaces must be an object')
  const sender = bridgedUserId(required('sender_localpart'), serverName)
  if (!sender) throw wrong('sender_localpart must be the localpart of a user id')
  const flag = (field: string) => readFlag(value, field, wrong)
  // The name of the time before the specification had one; bridges still write it.
  const unstableEphemeral = flag('de.sorunome.msc2409.push_ephemeral') ?? false
  return {
    id: required('id'),
    url: readUrl(property(value, 'url'), wrong),
    asTokenHash: tokenHash(required('as_token')),
    hsToken: required('hs_token'),
    sender,
    users: readNamespaces(namespaces, 'users', wrong),
    aliases: readNamespaces(namespaces, 'aliases', wrong),
    rooms: readNamespaces(namespaces, 'rooms', wrong),
    // Silence means limits, as for anybody else.
    rateLimited: flag('rate_limited') ?? true,
    receivesEphemeral: flag('receive_ephemeral') ?? unstableEphemeral,
    unstableEphemeral,
    protocols: readProtocols(property(value, 'protocols') ?? [], wrong),
  }
}

type Wrong = (what: string) => Error

function parsed(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

function readUrl(value: unknown, wrong: Wrong): string | undefined {
  // "Optionally set to null if no traffic is required"; some write an empty text for it.
  if (value === null || value === '') return undefined
  const url = typeof value === 'string' ? URL.parse(value) : null
  if (!url || !['http:', 'https:'].includes(url.protocol)) throw wrong('url must be null or an http(s) URL')
  if (url.username !== '' || url.password !== '') throw wrong('url must not hold a password')
  if (url.search !== '' || url.hash !== '') throw wrong('url must end with its path')
  return url.href.replace(/\/+$/, '')
}

function readFlag(value: JsonObject, field: string, wrong: Wrong): boolean | undefined {
  const flag = property(value, field)
  if (flag === undefined || flag === null) return undefined
  if (typeof flag !== 'boolean') throw wrong(`${field} must be true or false`)
  return flag
}

function readProtocols(value: unknown, wrong: Wrong): string[] {
  if (value === null) return []
  if (!Array.isArray(value)) throw wrong('protocols must be a list of texts')
  return value.map((protocol: unknown) => {
    if (typeof protocol !== 'string' || protocol === '') throw wrong('protocols must be a list of texts')
    return protocol
  })
}

function readNamespaces(namespaces: JsonObject, kind: string, wrong: Wrong): Namespace[] {
  const list = property(namespaces, kind) ?? []
  if (!Array.isArray(list)) throw wrong(`namespaces.${kind} must be a list`)
  return list.map((entry: unknown, i) => {
    const where = `namespaces.${kind}[${i}]`
    if (!isJsonObject(entry)) throw wrong(`${where} must be an object`)
    const regex = stringProperty(entry, 'regex')
    const exclusive = property(entry, 'exclusive')
    if (regex === undefined) throw wrong(`${where}.regex must be a text`)
    if (typeof exclusive !== 'boolean') throw wrong(`${where}.exclusive must be true or false`)
    const pattern = compiled(regex)
    if (!pattern) throw wrong(`${where}.regex is not a regular expression`)
    return { exclusive, matches: (id) => pattern.test(id) }
  })
}

// From the first character on, but not up to the last: bridges leave the end open, and other servers read it that way.
function compiled(regex: string): RegExp | undefined {
  try {
    return new RegExp(`^(?:${regex})`)
  } catch {
    return undefined
  }
}
