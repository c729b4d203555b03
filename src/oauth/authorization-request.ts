// What a client sends a browser here with, and what it gets back. Specification: client-server API, "Authorisation code flow";
// RFC 6749, sections 4.1.1 and 4.1.2; RFC 7636, section 4.3; RFC 9207; OAuth 2.0 Multiple Response Type Encoding Practices.

import type { Env } from '../env.ts'
import { MatrixError } from '../errors.ts'
import { clientName } from '../sso/redirect-url.ts'
import { findClient } from '../storage/oauth-clients.ts'
import type { ClientMetadata } from './client-metadata.ts'
import { OauthError, requiredParameter, uniqueParameters } from './oauth-error.ts'
import type { OauthSettings } from './oauth-settings.ts'
import { isRegistered } from './redirect-uri.ts'
import { parseScope, type Scope } from './scope.ts'

/** Where the answer goes. */
export interface Recipient {
  readonly clientId: string
  readonly client: ClientMetadata
  readonly redirectUri: string
  readonly responseMode: 'query' | 'fragment'
  readonly state: string | undefined
}

export interface AuthorizationRequest extends Recipient {
  readonly scope: Scope
  readonly codeChallenge: string
  /** Whether the user wants a new account. */
  readonly create: boolean
}

/** A request of a client that is known, with something wrong in it. */
export interface FaultyRequest {
  readonly recipient: Recipient
  readonly error: OauthError
}

/**
 * The request of a query: whole, or what is wrong with it and who is to be told. A MatrixError where nobody can be: that is shown to
 * the user alone, since the address may be anybody's.
 */
export async function readAuthorizationRequest(
  env: Env,
  query: URLSearchParams,
): Promise<AuthorizationRequest | FaultyRequest> {
  const recipient = await readRecipient(env, query)
  try {
    return { ...recipient, ...readRest(query, recipient.client) }
  } catch (error) {
    if (error instanceof OauthError) return { recipient, error }
    throw error
  }
}

async function readRecipient(env: Env, query: URLSearchParams): Promise<Recipient> {
  const clientId = only(query, 'client_id')
  const client = clientId === undefined ? undefined : await findClient(env, clientId)
  if (clientId === undefined || !client) throw unanswerable('is not known here', 'client_id')
  const redirectUri = only(query, 'redirect_uri')
  // What was registered, letter by letter.
  if (redirectUri === undefined || !isRegistered(redirectUri, client.redirect_uris)) {
    throw unanswerable('gave an address that is not registered for it', 'redirect_uri')
  }
  return {
    clientId,
    client,
    redirectUri,
    responseMode: only(query, 'response_mode') === 'fragment' ? 'fragment' : 'query',
    state: only(query, 'state'),
  }
}

function only(query: URLSearchParams, name: string): string | undefined {
  const values = query.getAll(name)
  return values.length === 1 && values[0] !== '' ? values[0] : undefined
}

function unanswerable(what: string, parameter: string): MatrixError {
  return new MatrixError(
    'M_INVALID_PARAM',
    400,
    `The application that sent you here ${what} (${parameter}). Please go back there, and try again.`,
  )
}

function readRest(
  query: URLSearchParams,
  client: ClientMetadata,
): Pick<AuthorizationRequest, 'scope' | 'codeChallenge' | 'create'> {
  const parameters = uniqueParameters(query)
  const mode = parameters.get('response_mode') ?? 'query'
  if (mode !== 'query' && mode !== 'fragment') throw invalid('response_mode must be query or fragment')
  if (requiredParameter(parameters, 'response_type') !== 'code') {
    throw new OauthError('unsupported_response_type', 'response_type must be code')
  }
  // RFC 9101: parameters in other places would not be looked at.
  if (parameters.has('request'))
    throw new OauthError('request_not_supported', 'Request objects are not supported')
  if (parameters.has('request_uri')) {
    throw new OauthError('request_uri_not_supported', 'Request objects are not supported')
  }
  if (!client.grant_types.includes('authorization_code')) {
    throw new OauthError('unauthorized_client', 'The client did not register for authorization_code')
  }
  const scope = parseScope(parameters.get('scope'))
  const codeChallenge = requiredParameter(parameters, 'code_challenge')
  // RFC 7636: without a method it would be `plain`, which protects nothing.
  if (parameters.get('code_challenge_method') !== 'S256') throw invalid('code_challenge_method must be S256')
  if (!/^[\w-]{43}$/.test(codeChallenge)) throw invalid('code_challenge is not of S256')
  const prompts = (parameters.get('prompt') ?? '').split(' ')
  // Nobody is let in without being asked.
  if (prompts.includes('none')) throw new OauthError('interaction_required', 'The user has to be asked')
  return { scope, codeChallenge, create: prompts.includes('create') }
}

function invalid(description: string): OauthError {
  return new OauthError('invalid_request', description)
}

/**
 * The way back to the client whose request a page belongs to, for who does not go on: where it leads, and whose that is. Undefined for
 * pages that no client has sent anybody to.
 */
export async function wayBack(
  env: Env,
  oauth: OauthSettings,
  page: string,
): Promise<{ readonly url: string; readonly owner: string } | undefined> {
  const [, query] = /^authorize\?(.*)$/.exec(page) ?? []
  if (query === undefined) return undefined
  const request = await readAuthorizationRequest(env, new URLSearchParams(query))
  const { recipient, error } = 'error' in request ? request : { recipient: request, error: denied() }
  return { url: answerUrl(oauth, recipient, error), owner: ownerOf(new URL(recipient.redirectUri)) }
}

/** Who has the address where the answer goes, as people are told. */
export function ownerOf(redirect: URL): string {
  return redirect.protocol === 'https:' ? redirect.host : clientName(redirect)
}

/** The answer of a user who does not want to. */
export function denied(): OauthError {
  return new OauthError('access_denied', 'The user has not let the application in')
}

/** The address that takes a browser back to the client, with an answer. */
export function answerUrl(
  oauth: OauthSettings,
  { redirectUri, responseMode, state }: Recipient,
  answer: { readonly code: string } | OauthError,
): string {
  const parameters = new URLSearchParams({
    ...(answer instanceof OauthError
      ? { error: answer.code, error_description: answer.message }
      : { code: answer.code }),
    ...(state === undefined ? {} : { state }),
    // RFC 9207: who of several authorization servers answers.
    iss: oauth.issuer,
  }).toString()
  if (responseMode === 'fragment') return `${redirectUri}#${parameters}`
  return `${redirectUri}${redirectUri.includes('?') ? '&' : '?'}${parameters}`
}
