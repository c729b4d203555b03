// The identity providers that users may sign in with, from the SSO variables: see docs/operators.md, "Single sign-on".
// Specification: client-server API, `m.login.sso` flow schema; appendices, "Opaque Identifiers", "Common Namespaced Identifier
// Grammar".

import type { Env } from '../env.ts'
import { isOpaqueId, parseMxcUri } from '../matrix/identifiers.ts'
import { isJsonObject, type JsonObject, property, stringProperty } from '../matrix/json.ts'
import { oneOf } from '../settings.ts'
import { parseRedirectUrl } from './redirect-url.ts'

export interface SsoSettings {
  /** At least one. */
  readonly providers: readonly SsoProvider[]
  /** Clients that get their login token without the user being asked: what their `redirectUrl` begins with. */
  readonly knownClients: readonly URL[]
  /** Where browsers reach this server, without a slash at the end. */
  readonly baseUrl: string
}

export interface SsoProvider {
  readonly id: string
  readonly name: string
  /** An mxc URI. */
  readonly icon: string | undefined
  readonly brand: string | undefined
  readonly issuer: string
  readonly clientId: string
  /** Undefined for a client that has none. */
  readonly clientSecret: string | undefined
  readonly scopes: readonly string[]
  /** The claims that an account is made of; undefined for those that are not looked at. */
  readonly localpartClaim: string | undefined
  readonly displayNameClaim: string | undefined
  readonly emailClaim: string | undefined
  /** Whether somebody without an account gets one. */
  readonly register: boolean
  /** By what an account is found that was there before; by nothing unless the operator says so. */
  readonly linkExisting: 'off' | 'localpart' | 'email'
}

// OpenID Connect Core, "Successful Token Response" and "ID Token": what a client may be called, and claims.
const visible = /^[\x21-\x7e]{1,255}$/
const brandName = /^[a-z][a-z0-9._-]{0,254}$/
const scopeToken = /^[\x21\x23-\x5b\x5d-\x7e]+$/
const loopback = new Set(['localhost', '127.0.0.1', '[::1]'])

/** Undefined where there are none. Throws an Error naming the variable and the field that makes no sense. */
export function ssoSettings(env: Env): SsoSettings | undefined {
  const providers = readProviders(env.SSO_PROVIDERS ?? '')
  const knownClients = readKnownClients(env.SSO_CLIENT_WHITELIST ?? '')
  if (providers.length === 0) return undefined
  // The Host header of a request says nothing of where this server is, and providers know one address to send users back to.
  const url = URL.parse(env.PUBLIC_BASE_URL ?? '')
  if (!url || !isWebUrl(url)) throw new Error('SSO_PROVIDERS needs PUBLIC_BASE_URL, an http or https URL')
  return { providers, knownClients, baseUrl: url.href.replace(/\/+$/, '') }
}

/** Whether users log in by password. Throws an Error where they then could not log in at all. */
export function passwordLogin(env: Env, sso: SsoSettings | undefined): boolean {
  const on = oneOf('PASSWORD_LOGIN', env.PASSWORD_LOGIN || 'on', ['on', 'off']) === 'on'
  if (!on && !sso) throw new Error('PASSWORD_LOGIN can be off only where there are SSO_PROVIDERS')
  return on
}

function readProviders(text: string): SsoProvider[] {
  if (text.trim() === '') return []
  const value = parsed(text)
  if (!Array.isArray(value)) throw wrong('must be a JSON array')
  const providers = value.map((entry: unknown, index) => {
    if (!isJsonObject(entry)) throw wrong(`must have an object at place ${index + 1}`)
    return readProvider(entry, index)
  })
  const ids = providers.map(({ id }) => id)
  const twice = ids.find((id, index) => ids.indexOf(id) !== index)
  if (twice !== undefined) throw wrong(`has two providers with the id ${twice}`)
  return providers
}

const fields = new Set([
  'id',
  'name',
  'icon',
  'brand',
  'issuer',
  'client_id',
  'client_secret',
  'scopes',
  'localpart_claim',
  'display_name_claim',
  'email_claim',
  'register',
  'link_existing',
])

function readProvider(entry: JsonObject, index: number): SsoProvider {
  const id = stringProperty(entry, 'id') ?? ''
  if (!isOpaqueId(id)) throw wrong(`needs an id at place ${index + 1}, of 0-9 a-z A-Z . _ ~ -`)
  const fail = (field: string, what: string) => wrong(`: ${field} of ${id} ${what}`)
  // What is misspelt would otherwise be as if it were not there.
  const unknown = Object.keys(entry).find((field) => !fields.has(field))
  if (unknown !== undefined) throw fail(unknown, 'is no field of a provider')
  const text = (field: string, pattern: RegExp, what: string) => {
    const value = stringProperty(entry, field)?.trim() ?? ''
    if (!pattern.test(value)) throw fail(field, `must be ${what}`)
    return value
  }
  const optionalText = (field: string, pattern: RegExp, what: string) =>
    given(entry, field) ? text(field, pattern, what) : undefined
  const icon = optionalText('icon', /^mxc:/, 'an mxc URI')
  if (icon !== undefined && !parseMxcUri(icon)) throw fail('icon', 'must be an mxc URI')
  const emailClaim = optionalText('email_claim', visible, 'the name of a claim')
  const linkExisting = linkBy(entry, fail)
  if (linkExisting === 'email' && emailClaim === undefined)
    throw fail('link_existing', 'by email needs email_claim')
  return {
    id,
    name: text('name', /^.{1,100}$/, 'a text of at most 100 characters'),
    icon,
    brand: optionalText('brand', brandName, 'a name of a-z 0-9 . _ -'),
    issuer: issuer(entry, fail),
    clientId: text('client_id', /^[\x20-\x7e]{1,255}$/, 'what the provider calls this server'),
    clientSecret: optionalText('client_secret', /^.{1,4096}$/, 'a text'),
    scopes: scopes(entry, fail),
    localpartClaim: claim(entry, 'localpart_claim', 'preferred_username', fail),
    displayNameClaim: claim(entry, 'display_name_claim', 'name', fail),
    emailClaim,
    register: truth(entry, 'register', fail),
    linkExisting,
  }
}

type Fail = (field: string, what: string) => Error

function given(entry: JsonObject, field: string): boolean {
  const value = property(entry, field)
  return value !== undefined && value !== null
}

// Who answers for the issuer's name decides who everybody is: nothing but TLS proves that, except on this very machine.
function issuer(entry: JsonObject, fail: Fail): string {
  const text = stringProperty(entry, 'issuer') ?? ''
  const url = URL.parse(text)
  if (!url || !isWebUrl(url) || url.search !== '' || url.hash !== '' || url.username !== '') {
    throw fail('issuer', 'must be an https URL without a query')
  }
  if (url.protocol === 'http:' && !loopback.has(url.hostname)) throw fail('issuer', 'must be an https URL')
  return text
}

function scopes(entry: JsonObject, fail: Fail): string[] {
  const value = property(entry, 'scopes') ?? ['openid', 'profile', 'email']
  if (!Array.isArray(value)) throw fail('scopes', 'must be an array')
  const names = value.filter((scope) => typeof scope === 'string')
  if (names.length !== value.length || !names.every((scope) => scopeToken.test(scope)))
    throw fail('scopes', 'must be an array of names')
  // OpenID Connect Core, "Authentication Request": without it there is no identity in the answer.
  if (!names.includes('openid')) throw fail('scopes', 'must contain openid')
  return names
}

/** A claim; null in the settings keeps from looking at one. */
function claim(entry: JsonObject, field: string, standard: string, fail: Fail): string | undefined {
  const value = property(entry, field)
  if (value === null) return undefined
  const name = value ?? standard
  if (typeof name !== 'string' || !visible.test(name))
    throw fail(field, 'must be the name of a claim, or null')
  return name
}

function truth(entry: JsonObject, field: string, fail: Fail): boolean {
  const value = property(entry, field) ?? false
  if (typeof value !== 'boolean') throw fail(field, 'must be true or false')
  return value
}

function linkBy(entry: JsonObject, fail: Fail): SsoProvider['linkExisting'] {
  const value = property(entry, 'link_existing') ?? 'off'
  const found = (['off', 'localpart', 'email'] as const).find((one) => one === value)
  if (found === undefined) throw fail('link_existing', 'must be off, localpart or email')
  return found
}

function readKnownClients(text: string): URL[] {
  const entries = text.split(/[\s,]+/).filter((entry) => entry !== '')
  return entries.map((entry) => {
    const url = parseRedirectUrl(entry)
    if (!url || url.search !== '' || url.hash !== '') {
      throw new Error(
        `SSO_CLIENT_WHITELIST must be URLs without a query, with commas between them, not ${entry}`,
      )
    }
    return url
  })
}

function isWebUrl({ protocol }: URL): boolean {
  return protocol === 'https:' || protocol === 'http:'
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    // The parser's message may quote a secret.
    throw wrong('is not JSON')
  }
}

function wrong(what: string): Error {
  return new Error(`SSO_PROVIDERS${what.startsWith(':') ? '' : ' '}${what}`)
}
