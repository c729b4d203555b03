// Invites by e-mail address and the like, once the address has turned out to be that of a user: of another server, whose
// request this one makes the invite proper, or of this one, as an identity server tells.
// Server-server API, "Third-party invites".

import * as v from 'valibot'
import { inviteRemoteUser } from '../../client/invite-remote-user.ts'
import { roomParam } from '../../client/own-user.ts'
import { checkedUserId, isLocal } from '../../client/path-params.ts'
import { roomStub } from '../../env.ts'
import { MatrixError } from '../../errors.ts'
import type { AppContext } from '../../http/app-type.ts'
import { checked, jsonBody } from '../../http/json-body.ts'
import { clientAddress, rateLimit } from '../../http/rate-limit.ts'
import { requireValidKey } from '../../identity/key-validity.ts'
import { serverNameOf } from '../../matrix/identifiers.ts'
import { objectProperty } from '../../matrix/json.ts'
import { acceptBoundInvites } from '../bound-invites.ts'
import type { FederationRouter } from './router.ts'

const signedProof = v.looseObject({
  mxid: v.string(),
  token: v.pipe(v.string(), v.nonEmpty(), v.maxLength(255)),
  signatures: v.record(v.string(), v.record(v.string(), v.string())),
})

const partialInvite = v.looseObject({
  type: v.literal('m.room.member'),
  room_id: v.string(),
  sender: v.string(),
  state_key: v.string(),
  content: v.looseObject({
    membership: v.literal('invite'),
    third_party_invite: v.looseObject({ display_name: v.string(), signed: signedProof }),
  }),
})

// More than anybody is invited to before they sign up; each may cost a request to another server.
const mostInvites = 50

const binding = v.looseObject({
  medium: v.string(),
  address: v.string(),
  mxid: v.string(),
  invites: v.pipe(
    v.array(
      v.looseObject({
        medium: v.string(),
        address: v.string(),
        mxid: v.string(),
        room_id: v.string(),
        sender: v.string(),
        signed: signedProof,
      }),
    ),
    v.maxLength(mostInvites),
  ),
})

/** PUT /exchange_third_party_invite/{roomId}, /3pid/onbind. */
export function thirdPartyInviteRoutes(router: FederationRouter): void {
  // https://spec.matrix.org/v1.19/server-server-api/#put_matrixfederationv1exchange_third_party_inviteroomid
  router.put('/_matrix/federation/v1/exchange_third_party_invite/:roomId', async (c, { origin, content }) => {
    const roomId = roomParam(c)
    const event = checked(partialInvite, content, 'M_INVALID_PARAM')
    if (event.room_id !== roomId) throw invalid('room_id is not that of the path')
    const target = checkedUserId('state_key', event.state_key)
    const sender = checkedUserId('sender', event.sender)
    if (serverNameOf(target) !== origin) throw invalid('state_key is a user of another server')
    if (!isLocal(c.env, sender)) throw invalid('sender is no user of this server')
    await roomStub(c.env, roomId).requireAllowed(origin)
    const invite = objectProperty(objectProperty(content, 'content'), 'third_party_invite') ?? {}
    // Whoever lets somebody in by an invite asks whether its key still counts.
    await requireValidKey(c.env, roomId, target, objectProperty(invite, 'signed') ?? {})
    // Nothing of the content but the proof, which the rules of the room judge, is theirs to say.
    await inviteRemoteUser(c.env, { roomId, sender, target, content: { third_party_invite: invite } })
    return c.json({})
  })

  // https://spec.matrix.org/v1.19/server-server-api/#put_matrixfederationv13pidonbind
  // Anyone may say that somebody owns an address: an identity server is no server of the federation. What counts is the proof
  // in each invite, which the room judges by the keys that were put there when the address was invited.
  router.openRoute('PUT', '/_matrix/federation/v1/3pid/onbind', onbind)
  // The identity service API speaks of a POST, as identity servers do.
  router.openRoute('POST', '/_matrix/federation/v1/3pid/onbind', onbind)
}

async function onbind(c: AppContext): Promise<Response> {
  await rateLimit(c.env, c.env.LOGIN_LIMIT, `onbind:${clientAddress(c) ?? 'local'}`)
  const body = await jsonBody(c, binding)
  const userId = checkedUserId('mxid', body.mxid)
  if (!isLocal(c.env, userId)) throw invalid('mxid is no user of this server')
  await acceptBoundInvites(c.env, userId, body.invites)
  return c.json({})
}

function invalid(reason: string): MatrixError {
  return new MatrixError('M_INVALID_PARAM', 400, `Invalid invite: ${reason}`)
}
