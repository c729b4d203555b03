// An identity server on 127.0.0.1: it binds and looks up addresses, keeps invites, tells homeservers of bindings, checks the signature
// of those who unbind, and answers as a test wants where it wants something else.

import { randomBytes } from 'node:crypto'
import { createHash } from 'node:crypto'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { decodeBase64, encodeBase64 } from '../../src/matrix/base64.ts'
import { signedRequest } from '../../src/federation/client/x-matrix.ts'
import type { ServerName } from '../../src/matrix/event.ts'
import { isJsonObject, type JsonObject, type JsonValue } from '../../src/matrix/json.ts'
import { signJson, verifyKeyFromBytes } from '../../src/matrix/signing.ts'
import type { Authority } from './certificates.ts'
import { fakeKey, type Handler, startFakeHomeserver } from './fake-homeserver.ts'
import { textOf } from './text-of.ts'

/** A request as it came. `body` is empty for a GET. */
export interface Asked {
  readonly path: string
  readonly authorization: string | undefined
  readonly body: JsonObject
}

export interface Reply {
  readonly status?: number
  readonly body?: JsonValue
  readonly headers?: Readonly<Record<string, string>>
}

/** A user's address. */
export interface Binding {
  readonly medium: string
  readonly address: string
  readonly mxid: string
}

const base = '/_matrix/identity/v2'

export type FakeIdentityServer = Awaited<ReturnType<typeof startFakeIdentityServer>>

/** Starts one. It takes the access token `token`, and any session whose `sid` is an e-mail address. */
export async function startFakeIdentityServer(authority: Authority, name = 'identity.test') {
  const server = await startFakeHomeserver(authority, name)
  const longTerm = fakeKey('ed25519:0')
  const ephemeral = fakeKey('ed25519:0')
  const asked: Asked[] = []
  const identity = {
    name: server.serverName,
    longTerm,
    ephemeral,
    /** How clients name it, and themselves to it. */
    credentials: { id_server: server.serverName, id_access_token: 'token' },
    /** Everything it was asked, in order. */
    asked,
    /** The paths of that. */
    paths: () => asked.map(({ path }) => path),
    requests: server.requests,
    pepper: 'matrixrocks',
    algorithms: ['none', 'sha256'] as JsonValue,
    bindings: [] as Binding[],
    /** Bodies of store-invite, with the token of each. */
    stored: [] as JsonObject[],
    /** Public keys that do not count any more. */
    revoked: new Set<string>(),
    /** What the destination is called in what it verifies: `destination_is` as in servers of old. */
    destinationName: 'destination' as 'destination' | 'destination_is',
    /** The signing keys of homeservers, by name. */
    homeserverKeys: new Map<string, Record<string, string>>(),
    /** Another answer than its own, by the path below /_matrix/identity/v2. */
    replies: new Map<string, (call: Asked) => Reply | undefined>(),
    /** A handler instead of its own. */
    route: (path: string, handler: Handler) => server.route(`${base}${path}`, handler),
    /** Forgets what a test did. */
    reset(): void {
      asked.length = 0
      identity.pepper = 'matrixrocks'
      identity.algorithms = ['none', 'sha256']
      identity.bindings = []
      identity.stored = []
      identity.revoked.clear()
      identity.destinationName = 'destination'
      identity.replies.clear()
      for (const [path, handler] of own) server.route(path, handler)
    },
    /** The invites that waited for an address, each with its proof, for whoever turns out to own it. */
    invitesFor({ medium, address, mxid }: Binding): JsonObject[] {
      return identity.stored
        .filter((invite) => invite['medium'] === medium && invite['address'] === address)
        .map(({ token, room_id, sender }) => ({
          medium,
          address,
          mxid,
          room_id: room_id ?? '',
          sender: sender ?? '',
          signed: signJson({ mxid, token: token ?? '' }, server.serverName, longTerm.keyId, longTerm.key),
        }))
    },
    stop: () => server.stop(),
  }

  const serve = (path: string, answer: (call: Asked, request: IncomingMessage) => Reply) => {
    const handler: Handler = (request, response, text) => {
      const parsed: unknown = text === '' ? {} : JSON.parse(text)
      const call = {
        path,
        authorization: request.headers.authorization,
        body: isJsonObject(parsed) ? parsed : {},
      }
      asked.push(call)
      send(response, identity.replies.get(path)?.(call) ?? answer(call, request))
    }
    own.push([`${base}${path}`, handler])
    server.route(`${base}${path}`, handler)
  }
  const own: [string, Handler][] = []
  const known = (answer: (call: Asked) => Reply) => (call: Asked) =>
    call.authorization === 'Bearer token' ? answer(call) : failure(401, 'M_UNAUTHORIZED')
  const validity = (_: Asked, request: IncomingMessage): Reply => {
    const key = new URL(request.url ?? '', 'https://x.test').searchParams.get('public_key') ?? ''
    const keys = [longTerm, ephemeral].map(({ key: { publicKey } }) => encodeBase64(publicKey))
    return { body: { valid: keys.includes(key) && !identity.revoked.has(key) } }
  }

  serve(
    '/hash_details',
    known(() => ({ body: { lookup_pepper: identity.pepper, algorithms: identity.algorithms } })),
  )
  serve(
    '/lookup',
    known(({ body: { algorithm, pepper, addresses } }) => {
      if (pepper !== identity.pepper) return failure(400, 'M_INVALID_PEPPER')
      const names = identity.bindings.map(({ medium, address, mxid }) => {
        const text = `${address} ${medium}`
        const hash = createHash('sha256').update(`${text} ${pepper}`).digest('base64url')
        return [algorithm === 'none' ? text : hash, mxid] as const
      })
      const asking = Array.isArray(addresses) ? addresses : []
      return { body: { mappings: Object.fromEntries(names.filter(([text]) => asking.includes(text))) } }
    }),
  )
  serve(
    '/store-invite',
    known(({ body }) => {
      const token = randomBytes(20).toString('hex')
      identity.stored.push({ ...body, token })
      const publicKeys = [
        { key: longTerm, path: 'pubkey/isvalid' },
        { key: ephemeral, path: 'pubkey/ephemeral/isvalid' },
      ].map(({ key, path }) => ({
        public_key: encodeBase64(key.key.publicKey),
        key_validity_url: `https://${server.serverName}${base}/${path}`,
      }))
      return { body: { token, public_keys: publicKeys, display_name: 'f...@b...' } }
    }),
  )
  serve(
    '/3pid/bind',
    known(({ body }) => {
      const binding = { medium: 'email', address: textOf(body, 'sid'), mxid: textOf(body, 'mxid') }
      if (!binding.address.includes('_at_')) return failure(404, 'M_NO_VALID_SESSION')
      const bound = { ...binding, address: binding.address.replace('_at_', '@') }
      identity.bindings.push(bound)
      return { body: { ...bound, not_before: 1, not_after: 2, ts: 1, signatures: {} } }
    }),
  )
  serve('/3pid/unbind', ({ authorization, body }) => {
    const origin = verified(identity, server.serverName, authorization, body)
    const { mxid, threepid } = body
    if (origin === undefined || !textOf(body, 'mxid').endsWith(`:${origin}`))
      return failure(401, 'M_FORBIDDEN')
    if (!isJsonObject(threepid)) return failure(400, 'M_MISSING_PARAMS')
    identity.bindings = identity.bindings.filter(
      (known) => !(known.mxid === mxid && known.address === threepid['address']),
    )
    return { body: {} }
  })
  serve('/pubkey/isvalid', validity)
  serve('/pubkey/ephemeral/isvalid', validity)
  return identity
}

function verified(
  identity: {
    readonly homeserverKeys: Map<string, Record<string, string>>
    readonly destinationName: 'destination' | 'destination_is'
  },
  name: ServerName,
  authorization: string | undefined,
  body: JsonObject,
): string | undefined {
  const fields = Object.fromEntries(
    [...(authorization ?? '').matchAll(/(\w+)="([^"]*)"/g)].map(([, key = '', value = '']) => [key, value]),
  )
  const { origin = '', key = '', sig = '' } = fields
  const bytes = decodeBase64(identity.homeserverKeys.get(origin)?.[key] ?? '')
  const message = signedRequest(
    { method: 'POST', uri: `${base}/3pid/unbind`, origin: origin as ServerName, destination: name },
    JSON.stringify(body),
    identity.destinationName,
  )
  const isTheirs = bytes && verifyKeyFromBytes(bytes)?.verify(message, decodeBase64(sig) ?? new Uint8Array())
  return isTheirs ? origin : undefined
}

/** A standard error. */
export function failure(status: number, errcode: string, more: JsonObject = {}): Reply {
  return { status, body: { errcode, error: `refused with ${errcode}`, ...more } }
}

function send(response: ServerResponse, { status = 200, body, headers = {} }: Reply): void {
  response.writeHead(status, { 'Content-Type': 'application/json', ...headers })
  response.end(body === undefined ? '' : JSON.stringify(body))
}
