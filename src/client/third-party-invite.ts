// Inviting somebody by an e-mail address or the like: the user whose it is, or else the address itself.
// Specification: client-server API, "Third-party invites".

import * as v from 'valibot'
import { type Env, roomStub } from '../env.ts'
import { MatrixError } from '../errors.ts'
import { claimInvite } from '../federation/bound-invites.ts'
import { writeToRoom } from '../federation/write-to-room.ts'
import type { AppContext } from '../http/app-type.ts'
import { checked } from '../http/json-body.ts'
import { type IdentityServer, identityServerName } from '../identity/identity-server.ts'
import { lookUp } from '../identity/look-up.ts'
import { type InviteDetails, storeInvite } from '../identity/store-invite.ts'
import { type ThirdPartyIdentifier, thirdPartyIdentifier } from '../identity/third-party-identifier.ts'
import type { RoomId, UserId } from '../matrix/event.ts'
import { type JsonObject, type JsonValue, objectProperty, property } from '../matrix/json.ts'
import { inviteUser } from './change-membership.ts'
import { identityAccessToken, limitIdentityRequests } from './identity-requests.ts'
import { checkedUserId } from './path-params.ts'

const invite3pid = v.looseObject({ id_server: v.string(), medium: v.string(), address: v.string() })

/** Somebody to invite, and the identity server that is to know them. */
export interface ThirdParty {
  readonly server: IdentityServer
  readonly identifier: ThirdPartyIdentifier
}

/** Whom an `Invite3pid` of the specification means. M_MISSING_PARAM, M_INVALID_PARAM. */
export function thirdParty(invite: JsonObject): ThirdParty {
  const { id_server, medium, address } = checked(invite3pid, invite, 'M_INVALID_PARAM')
  return {
    server: { name: identityServerName(id_server), accessToken: identityAccessToken(invite) },
    identifier: thirdPartyIdentifier(medium, address),
  }
}

export interface FoundParties {
  /** Those who are users. */
  readonly users: readonly UserId[]
  /** Those of whom nobody knows who they are. */
  readonly unknown: readonly ThirdParty[]
}

/** Who some third parties are, asked of each identity server once. As `lookUp`. */
export async function findParties(env: Env, parties: readonly ThirdParty[]): Promise<FoundParties> {
  const unlike = [...new Map(parties.map((party) => [JSON.stringify(party), party])).values()]
  const byServer = Map.groupBy(unlike, ({ server }) => JSON.stringify(server))
  const users: UserId[] = []
  const unknown: ThirdParty[] = []
  for (const [first, ...others] of byServer.values()) {
    if (!first) continue
    const asked = [first, ...others]
    const owners = await lookUp(
      env,
      first.server,
      asked.map(({ identifier }) => identifier),
    )
    for (const [n, party] of asked.entries()) {
      const owner = owners[n]
      if (owner === undefined) unknown.push(party)
      else users.push(owner)
    }
  }
  return { users, unknown }
}

interface Invitation {
  readonly roomId: RoomId
  readonly sender: UserId
  /** What the identity server may say of room and sender. */
  readonly details: InviteDetails
  /** The content of the member event besides `membership`. */
  readonly content: JsonObject
}

/**
 * Invites an address, of which the identity server tells whoever reads it; the user, where that knows by now whose it is. As `storeInvite`,
 * `inviteUser` and what the room throws.
 */
export async function inviteAddress(
  env: Env,
  { roomId, sender, details, content }: Invitation,
  { server, identifier }: ThirdParty,
): Promise<void> {
  const stored = await storeInvite(env, server, { identifier, roomId, sender, details })
  if ('userId' in stored) {
    await inviteUser(env, { roomId, sender, target: stored.userId, content })
    return
  }
  const draft = {
    type: 'm.room.third_party_invite',
    sender,
    state_key: stored.token,
    // For the member event that it becomes: nothing else remembers what room it was made for.
    content: { ...stored.content, ...(property(content, 'is_direct') === true ? { is_direct: true } : {}) },
  }
  await writeToRoom(env, roomId, (room) => room.sendEvent({ draft }))
}

/**
 * POST /invite with a third-party identifier in its body. M_MISSING_PARAM, M_INVALID_PARAM; M_FORBIDDEN before anybody is asked,
 * and as `inviteUser`; what the identity server refuses, 502 and 504 where it cannot be asked.
 */
export async function inviteThirdParty(
  c: AppContext,
  roomId: RoomId,
  body: JsonObject,
  content: JsonObject,
): Promise<void> {
  const party = thirdParty(body)
  await limitIdentityRequests(c)
  const { userId: sender } = c.var.session
  const details = await roomStub(c.env, roomId).thirdPartyInviteDetails(sender)
  const found = await findParties(c.env, [party])
  for (const target of found.users) await inviteUser(c.env, { roomId, sender, target, content })
  for (const unknown of found.unknown) {
    await inviteAddress(c.env, { roomId, sender, details, content }, unknown)
  }
}

const joinBody = v.looseObject({
  third_party_signed: v.looseObject({
    sender: v.string(),
    mxid: v.string(),
    token: v.string(),
    signatures: v.record(v.string(), v.record(v.string(), v.string())),
  }),
})

/**
 * What `third_party_signed` says on joining: that the user is the one whom an invite of an address was for. They are invited then, by
 * whoever invited the address. M_MISSING_PARAM, M_INVALID_PARAM; otherwise as `claimInvite`.
 */
export async function claimThirdPartyInvite(
  c: AppContext,
  roomId: RoomId,
  body: { readonly third_party_signed: JsonValue },
): Promise<void> {
  const { third_party_signed: proof } = checked(joinBody, body, 'M_INVALID_PARAM')
  const { userId } = c.var.session
  const sender = checkedUserId('third_party_signed.sender', proof.sender)
  if (proof.mxid !== userId) throw new MatrixError('M_FORBIDDEN', 403, 'The invite is of another user')
  // All of it is signed, whatever else it says.
  await claimInvite(c.env, userId, {
    roomId,
    sender,
    signed: objectProperty(body, 'third_party_signed') ?? {},
  })
}
