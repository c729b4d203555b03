// What a client says of itself when it registers. Specification: client-server API, "Client metadata"; RFC 7591, section 2.

import { createHash } from 'node:crypto'
import { canonicalJson } from '../matrix/canonical-json.ts'
import { type JsonObject, property } from '../matrix/json.ts'
import { OauthError } from './oauth-error.ts'
import { type ApplicationType, isBelow, isRedirectUri } from './redirect-uri.ts'

export const deviceCodeGrant = 'urn:ietf:params:oauth:grant-type:device_code'

/** By the names that they have on the wire. */
export type ClientMetadata = {
  readonly client_uri: string
  readonly client_name?: string
  readonly logo_uri?: string
  readonly tos_uri?: string
  readonly policy_uri?: string
  readonly redirect_uris: string[]
  readonly response_types: string[]
  readonly grant_types: string[]
  readonly token_endpoint_auth_method: 'none'
  readonly application_type: ApplicationType
}

const knownGrants = ['authorization_code', 'refresh_token', deviceCodeGrant]
const longestUri = 2048
const longestName = 256
const longestShown = 64
const mostRedirectUris = 32
// Anybody may register, so nobody gets much room: in characters, of all that is kept.
const longestMetadata = 8192

/** The metadata that is registered: what this server does not know is left out. OauthError of RFC 7591. */
export function parseClientMetadata(body: JsonObject): ClientMetadata {
  const metadata = knownMetadata(body)
  if (JSON.stringify(metadata).length > longestMetadata) throw wrong('The metadata is too long')
  return metadata
}

function knownMetadata(body: JsonObject): ClientMetadata {
  const clientUri = clientUriOf(body)
  const type = oneText(body, 'application_type', ['web', 'native'], 'web')
  const grants = knownOf(body, 'grant_types', knownGrants, ['authorization_code', 'refresh_token'])
  const withCode = grants.includes('authorization_code')
  // A refresh token comes with every grant.
  if (!grants.includes('refresh_token') || (!withCode && !grants.includes(deviceCodeGrant))) {
    throw wrong('grant_types must include refresh_token and authorization_code')
  }
  const responses = knownOf(body, 'response_types', ['code'], withCode ? ['code'] : [])
  if (withCode && responses.length === 0) throw wrong('response_types must include code')
  const redirectUris = redirectUrisOf(body, type, clientUri)
  if (withCode && redirectUris.length === 0) throw badRedirect('redirect_uris must have at least one URI')
  const name = clientName(body)
  return {
    client_uri: clientUri.href,
    ...(name === undefined ? {} : { client_name: name }),
    ...ownUri(body, 'logo_uri', clientUri),
    ...ownUri(body, 'tos_uri', clientUri),
    ...ownUri(body, 'policy_uri', clientUri),
    redirect_uris: redirectUris,
    response_types: responses,
    grant_types: grants,
    token_endpoint_auth_method: oneText(body, 'token_endpoint_auth_method', ['none'], 'none'),
    application_type: type,
  }
}

/** The id of a client: clients that register the same are the same. */
export function clientIdOf(metadata: ClientMetadata): string {
  const sorted = { ...metadata, redirect_uris: metadata.redirect_uris.toSorted() }
  const text = canonicalJson(sorted, { strict: false })
  return createHash('sha256').update(text).digest('base64url').slice(0, 32)
}

// It is the base of all other addresses: without it nobody could be shown whose the client is.
function clientUriOf(body: JsonObject): URL {
  const url = webUri(body, 'client_uri')
  // A name without a dot is no site's, and what ends in it could be anybody's.
  if (!url || !url.hostname.includes('.')) throw wrong('client_uri must be an https URL')
  return url
}

function webUri(body: JsonObject, field: string): URL | undefined {
  const value = property(body, field)
  if (value === undefined || value === null) return undefined
  const url = typeof value === 'string' && value.length <= longestUri ? URL.parse(value) : null
  if (!url || !isBelow(url, url)) throw wrong(`${field} must be an https URL without user and password`)
  return url
}

function ownUri<Name extends string>(
  body: JsonObject,
  field: Name,
  clientUri: URL,
): { [N in Name]?: string } {
  const url = webUri(body, field)
  if (!url) return {}
  if (!isBelow(url, clientUri)) throw wrong(`${field} must be on the host of client_uri, or on a subdomain`)
  return { [field]: url.href } as { [N in Name]?: string }
}

function redirectUrisOf(body: JsonObject, type: ApplicationType, clientUri: URL): string[] {
  const value = property(body, 'redirect_uris') ?? []
  if (!Array.isArray(value) || value.length > mostRedirectUris) {
    throw badRedirect(`redirect_uris must be an array of at most ${mostRedirectUris} URIs`)
  }
  const uris = value.map((uri, n) => {
    if (typeof uri === 'string' && isRedirectUri(uri, type, clientUri)) return uri
    throw badRedirect(`A ${type} client may not have the redirect URI at place ${n + 1}`)
  })
  return [...new Set(uris)]
}

function clientName(body: JsonObject): string | undefined {
  const value = property(body, 'client_name')
  if (value === undefined || value === null) return undefined
  if (typeof value !== 'string' || value.length > longestName) {
    throw wrong(`client_name must be a text of at most ${longestName} characters`)
  }
  // What cannot be seen, turns the writing around or piles up only misleads those who are shown the name.
  const shown = value
    .toWellFormed()
    .replace(/[\s\u2800]+/g, ' ')
    .replace(/[\p{C}\p{Default_Ignorable_Code_Point}]/gu, '')
    .replace(/(\p{M}{2})\p{M}+/gu, '$1')
    .trim()
  return shown === '' ? undefined : shown
}

function knownOf(body: JsonObject, field: string, known: readonly string[], usual: string[]): string[] {
  const value = property(body, field) ?? usual
  if (!Array.isArray(value)) throw wrong(`${field} must be an array`)
  return known.filter((one) => value.includes(one))
}

function oneText<const T extends string>(
  body: JsonObject,
  field: string,
  allowed: readonly T[],
  usual: T,
): T {
  const value = property(body, field) ?? usual
  const found = allowed.find((one) => one === value)
  if (found === undefined) throw wrong(`${field} must be ${allowed.join(' or ')}`)
  return found
}

function wrong(description: string): OauthError {
  return new OauthError('invalid_client_metadata', description)
}

function badRedirect(description: string): OauthError {
  return new OauthError('invalid_redirect_uri', description)
}

/** What a client is called by those who are asked about it: so short that nobody takes it for what this server has to say. */
export function shownName({ client_name: name, client_uri: uri }: ClientMetadata): string {
  const text = name ?? new URL(uri).hostname
  return text.length > longestShown ? `${text.slice(0, longestShown).toWellFormed()}…` : text
}
