// This server as a client of identity providers. OpenID Connect Core 1.0, "Authentication using the Authorization Code Flow";
// OpenID Connect Discovery 1.0; RFC 7636 (PKCE).

import * as oauth from 'oauth4webapi'
import { boundedBody } from '../http/bounded-body.ts'
import { isJsonObject, type JsonObject } from '../matrix/json.ts'
import { SsoRefusal } from './refusal.ts'
import type { SsoProvider } from './sso-settings.ts'

const timeoutMs = 10_000
const maxAnswerBytes = 1024 * 1024
// How long what a provider says of itself is taken to be true.
const metadataLifetimeMs = 60 * 60 * 1000
// How far apart its clock and ours may be, in seconds.
const clockToleranceS = 60

/** What the provider's answer is checked against, besides its `state`. */
export interface Expected {
  readonly nonce: string
  readonly codeVerifier: string
  readonly redirectUri: string
}

export interface Identified {
  /** What the provider knows its user by for good. */
  readonly subject: string
  readonly claims: JsonObject
  /** Further claims, of the provider's userinfo endpoint; none where it has none. */
  readonly userInfo: () => Promise<JsonObject>
}

/** The address that a browser is sent to. SsoRefusal where the provider does not answer. */
export async function authorizationUrl(
  provider: SsoProvider,
  expected: Expected,
  { state, prompt }: { readonly state: string; readonly prompt: 'create' | undefined },
): Promise<string> {
  return await asRefusal(provider, async () => {
    const as = await authorizationServer(provider)
    const url = new URL(as.authorization_endpoint ?? '')
    if (url.protocol !== 'https:' && !isInsecure(provider))
      throw new Error('its authorization endpoint has no TLS')
    const query = {
      client_id: provider.clientId,
      response_type: 'code',
      redirect_uri: expected.redirectUri,
      scope: provider.scopes.join(' '),
      state,
      nonce: expected.nonce,
      code_challenge: await oauth.calculatePKCECodeChallenge(expected.codeVerifier),
      code_challenge_method: 'S256',
      // Initiating User Registration via OpenID Connect 1.0: only where the provider says that it knows that.
      ...(prompt !== undefined && promptsOf(as).includes(prompt) ? { prompt } : {}),
    }
    for (const [name, value] of Object.entries(query)) url.searchParams.set(name, value)
    return url.href
  })
}

/**
 * Who has signed in, by the query that the provider sent the browser back with. The code is exchanged, and the ID token must be
 * signed by the provider, be for us, of this sign-in, and not be expired. SsoRefusal in any other case.
 */
export async function identify(
  provider: SsoProvider,
  expected: Expected,
  query: URLSearchParams,
): Promise<Identified> {
  return await asRefusal(provider, async () => {
    const as = await authorizationServer(provider)
    const client = clientOf(provider)
    // RFC 9207: an answer that names another issuer is one that was mixed up. Whose `state` it is was looked at before.
    const parameters = oauth.validateAuthResponse(
      as,
      client,
      query,
      query.get('state') ?? oauth.expectNoState,
    )
    const response = await oauth.authorizationCodeGrantRequest(
      as,
      client,
      clientAuthentication(as, provider),
      parameters,
      expected.redirectUri,
      expected.codeVerifier,
      requestOptions(provider),
    )
    const tokens = await oauth.processAuthorizationCodeResponse(as, client, response, {
      expectedNonce: expected.nonce,
      requireIdToken: true,
    })
    await oauth.validateApplicationLevelSignature(as, response, requestOptions(provider))
    const claims = oauth.getValidatedIdTokenClaims(tokens)
    // OpenID Connect Core, "ID Token": at most 255 ASCII characters. What is no Unicode would be stored as something else.
    if (!claims || claims.sub.length > 255 || !claims.sub.isWellFormed())
      throw new Error('its ID token has no subject')
    return {
      subject: claims.sub,
      claims: claimsIn(claims),
      userInfo: () => asRefusal(provider, () => userInfo(as, provider, tokens.access_token, claims.sub)),
    }
  })
}

async function userInfo(
  as: oauth.AuthorizationServer,
  provider: SsoProvider,
  accessToken: string,
  subject: string,
): Promise<JsonObject> {
  if (as.userinfo_endpoint === undefined) return {}
  const client = clientOf(provider)
  const response = await oauth.userInfoRequest(as, client, accessToken, requestOptions(provider))
  // It must be about the user of the ID token.
  const claims = await oauth.processUserInfoResponse(as, client, subject, response)
  return claimsIn(claims)
}

// The library read them from JSON, and checked some.
function claimsIn(answer: unknown): JsonObject {
  return isJsonObject(answer) ? answer : {}
}

interface Known {
  readonly as: oauth.AuthorizationServer
  readonly until: number
}

// By issuer. The library keeps a provider's keys with the object, fetches them again when a token has another, and no more
// than once a minute.
const known = new Map<string, Known>()

async function authorizationServer(provider: SsoProvider): Promise<oauth.AuthorizationServer> {
  const found = known.get(provider.issuer)
  if (found && found.until > Date.now()) return found.as
  const issuer = new URL(provider.issuer)
  const response = await oauth.discoveryRequest(issuer, requestOptions(provider))
  const as = await oauth.processDiscoveryResponse(issuer, response)
  known.set(provider.issuer, { as, until: Date.now() + metadataLifetimeMs })
  return as
}

function clientOf({ clientId }: SsoProvider): oauth.Client {
  return { client_id: clientId, [oauth.clockTolerance]: clockToleranceS }
}

// OpenID Connect Discovery: what a provider says nothing about is client_secret_basic.
function clientAuthentication(
  as: oauth.AuthorizationServer,
  { clientSecret }: SsoProvider,
): oauth.ClientAuth {
  if (clientSecret === undefined) return oauth.None()
  const methods = as.token_endpoint_auth_methods_supported ?? ['client_secret_basic']
  return methods.includes('client_secret_basic') || !methods.includes('client_secret_post')
    ? oauth.ClientSecretBasic(clientSecret)
    : oauth.ClientSecretPost(clientSecret)
}

function requestOptions(provider: SsoProvider) {
  return { [oauth.customFetch]: boundedFetch, [oauth.allowInsecureRequests]: isInsecure(provider) }
}

// The settings allow that on the loopback interface alone.
function isInsecure({ issuer }: SsoProvider): boolean {
  return issuer.startsWith('http:')
}

interface ClientRequest {
  readonly method: string
  readonly headers: Record<string, string>
  readonly body?: URLSearchParams | undefined
}

async function boundedFetch(url: string, { method, headers, body }: ClientRequest): Promise<Response> {
  const answer = await fetch(url, {
    method,
    headers,
    ...(body && { body }),
    // Nobody but the provider gets our secret.
    redirect: 'manual',
    signal: AbortSignal.timeout(timeoutMs),
  })
  const bytes = await boundedBody(answer.body, maxAnswerBytes)
  if (bytes === undefined) throw new Error('its answer is too long')
  const type = answer.headers.get('Content-Type')
  const isBodiless = [101, 204, 205, 304].includes(answer.status)
  return new Response(isBodiless ? null : bytes, {
    status: answer.status,
    headers: type === null ? {} : { 'Content-Type': type },
  })
}

function promptsOf(as: oauth.AuthorizationServer): readonly unknown[] {
  const prompts = as['prompt_values_supported']
  return Array.isArray(prompts) ? prompts : []
}

async function asRefusal<T>(provider: SsoProvider, run: () => Promise<T>): Promise<T> {
  try {
    return await run()
  } catch (error) {
    throw error instanceof SsoRefusal ? error : refusalFor(provider, error)
  }
}

/** What the library throws, told apart. What it adds as a cause stays out of the log: tokens are in there. */
function refusalFor({ id }: SsoProvider, error: unknown): SsoRefusal {
  if (error instanceof oauth.AuthorizationResponseError) {
    const reason = error.error === 'access_denied' ? 'cancelled' : 'provider-refused'
    return new SsoRefusal(reason, `${id}: ${errorCode(error.error)}`)
  }
  if (error instanceof oauth.ResponseBodyError || error instanceof oauth.WWWAuthenticateChallengeError) {
    const code = error instanceof oauth.ResponseBodyError ? errorCode(error.error) : 'challenge'
    return new SsoRefusal('provider-refused', `${id}: status ${error.status}, ${code}`)
  }
  if (error instanceof oauth.OperationProcessingError || error instanceof oauth.UnsupportedOperationError) {
    return new SsoRefusal('invalid-answer', `${id}: ${error.message.slice(0, 200)}`)
  }
  const text = error instanceof Error ? error.message : String(error)
  return new SsoRefusal('provider-unreachable', `${id}: ${text.slice(0, 200)}`)
}

// A word of RFC 6749, not whatever somebody has put into the address.
function errorCode(text: string): string {
  return /^[a-z_]{1,64}$/.test(text) ? text : 'an error without a name'
}
