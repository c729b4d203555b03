// Another homeserver on 127.0.0.1, as far as federation's foundation needs one: it publishes keys over TLS, notarises those
// of others, signs requests, and misbehaves where a test wants it to.

import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { createServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { authorizationHeader } from '../../src/federation/client/x-matrix.ts'
import { encodeBase64 } from '../../src/matrix/base64.ts'
import { canonicalJson } from '../../src/matrix/canonical-json.ts'
import type { ServerName } from '../../src/matrix/event.ts'
import type { JsonObject } from '../../src/matrix/json.ts'
import { signingKeyFromSeed, signJson, type SigningKey } from '../../src/matrix/signing.ts'
import type { Authority } from './certificates.ts'

export interface FakeKey {
  readonly keyId: string
  readonly key: SigningKey
}

/** A new key. */
export function fakeKey(keyId = 'ed25519:fake'): FakeKey {
  return { keyId, key: signingKeyFromSeed(randomBytes(32)) }
}

/** A signed document about keys. */
export function keyDocument(
  serverName: string,
  inUse: readonly FakeKey[],
  fields: JsonObject = {},
): JsonObject {
  const document: JsonObject = {
    server_name: serverName,
    verify_keys: Object.fromEntries(inUse.map((one) => [one.keyId, { key: publicHalf(one) }])),
    old_verify_keys: {},
    valid_until_ts: Date.now() + 3_600_000,
    ...fields,
  }
  return inUse.reduce((signed, { keyId, key }) => signJson(signed, serverName, keyId, key), document)
}

/** The public half of a key as documents have it. */
export function publicHalf({ key }: FakeKey): string {
  return encodeBase64(key.publicKey)
}

export type Handler = (request: IncomingMessage, response: ServerResponse, body: string) => void

export type FakeHomeserver = Awaited<ReturnType<typeof startFakeHomeserver>>

/** Starts one. `name` is its DNS name or IP address; its server name has the port as well. */
export async function startFakeHomeserver(authority: Authority, name: string, port = 0) {
  const requests: string[] = []
  const routes = new Map<string, Handler>()
  const server = createServer(authority.issue(name), async (request, response) => {
    requests.push(`${request.method} ${request.url}`)
    const body: Buffer[] = await request.toArray()
    const path = request.url?.split('?', 1)[0] ?? ''
    // A route may leave the last part of its path open, or the last two.
    const handler =
      routes.get(path) ??
      routes.get(path.replace(/[^/]+$/, '*')) ??
      routes.get(path.replace(/[^/]+\/[^/]+$/, '*/*'))
    if (handler) handler(request, response, Buffer.concat(body).toString())
    else response.writeHead(404).end('{}')
  })
  await once(server.listen(port, '127.0.0.1'), 'listening')
  const { port: actualPort } = server.address() as AddressInfo
  const serverName = `${name}:${actualPort}` as ServerName
  const key = fakeKey()
  const answer = (path: string, document: () => JsonObject, status = 200) =>
    routes.set(path, (_, response) => response.writeHead(status).end(JSON.stringify(document())))
  answer('/_matrix/key/v2/server', () => keyDocument(serverName, [key]))
  return {
    serverName,
    port: actualPort,
    key,
    /** Method and path of each request it got. */
    requests,
    route: (path: string, handler: Handler) => routes.set(path, handler),
    answer,
    signer: { serverName, ...key },
    async stop(): Promise<void> {
      server.closeAllConnections()
      await new Promise((closed) => server.close(closed))
    },
  }
}

export interface RequestOptions {
  readonly method?: string
  readonly uri?: string
  /** Null for a request without a body. */
  readonly content?: JsonObject | null
}

/** A request to a server of ours, signed as another one. */
export function signedRequest(
  signer: { readonly serverName: ServerName; readonly keyId: string; readonly key: SigningKey },
  destination: string,
  { method = 'PUT', uri = '/_matrix/federation/probe/1', content = { a: 1 } }: RequestOptions = {},
): { method: string; uri: string; authorization: string; body: string | undefined } {
  const body = content === null ? undefined : canonicalJson(content, { strict: false })
  const target = { method, uri, destination: destination as ServerName }
  return { method, uri, authorization: authorizationHeader(signer, target, body), body }
}
