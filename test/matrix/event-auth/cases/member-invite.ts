// Cases of invites, by user ID and in exchange for a third-party invite.

import { createPrivateKey, createPublicKey, sign } from 'node:crypto'
import type { Verdict } from '../../../../src/matrix/event.ts'
import type { JsonObject, JsonValue } from '../../../../src/matrix/json.ts'
import type { RoomVersionId } from '../../../../src/matrix/room-version.ts'
import {
  alice,
  all,
  banned,
  bob,
  carol,
  fails,
  invited,
  left,
  passes,
  powers,
  room,
  stranger,
} from './rule-case.ts'
import type { RuleCase } from './rule-case.ts'

const invite = (version: RoomVersionId, target: string, sender: string, powerLevels?: JsonObject): Verdict =>
  room(version, powerLevels === undefined ? {} : { powerLevels }).judgeMember(target, 'invite', { sender })

// The first public key has characters in which the base64 alphabets differ.
const keys = [2, 1, 3].map((seed) => {
  const prefix = Buffer.from('302e020100300506032b657004220420', 'hex')
  const der = Buffer.concat([prefix, Buffer.alloc(32, seed)])
  return createPrivateKey({ key: der, format: 'der', type: 'pkcs8' })
})
const [key, otherKey, foreignKey] = keys

function publicText(of = key): string {
  if (of === undefined) throw new Error('no key')
  const der = createPublicKey(of).export({ format: 'der', type: 'spki' })
  return der.subarray(-32).toString('base64').replace(/=+$/, '')
}

function urlSafe(text: string): string {
  return text.replaceAll('+', '-').replaceAll('/', '_')
}

/** What the identity server signs, in the canonical order of its keys. */
function signedBy(of = key, mxid = stranger, token = 'token'): JsonObject {
  if (of === undefined) throw new Error('no key')
  const object = { mxid, sender: bob, token }
  const signature = sign(null, Buffer.from(JSON.stringify(object)), of)
    .toString('base64')
    .replace(/=+$/, '')
  return { ...object, signatures: { 'id.example': { 'ed25519:0': signature } } }
}

interface Exchange {
  readonly signed?: JsonValue
  /** Content of the m.room.third_party_invite event, null for no such event. */
  readonly inviteContent?: JsonObject | null
  readonly inviteSender?: string
  readonly target?: string
  readonly sender?: string
}

/** The invite of a stranger by bob in exchange for the third-party invite that bob sent. */
function exchange(version: RoomVersionId, options: Exchange = {}): Verdict {
  const content = options.inviteContent === undefined ? { public_key: publicText() } : options.inviteContent
  const thirdParty = {
    type: 'm.room.third_party_invite',
    sender: options.inviteSender ?? bob,
    state_key: 'token',
  }
  return room(version, { more: content === null ? [] : [{ ...thirdParty, content }] }).judgeMember(
    options.target ?? stranger,
    'invite',
    {
      sender: options.sender ?? bob,
      content: { third_party_invite: { signed: options.signed ?? signedBy() } },
    },
  )
}

const thirdParty = (version: RoomVersionId, value: JsonValue): Verdict =>
  room(version).judgeMember(stranger, 'invite', { sender: bob, content: { third_party_invite: value } })

function manySignatures(count: number): JsonObject {
  const signed = signedBy()
  const [valid] = Object.values(signed['signatures'] as JsonObject)
  const wrong = Array.from({ length: count }, (_, n) => [`${n}.example`, { 'ed25519:0': 'A'.repeat(86) }])
  return {
    ...signed,
    signatures: { ...(Object.fromEntries(wrong) as JsonObject), 'id.example': valid ?? null },
  }
}

export const inviteCases: readonly RuleCase[] = [
  passes('invite-sender-membership', all, 'a member invites', (v) => invite(v, stranger, carol)),
  ...[invited, left, stranger, banned].map((sender) =>
    fails('invite-sender-membership', all, `${sender} is not joined and cannot invite`, (v) =>
      invite(v, '@new:c.example', sender),
    ),
  ),
  ...[left, invited].map((target) =>
    passes('invite-target-membership', all, `${target} can be invited`, (v) => invite(v, target, bob)),
  ),
  ...[carol, banned].map((target) =>
    fails('invite-target-membership', all, `${target} cannot be invited`, (v) => invite(v, target, alice)),
  ),
  passes('invite-level', all, 'a member with the invite level invites', (v) =>
    invite(v, stranger, bob, powers(v, { invite: 50 })),
  ),
  fails('invite-level', all, 'a member below the invite level cannot invite', (v) =>
    invite(v, stranger, bob, powers(v, { invite: 51 })),
  ),
  fails('invite-level', all, 'a member of a negative level cannot invite by default', (v) =>
    invite(v, stranger, carol, powers(v, {}, { [carol]: -1 })),
  ),
]

export const exchangedInviteCases: readonly RuleCase[] = [
  passes('invite-third-party-banned', all, 'a third-party invite is exchanged', (v) => exchange(v)),
  fails('invite-third-party-banned', all, 'a banned user is not invited by a third-party invite', (v) =>
    exchange(v, { target: banned, signed: signedBy(key, banned) }),
  ),

  passes('invite-third-party-signed', all, 'the signed object is there', (v) => exchange(v)),
  ...[null, 'x', [], {}, { signed: null }, { signed: [] }].map((value) =>
    fails('invite-third-party-signed', all, `${JSON.stringify(value)} has no signed object`, (v) =>
      thirdParty(v, value),
    ),
  ),

  passes('invite-third-party-fields', all, 'signed names user and token', (v) => exchange(v)),
  ...[{ token: 'token' }, { mxid: stranger }, { mxid: 1, token: 'token' }, { mxid: stranger, token: 1 }].map(
    (signed) =>
      fails('invite-third-party-fields', all, `${JSON.stringify(signed)} lacks mxid or token`, (v) =>
        exchange(v, { signed }),
      ),
  ),

  passes('invite-third-party-mxid', all, 'the signed user is the invited one', (v) => exchange(v)),
  fails('invite-third-party-mxid', all, 'a proof for one user invites no other', (v) =>
    exchange(v, { signed: signedBy(key, left) }),
  ),

  passes('invite-third-party-token', all, 'the token is that of a pending invite', (v) => exchange(v)),
  fails('invite-third-party-token', all, 'an unknown token is worth nothing', (v) =>
    exchange(v, { signed: signedBy(key, stranger, 'other') }),
  ),
  fails('invite-third-party-token', all, 'without a third-party invite there is nothing to exchange', (v) =>
    exchange(v, { inviteContent: null }),
  ),

  passes('invite-third-party-sender', all, 'who left since can still have the invite exchanged', (v) =>
    exchange(v, { sender: left, inviteSender: left }),
  ),
  fails('invite-third-party-sender', all, 'only the sender of a third-party invite exchanges it', (v) =>
    exchange(v, { sender: alice }),
  ),

  ...[
    { public_key: publicText() },
    { public_key: `${publicText()}=` },
    { public_key: urlSafe(publicText()) },
    { public_keys: [{ public_key: publicText() }] },
    { public_key: publicText(otherKey), public_keys: [{ public_key: publicText() }] },
    { public_key: 'no key', public_keys: [null, {}, { public_key: 1 }, { public_key: publicText() }] },
  ].map((inviteContent) =>
    passes('invite-third-party-signature', all, `signed by a key of ${JSON.stringify(inviteContent)}`, (v) =>
      exchange(v, { inviteContent }),
    ),
  ),
  ...[
    {},
    { public_key: publicText(otherKey) },
    { public_key: '' },
    { public_keys: publicText() },
    { public_keys: [publicText()] },
    { public_keys: { 0: { public_key: publicText() } } },
  ].map((inviteContent) =>
    fails(
      'invite-third-party-signature',
      all,
      `not signed by a key of ${JSON.stringify(inviteContent)}`,
      (v) => exchange(v, { inviteContent }),
    ),
  ),
  ...[{}, null, { 'id.example': {} }, { 'id.example': { 'ed25519:0': 'AAAA' } }, { 'id.example': null }].map(
    (signatures) =>
      fails('invite-third-party-signature', all, `${JSON.stringify(signatures)} is no signature`, (v) =>
        exchange(v, { signed: { ...signedBy(), signatures } }),
      ),
  ),
  fails('invite-third-party-signature', all, 'a changed object is not signed', (v) =>
    exchange(v, { signed: { ...signedBy(), extra: true } }),
  ),
  fails('invite-third-party-signature', all, 'a key that the invite does not name signs nothing', (v) =>
    exchange(v, { signed: signedBy(foreignKey) }),
  ),
  passes('invite-third-party-signature', all, 'one valid signature among some suffices', (v) =>
    exchange(v, { signed: manySignatures(20) }),
  ),
  fails('invite-third-party-signature', all, 'a flood of signatures is not worked through', (v) =>
    exchange(v, { signed: manySignatures(500) }),
  ),
]
