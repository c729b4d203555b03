// The document about our own keys that other servers verify with. Server-server API, "Publishing Keys".

import { encodeBase64 } from '../matrix/base64.ts'
import type { ServerName } from '../matrix/event.ts'
import type { JsonObject } from '../matrix/json.ts'
import { signingKeyFromSeed, signJson } from '../matrix/signing.ts'

export interface OwnKey {
  readonly keyId: string
  /** 32 secret bytes. */
  readonly seed: Uint8Array
  readonly expiredTs: number | null
}

/** How long others believe a key: they ask once a day; one that was replaced is not believed for longer. In milliseconds. */
export const validityMs = 24 * 60 * 60 * 1000

/** The document, signed by each key that is in use at `now` (ms). */
export function ownKeyAnswer(serverName: ServerName, keys: readonly OwnKey[], now: number): JsonObject {
  const inUse = keys.filter(({ expiredTs }) => expiredTs === null || expiredTs > now)
  const old = keys.filter(({ expiredTs }) => expiredTs !== null && expiredTs <= now)
  const answer: JsonObject = {
    server_name: serverName,
    verify_keys: Object.fromEntries(inUse.map((key) => [key.keyId, { key: publicHalf(key) }])),
    old_verify_keys: Object.fromEntries(
      old.map((key) => [key.keyId, { key: publicHalf(key), expired_ts: key.expiredTs }]),
    ),
    valid_until_ts: now + validityMs,
  }
  return inUse.reduce(
    (signed, { keyId, seed }) => signJson(signed, serverName, keyId, signingKeyFromSeed(seed)),
    answer,
  )
}

function publicHalf({ seed }: OwnKey): string {
  return encodeBase64(signingKeyFromSeed(seed).publicKey)
}
