// Invites that wait at an identity server until somebody owns the address.
// Specification: identity service API, "Invitation storage"; client-server API, m.room.third_party_invite.

import type { Env } from '../env.ts'
import { unreachable } from '../federation/client/transport.ts'
import { decodeBase64, decodeUrlSafeBase64 } from '../matrix/base64.ts'
import type { RoomId, ServerName, UserId } from '../matrix/event.ts'
import { parseUserId } from '../matrix/identifiers.ts'
import { isJsonObject, type JsonObject, property, stringProperty } from '../matrix/json.ts'
import { identityRefusal } from './identity-refusal.ts'
import { identityRequest, type IdentityServer } from './identity-server.ts'
import type { ThirdPartyIdentifier } from './third-party-identifier.ts'

/** What an identity server may tell the invited of room and sender: the optional fields of the request. */
export type InviteDetails = Readonly<Record<string, string>>

interface InviteToStore {
  readonly identifier: ThirdPartyIdentifier
  readonly roomId: RoomId
  readonly sender: UserId
  readonly details: InviteDetails
}

/** The state key and content of the room's m.room.third_party_invite. */
export interface StoredInvite {
  readonly token: string
  readonly content: JsonObject
}

const tokenShape = /^[0-9a-zA-Z.=_-]{1,255}$/
const mostKeys = 10
const longestText = 1000

/**
 * Has an identity server keep an invite and tell the address of it. The user, where it knows by now whose the address is.
 * Refusals of the server, 502 and 504 as `identityRequest`.
 */
export async function storeInvite(
  env: Env,
  { name, accessToken }: IdentityServer,
  { identifier, roomId, sender, details }: InviteToStore,
): Promise<StoredInvite | { readonly userId: UserId }> {
  const { medium, address } = identifier
  const answer = await identityRequest(env, {
    server: name,
    path: '/_matrix/identity/v2/store-invite',
    authorization: `Bearer ${accessToken}`,
    body: JSON.stringify({ ...details, medium, address, room_id: roomId, sender }),
  })
  if (answer.status === 200) return storedInvite(name, identifier, answer.body)
  const inUse = answer.status === 400 && stringProperty(answer.body, 'errcode') === 'M_THREEPID_IN_USE'
  const userId = inUse ? parseUserId(stringProperty(answer.body, 'mxid') ?? '') : undefined
  if (userId !== undefined) return { userId }
  throw identityRefusal(name, answer)
}

function storedInvite(
  server: ServerName,
  { address }: ThirdPartyIdentifier,
  body: JsonObject | undefined,
): StoredInvite {
  const token = stringProperty(body, 'token')
  const displayName = stringProperty(body, 'display_name')
  const keys = publicKeys(property(body, 'public_keys'))
  const [first] = keys
  if (token === undefined || !tokenShape.test(token)) throw unreachable(server, 'its token is none')
  if (displayName === undefined || displayName.length > longestText) {
    throw unreachable(server, 'it names the invited not at all, or at too great length')
  }
  if (!first) throw unreachable(server, 'its public keys are none')
  // Who reads the room must not learn which address it was.
  const shown = displayName.toLowerCase().includes(address) ? hidden(address) : displayName
  return {
    token,
    content: {
      display_name: shown,
      // The one key of the older form.
      public_key: first.public_key,
      key_validity_url: first.key_validity_url,
      public_keys: keys.map((key) => ({ ...key })),
    },
  }
}

interface PublicKey {
  readonly public_key: string
  readonly key_validity_url: string
}

/** The keys that the proof may be signed by; none where any of them is not one. */
function publicKeys(list: unknown): PublicKey[] {
  if (!Array.isArray(list) || list.length > mostKeys) return []
  const keys = list.map((entry: unknown) => {
    if (!isJsonObject(entry)) return undefined
    const publicKey = stringProperty(entry, 'public_key')
    const url = stringProperty(entry, 'key_validity_url')
    if (publicKey === undefined || !isKey(publicKey) || url === undefined || url.length > longestText) {
      return undefined
    }
    return { public_key: publicKey, key_validity_url: url }
  })
  const known = keys.filter((key) => key !== undefined)
  return known.length === list.length ? known : []
}

/** An Ed25519 key in either base64 alphabet. */
function isKey(text: string): boolean {
  return (decodeBase64(text) ?? decodeUrlSafeBase64(text))?.length === 32
}

/** The first letters of an address. */
function hidden(address: string): string {
  return address
    .split('@')
    .map((part) => `${part.slice(0, 1)}...`)
    .join('@')
}
