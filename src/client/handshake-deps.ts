// What a handshake with another server needs of this one.

import type { Env } from '../env.ts'
import { federationFetch, federationRequest } from '../federation/client/request.ts'
import type { HandshakeDeps } from '../federation/remote-join/handshake.ts'
import { ownSigner } from '../keys/own-signer.ts'

/** The network, our signature and the clock. */
export async function handshakeDeps(env: Env): Promise<HandshakeDeps> {
  return {
    request: (call) => federationRequest(env, call),
    fetch: (call) => federationFetch(env, call),
    signer: await ownSigner(env),
    now: Date.now,
  }
}
