// This server as the signer of its requests and of what it says about other servers' keys.

import { config } from '../config.ts'
import { type Env, serverKeysStub } from '../env.ts'
import type { ServerName } from '../matrix/event.ts'
import { signingKeyFromSeed, type SigningKey } from '../matrix/signing.ts'

export interface OwnSigner {
  readonly serverName: ServerName
  /** The whole identifier, `ed25519:…`. */
  readonly keyId: string
  readonly key: SigningKey
}

// Shorter than a key goes on signing after it was replaced, see server-keys.ts.
const keptMs = 5 * 60 * 1000
const kept = new WeakMap<Env, { readonly signer: OwnSigner; readonly until: number }>()

/** The key to sign with, asked of the ServerKeys object and kept in memory for a few minutes. */
export async function ownSigner(env: Env): Promise<OwnSigner> {
  const known = kept.get(env)
  if (known && known.until > Date.now()) return known.signer
  const { keyId, seed } = await serverKeysStub(env).signingKey()
  const signer = { serverName: config(env).serverName, keyId, key: signingKeyFromSeed(seed) }
  kept.set(env, { signer, until: Date.now() + keptMs })
  return signer
}
