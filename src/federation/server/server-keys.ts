// Our signing keys for others to verify with. Server-server API, "Publishing Keys".

import { type Env, serverKeysStub } from '../../env.ts'
import type { FederationRouter } from './router.ts'

// Shorter than a new key is published before it signs, see keys/server-keys.ts.
const keptMs = 60 * 1000
const kept = new WeakMap<Env, { readonly text: string; readonly until: number }>()

/** GET /_matrix/key/v2/server, and its deprecated form that names a key. */
export function serverKeyRoutes({ openRoute }: FederationRouter): void {
  // https://spec.matrix.org/v1.19/server-server-api/#get_matrixkeyv2server
  for (const path of ['/_matrix/key/v2/server', '/_matrix/key/v2/server/:keyId']) {
    openRoute('GET', path, async (c) => {
      c.header('Content-Type', 'application/json')
      return c.body(await ownKeyAnswer(c.env))
    })
  }
}

/** What we publish about our keys, signed by each in use, as JSON text. Valid for nearly a day. */
export async function ownKeyAnswer(env: Env): Promise<string> {
  const known = kept.get(env)
  if (known && known.until > Date.now()) return known.text
  const text = await serverKeysStub(env).keyAnswer()
  kept.set(env, { text, until: Date.now() + keptMs })
  return text
}
