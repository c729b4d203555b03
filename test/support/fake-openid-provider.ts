// An OpenID Connect provider on 127.0.0.1 with real keys, whose answers a test can bend. OpenID Connect Core 1.0, RFC 7636.

import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { type CryptoKey, exportJWK, generateKeyPair, type JWTPayload, SignJWT, UnsecuredJWT } from 'jose'

export const clientId = 'hearth & co'
export const clientSecret = 'the client’s: secret/+'

/** Who signs in, as claims. `sub` is who they are. */
export type Claims = JWTPayload & { readonly sub: string }

interface Grant {
  readonly claims: Claims
  readonly nonce: string
  readonly challenge: string
  readonly redirectUri: string
}

export type FakeProvider = Awaited<ReturnType<typeof startFakeProvider>>

/** Starts one. */
export async function startFakeProvider() {
  const { publicKey, privateKey } = await generateKeyPair('RS256')
  const jwks = { keys: [{ ...(await exportJWK(publicKey)), kid: 'one', alg: 'RS256', use: 'sig' }] }
  const grants = new Map<string, Grant>()
  const userInfos = new Map<string, Claims>()
  let codes = 0
  const provider = {
    issuer: '',
    privateKey,
    /** Paths of what was asked, without queries. */
    asked: [] as string[],
    /** Queries of the authorization requests. */
    authorizations: [] as URLSearchParams[],
    /** Who signs in on the page of the provider. */
    user: { sub: 'subject-of-page' } as Claims,
    /** What is signed, from what should be. */
    idToken: (claims: JWTPayload): JWTPayload => claims,
    sign: (claims: JWTPayload): Promise<string> => signed(claims, privateKey),
    userInfo: (claims: Claims): object => claims,
    /** Further metadata. */
    metadata: {} as Record<string, unknown>,
    /** Answers instead, where it answers true. */
    intercept: (_path: string, _response: ServerResponse): boolean => false,
    /** What the provider sends a browser back to that signed in as somebody, for the authorization request at a URL. */
    signIn(location: string, claims: Claims): URL {
      const query = new URL(location).searchParams
      provider.authorizations.push(query)
      const back = new URL(query.get('redirect_uri') ?? '')
      codes += 1
      const code = `code-${codes}`
      grants.set(code, {
        claims,
        nonce: query.get('nonce') ?? '',
        challenge: query.get('code_challenge') ?? '',
        redirectUri: back.href,
      })
      back.searchParams.set('code', code)
      back.searchParams.set('state', query.get('state') ?? '')
      back.searchParams.set('iss', provider.issuer)
      return back
    },
    stop: async () => {
      server.closeAllConnections()
      await new Promise((closed) => server.close(closed))
    },
  }

  async function token(form: URLSearchParams, authorization: string | undefined): Promise<[number, object]> {
    const encoded = [clientId, clientSecret].map((text) => encodeURIComponent(text).replaceAll('%20', '+'))
    // RFC 6749, "Client Password": both parts are form-encoded first.
    const expected = `Basic ${Buffer.from(encoded.join(':')).toString('base64')}`
    if (authorization !== expected) return [401, { error: 'invalid_client' }]
    const code = form.get('code') ?? ''
    const grant = grants.get(code)
    grants.delete(code)
    const verifier = createHash('sha256')
      .update(form.get('code_verifier') ?? '')
      .digest('base64url')
    const fits = grant?.challenge === verifier && grant.redirectUri === form.get('redirect_uri')
    if (!grant || !fits) return [400, { error: 'invalid_grant', error_description: `of ${code}` }]
    const now = Math.floor(Date.now() / 1000)
    const claims = {
      iss: provider.issuer,
      aud: clientId,
      iat: now,
      exp: now + 300,
      nonce: grant.nonce,
      ...grant.claims,
    }
    userInfos.set(`access-${code}`, grant.claims)
    return [
      200,
      {
        access_token: `access-${code}`,
        token_type: 'Bearer',
        expires_in: 300,
        id_token: await provider.sign(provider.idToken(claims)),
      },
    ]
  }

  async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? '/', provider.issuer)
    provider.asked.push(url.pathname)
    if (provider.intercept(url.pathname, response)) return
    const json = (status: number, body: object) => {
      response.writeHead(status, { 'Content-Type': 'application/json' })
      response.end(JSON.stringify(body))
    }
    switch (url.pathname) {
      case '/.well-known/openid-configuration':
        json(200, {
          issuer: provider.issuer,
          authorization_endpoint: `${provider.issuer}/authorize?tenant=1`,
          token_endpoint: `${provider.issuer}/token`,
          userinfo_endpoint: `${provider.issuer}/userinfo`,
          jwks_uri: `${provider.issuer}/jwks`,
          id_token_signing_alg_values_supported: ['RS256'],
          authorization_response_iss_parameter_supported: true,
          ...provider.metadata,
        })
        return
      case '/jwks':
        json(200, jwks)
        return
      case '/authorize':
        response.writeHead(200, { 'Content-Type': 'text/html' })
        response.end(
          `<title>Provider</title><h1>Provider</h1><a href="${back(url).replaceAll('&', '&amp;')}">Sign in</a>`,
        )
        return
      case '/token': {
        const body: Buffer[] = await request.toArray()
        const form = new URLSearchParams(Buffer.concat(body).toString())
        json(...(await token(form, request.headers.authorization)))
        return
      }
      case '/userinfo': {
        const claims = userInfos.get((request.headers.authorization ?? '').replace('Bearer ', ''))
        json(claims ? 200 : 401, claims ? provider.userInfo(claims) : {})
        return
      }
      default:
        json(404, {})
    }
  }

  const back = (url: URL) => provider.signIn(url.href, provider.user).href
  const server = createServer((request, response) => void answer(request, response))
  await once(server.listen(0, '127.0.0.1'), 'listening')
  const { port } = server.address() as AddressInfo
  provider.issuer = `http://127.0.0.1:${port}`
  return provider
}

/** A token signed with a key that the provider says is its own, or with one that only seems so. */
export async function signed(claims: JWTPayload, key: CryptoKey): Promise<string> {
  return await new SignJWT(claims).setProtectedHeader({ alg: 'RS256', kid: 'one' }).sign(key)
}

/** A token that nobody has signed. */
export function unsigned(claims: JWTPayload): string {
  return new UnsecuredJWT(claims).encode()
}
