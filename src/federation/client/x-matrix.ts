// Signing our requests to other servers. Server-server API, "Request Authentication".

import { encodeBase64 } from '../../matrix/base64.ts'
import type { ServerName } from '../../matrix/event.ts'
import type { OwnSigner } from '../../keys/own-signer.ts'

/** What of a request is signed, besides its body. */
export interface RequestTarget {
  readonly method: string
  /** Path and query as they are sent. */
  readonly uri: string
  readonly origin: ServerName
  readonly destination: ServerName
}

const utf8 = new TextEncoder()

/** What the destination is called in what is signed. The other name is that of identity servers from before the specification. */
type DestinationName = 'destination' | 'destination_is'

/** The bytes that a request's signature covers. `body` is the JSON text of the content, canonical where we sign. */
export function signedRequest(
  { method, uri, origin, destination }: RequestTarget,
  body?: string,
  named: DestinationName = 'destination',
): Uint8Array {
  const fields = Object.entries({ [named]: destination, method, origin, uri })
    .map(([name, value]) => `"${name}":${JSON.stringify(value)}`)
    .join(',')
  return utf8.encode(body === undefined ? `{${fields}}` : `{"content":${body},${fields}}`)
}

/** The Authorization header of a request of ours. `body` is canonical JSON, left out where there is none. */
export function authorizationHeader(
  signer: OwnSigner,
  { method, uri, destination }: Omit<RequestTarget, 'origin'>,
  body?: string,
  named: DestinationName = 'destination',
): string {
  const origin = signer.serverName
  const message = signedRequest({ method, uri, origin, destination }, body, named)
  // Lower case, no white space, no backslashes: older servers read nothing else.
  const parameters = { origin, destination, key: signer.keyId, sig: encodeBase64(signer.key.sign(message)) }
  const list = Object.entries(parameters).map(([name, value]) => `${name}="${value}"`)
  return `X-Matrix ${list.join(',')}`
}
