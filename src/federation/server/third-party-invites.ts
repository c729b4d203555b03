// Invites by e-mail address and the like, once the address has turned out to be that of a user of another server: this one,
// whose user invited it, makes the invite proper. Server-server API, "Third-party invites".

import * as v from 'valibot'
import { inviteRemoteUser } from '../../client/invite-remote-user.ts'
import { roomParam } from '../../client/own-user.ts'
import { checkedUserId, isLocal } from '../../client/path-params.ts'
import { roomStub } from '../../env.ts'
import { MatrixError } from '../../errors.ts'
import { checked } from '../../http/json-body.ts'
import { serverNameOf } from '../../matrix/identifiers.ts'
import { objectProperty } from '../../matrix/json.ts'
import type { FederationRouter } from './router.ts'

const partialInvite = v.looseObject({
  type: v.literal('m.room.member'),
  room_id: v.string(),
  sender: v.string(),
  state_key: v.string(),
  content: v.looseObject({
    membership: v.literal('invite'),
    third_party_invite: v.looseObject({ display_name: v.string(), signed: v.looseObject({}) }),
  }),
})

/** PUT /exchange_third_party_invite/{roomId}. */
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
    // Nothing of the content but the proof, which the rules of the room judge, is theirs to say.
    await inviteRemoteUser(c.env, { roomId, sender, target, content: { third_party_invite: invite } })
    return c.json({})
  })
}

function invalid(reason: string): MatrixError {
  return new MatrixError('M_INVALID_PARAM', 400, `Invalid invite: ${reason}`)
}
