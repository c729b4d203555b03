// A client of the OAuth 2.0 API, and its user in front of a browser, as tests want them: each step by itself.

import { createHash, randomBytes } from 'node:crypto'
import type { JsonObject } from '../../src/matrix/json.ts'
import { freePort } from './launcher.ts'
import { type ServerOptions, startServer, type TestServer } from './server.ts'
import { newVisitor, type Shown, type Visitor } from './sso-visitor.ts'
import { textOf } from './text-of.ts'

export const oauthPath = '/_matrix/client/unstable/hearth/oauth'

/** A server with the OAuth 2.0 API. */
export async function startOauthServer(
  vars: Readonly<Record<string, string>> = {},
  options: Pick<ServerOptions, 'mail'> = {},
): Promise<TestServer> {
  const port = await freePort()
  const baseUrl = `http://127.0.0.1:${port}`
  return await startServer({ port, vars: { OAUTH: 'on', PUBLIC_BASE_URL: baseUrl, ...vars }, ...options })
}

export const webClient = {
  client_name: 'Example <b>Client</b>',
  client_uri: 'https://client.test/',
  tos_uri: 'https://client.test/terms',
  policy_uri: 'https://client.test/privacy',
  redirect_uris: ['https://client.test/callback', 'https://app.client.test/?a=1'],
}

export const nativeClient = {
  client_uri: 'https://client.test/',
  application_type: 'native',
  redirect_uris: ['test.client.app:/callback', 'http://127.0.0.1/callback', 'http://[::1]/callback'],
  grant_types: ['authorization_code', 'refresh_token', 'urn:ietf:params:oauth:grant-type:device_code'],
}

export interface Tokens {
  readonly access_token: string
  readonly refresh_token: string
  readonly expires_in: number
  readonly token_type: string
  readonly scope: string
}

export interface FormAnswer {
  readonly status: number
  readonly headers: Headers
  readonly body: JsonObject
}

export type OauthClient = Awaited<ReturnType<typeof newOauthClient>>

/** A registered client. */
export async function newOauthClient(server: TestServer, metadata: JsonObject = webClient) {
  const registered = await server.request('POST', `${oauthPath}/register-client`, { body: metadata })
  if (registered.status !== 201) throw new Error(JSON.stringify(registered.body))
  const clientId = textOf(registered.body, 'client_id')
  const [redirectUri = ''] = registered.body['redirect_uris'] as string[]
  const post = (page: string, fields: Readonly<Record<string, string>>) =>
    postForm(server, page, { client_id: clientId, ...fields })
  return {
    clientId,
    redirectUri,
    post,
    /** An authorization request, and what it takes to use the answer. */
    request(deviceId: string, changes: Readonly<Record<string, string | undefined>> = {}) {
      const verifier = randomBytes(32).toString('base64url')
      const all: Record<string, string | undefined> = {
        response_type: 'code',
        response_mode: 'fragment',
        client_id: clientId,
        redirect_uri: redirectUri,
        scope: scopeOf(deviceId),
        state: `state of ${deviceId}`,
        code_challenge: challengeOf(verifier),
        code_challenge_method: 'S256',
        ...changes,
      }
      const given = Object.entries(all).filter((entry): entry is [string, string] => entry[1] !== undefined)
      const path = `${oauthPath}/authorize?${new URLSearchParams(given).toString()}`
      return { path, verifier, redirectUri: all['redirect_uri'] ?? '' }
    },
    exchange: (code: string, { verifier, redirectUri: uri }: { verifier: string; redirectUri: string }) =>
      post('token', {
        grant_type: 'authorization_code',
        code,
        redirect_uri: uri,
        code_verifier: verifier,
      }),
    refresh: (token: string) => post('token', { grant_type: 'refresh_token', refresh_token: token }),
    revoke: (token: string) => post('revoke', { token }),
  }
}

/** Posts a form to an endpoint. */
export async function postForm(
  server: Pick<TestServer, 'fetch'>,
  page: string,
  fields: Readonly<Record<string, string>> | URLSearchParams,
): Promise<FormAnswer> {
  const response = await server.fetch(`${oauthPath}/${page}`, {
    method: 'POST',
    body: new URLSearchParams(fields),
  })
  const text = await response.text()
  return {
    status: response.status,
    headers: response.headers,
    body: JSON.parse(text || '{}') as JsonObject,
  }
}

export function scopeOf(deviceId: string): string {
  return `urn:matrix:client:api:* urn:matrix:client:device:${deviceId}`
}

export function challengeOf(verifier: string): string {
  return createHash('sha256').update(verifier).digest('base64url')
}

/** Sends the form of a page that goes to some action, with what somebody fills in. */
export async function submitTo(
  visitor: Visitor,
  page: Shown,
  action: string,
  filledIn: Readonly<Record<string, string>> = {},
): Promise<Shown> {
  const { target, fields } = formOf(page, action)
  return await visitor.open(target, {
    method: 'POST',
    body: new URLSearchParams({ ...fields, ...filledIn }),
  })
}

/** The form of a page that goes to some action, with its hidden fields. */
export function formOf({ text }: Shown, action: string): { target: string; fields: Record<string, string> } {
  const forms = text.match(/<form[^>]*method="post"[\s\S]*?<\/form>/g) ?? []
  const form = forms.find((one) => one.includes(`${oauthPath}/${action}"`))
  if (form === undefined) throw new Error(`no form to ${action} in ${text.replace(/[\s\S]*<main>/, '')}`)
  const hidden = [...form.matchAll(/<input type="hidden" name="([^"]*)" value="([^"]*)"/g)]
  return {
    target: unescaped(/action="([^"]*)"/.exec(form)?.[1] ?? ''),
    fields: Object.fromEntries(hidden.map(([, name = '', value = '']) => [name, unescaped(value)])),
  }
}

function unescaped(text: string): string {
  return text
    .replaceAll('&quot;', '"')
    .replaceAll('&#39;', "'")
    .replaceAll('&lt;', '<')
    .replaceAll('&gt;', '>')
    .replaceAll('&amp;', '&')
}

/** Somebody in front of a browser who has signed in on the pages. */
export async function signedIn(server: TestServer, localpart: string): Promise<Visitor> {
  const visitor = newVisitor(server.url)
  await passSignIn(visitor, await visitor.open(`${oauthPath}/account`), localpart)
  return visitor
}

/** Signs in on a page that asks for it, and answers the page that follows. */
export async function passSignIn(visitor: Visitor, page: Shown, localpart: string): Promise<Shown> {
  const answer = await submitTo(visitor, page, 'sign-in', {
    user: localpart,
    password: `password of ${localpart}`,
  })
  if (answer.status !== 303) throw new Error(`not signed in: ${answer.status} ${answer.text}`)
  return await visitor.follow(answer)
}

/** Agrees on the page that a path leads to, and answers the parameters that the client gets. */
export async function agree(visitor: Visitor, path: string): Promise<URLSearchParams> {
  const page = await visitor.open(path)
  const answer = await submitTo(visitor, page, 'consent', { decision: 'allow' })
  return answerIn(answer)
}

/** The parameters of an answer, in the fragment or the query: of a redirect, or of the way back to the client that a page offers. */
export function answerIn({ location, status, text }: Shown): URLSearchParams {
  const link = /href="([^"]*)">Back to the application/.exec(text)?.[1]
  if (location === null && link === undefined) throw new Error(`no answer: ${status} ${text}`)
  const url = new URL(location ?? unescaped(link ?? ''))
  return new URLSearchParams(url.hash === '' ? url.search : url.hash.slice(1))
}

/** Everything from the request to the tokens. */
export async function logIn(
  client: OauthClient,
  visitor: Visitor,
  deviceId: string,
  changes: Readonly<Record<string, string>> = {},
): Promise<Tokens> {
  const request = client.request(deviceId, changes)
  const code = (await agree(visitor, request.path)).get('code') ?? ''
  const { status, body } = await client.exchange(code, request)
  if (status !== 200) throw new Error(JSON.stringify(body))
  return body as unknown as Tokens
}
