// Authorisation of third-party invites: of m.room.third_party_invite itself, and of the member event it is
// exchanged for once the identity server has bound the identifier to a user.
// Specification: room versions 1-12, "Authorisation rules", m.room.third_party_invite and membership `invite`.

import { decodeBase64, decodeUrlSafeBase64 } from '../base64.ts'
import { accept } from '../event.ts'
import type { Event, StateLookup, Verdict } from '../event.ts'
import { isJsonObject, objectProperty, property, stringProperty } from '../json.ts'
import type { JsonObject, JsonValue } from '../json.ts'
import { powerLevelsContent, requiredLevel, userPowerLevel } from '../power-levels.ts'
import type { RoomVersionRules } from '../room-version.ts'
import { verifyJson } from '../signing.ts'
import type { MemberChange } from './member-change.ts'
import { membershipOf } from './room-state.ts'
import { refuse } from './rules.ts'

// Two events of 64 KiB can name a million pairs of signature and key: half a minute of verification. Real ones
// have a handful, so that stopping here refuses only what was made to burn our time.
const maxVerifications = 64

/** Judges an m.room.third_party_invite event: its sender needs the power to invite, whatever `events` says. */
export function checkThirdPartyInvite(rules: RoomVersionRules, event: Event, state: StateLookup): Verdict {
  const inviteLevel = requiredLevel(rules, powerLevelsContent(state), 'invite')
  return userPowerLevel(rules, event.sender, state) >= inviteLevel
    ? accept
    : refuse('third-party-invite-level')
}

/** Judges an invite whose content has `third_party_invite`: the proof that its target owns the identifier. */
export function checkExchangedInvite(change: MemberChange, thirdPartyInvite: JsonValue): Verdict {
  const { event, target, state } = change
  if (membershipOf(state, target) === 'ban') return refuse('invite-third-party-banned')
  const signed = isJsonObject(thirdPartyInvite) ? objectProperty(thirdPartyInvite, 'signed') : undefined
  if (signed === undefined) return refuse('invite-third-party-signed')
  const mxid = stringProperty(signed, 'mxid')
  const token = stringProperty(signed, 'token')
  if (mxid === undefined || token === undefined) return refuse('invite-third-party-fields')
  if (mxid !== target) return refuse('invite-third-party-mxid')
  const invite = state('m.room.third_party_invite', token)
  if (invite === undefined) return refuse('invite-third-party-token')
  // Whoever invited the third party must also send what it becomes.
  if (event.sender !== invite.sender) return refuse('invite-third-party-sender')
  return isSignedByAny(signed, publicKeys(invite.content)) ? accept : refuse('invite-third-party-signature')
}

/** A key that a third-party invite may be claimed by. */
export interface InviteKey {
  /** As the event has it. */
  readonly publicKey: string
  /** Where to ask whether it still counts. Without it the key counts for good. */
  readonly validityUrl: string | undefined
}

/** Those of the keys of an m.room.third_party_invite that have signed a proof. */
export function keysThatSigned(signed: JsonObject, content: JsonObject): InviteKey[] {
  const texts = new Set(signers(signed, publicKeys(content)))
  const keys = keyEntries(content).flatMap((entry) => {
    const publicKey = stringProperty(entry, 'public_key')
    if (publicKey === undefined || !texts.has(publicKey)) return []
    return [{ publicKey, validityUrl: stringProperty(entry, 'key_validity_url') }]
  })
  return [...new Map(keys.map((key) => [`${key.publicKey} ${key.validityUrl}`, key])).values()]
}

/** The keys by their texts. */
function publicKeys(content: JsonObject): Map<string, Uint8Array> {
  const texts = keyEntries(content).flatMap((entry) => stringProperty(entry, 'public_key') ?? [])
  return new Map(
    texts.flatMap((text) => {
      const key = decodePublicKey(text)
      return key ? [[text, key] as const] : []
    }),
  )
}

// The one key of the older form, and the list of the newer one.
function keyEntries(content: JsonObject): JsonObject[] {
  const list = property(content, 'public_keys')
  return [content, ...(Array.isArray(list) ? list.filter(isJsonObject) : [])]
}

/** An Ed25519 key, which may come in either base64 alphabet. */
function decodePublicKey(text: string): Uint8Array | undefined {
  const key = decodeBase64(text) ?? decodeUrlSafeBase64(text)
  return key?.length === 32 ? key : undefined
}

function isSignedByAny(signed: JsonObject, keys: ReadonlyMap<string, Uint8Array>): boolean {
  return signers(signed, keys).next().done !== true
}

/** The texts of those of the keys that have signed, each as it is found. */
function* signers(signed: JsonObject, keys: ReadonlyMap<string, Uint8Array>): Generator<string, undefined> {
  let verifications = 0
  for (const { entity, keyId } of signaturesOf(signed)) {
    for (const [text, key] of keys) {
      verifications += 1
      if (verifications > maxVerifications) return
      if (verifyJson(signed, entity, keyId, key)) yield text
    }
  }
}

function signaturesOf(signed: JsonObject): { entity: string; keyId: string }[] {
  const signatures = objectProperty(signed, 'signatures') ?? {}
  return Object.keys(signatures).flatMap((entity) =>
    Object.keys(objectProperty(signatures, entity) ?? {}).map((keyId) => ({ entity, keyId })),
  )
}
