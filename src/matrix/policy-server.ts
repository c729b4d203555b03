// Policy servers: which one a room says it uses, and its signature on events.
// Specification: server-server API, "Policy Servers"; client-server API, "Policy Servers", `m.room.policy`.

import { decodeBase64, decodeUrlSafeBase64 } from './base64.ts'
import { CanonicalJsonError } from './canonical-json.ts'
import type { ServerName } from './event.ts'
import { parseServerName } from './identifiers.ts'
import { type JsonObject, objectProperty, stringProperty } from './json.ts'
import { redact } from './redaction.ts'
import type { RoomVersionRules } from './room-version.ts'
import { signedBytes, verifySignature, withSignature } from './signing.ts'

export interface PolicyServer {
  readonly via: ServerName
  /** The Ed25519 public key; undefined for a text that is none, by which no signature holds. */
  readonly key: Uint8Array | undefined
}

/** The one id that the Ed25519 key of a policy server has. */
export const policyKeyId = 'ed25519:policy_server'

/** The policy server that the content of `m.room.policy` names; undefined where it says too little to name one. */
export function parsePolicyServer(content: JsonObject | undefined): PolicyServer | undefined {
  const via = parseServerName(stringProperty(content, 'via') ?? '')
  const key = stringProperty(objectProperty(content, 'public_keys'), 'ed25519')
  if (via === undefined || key === undefined) return undefined
  // The text asks for unpadded base64, and its example has the URL-safe alphabet.
  return { via, key: decodeBase64(key) ?? decodeUrlSafeBase64(key) }
}

/** Whether policy servers have a say in an event: in all but the one by which a room chooses or leaves its policy server. */
export function concernsPolicyServer(event: {
  readonly type: string
  readonly state_key?: string | undefined
}): boolean {
  return event.type !== 'm.room.policy' || event.state_key !== ''
}

/** Whether an event carries a valid signature of a policy server. Never throws. */
export function hasPolicySignature(pdu: JsonObject, rules: RoomVersionRules, policy: PolicyServer): boolean {
  const ofServer = objectProperty(objectProperty(pdu, 'signatures'), policy.via)
  const signature = stringProperty(ofServer, policyKeyId)
  if (signature === undefined || policy.key === undefined) return false
  try {
    // As those of other servers: over the redacted event.
    const message = signedBytes(redact(pdu, rules), { strict: rules.strictCanonicalJson })
    return verifySignature(message, signature, policy.key)
  } catch (error) {
    if (error instanceof CanonicalJsonError) return false
    throw error
  }
}

/** The event with the signature beside those it has: the policy server may be the one that sent it. */
export function withPolicySignature(pdu: JsonObject, via: ServerName, signature: string): JsonObject {
  return withSignature(pdu, via, policyKeyId, signature)
}
