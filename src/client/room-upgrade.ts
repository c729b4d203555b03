// Specification: client-server API, "Room Upgrades".

import { writeToRoom } from '../federation/write-to-room.ts'
import * as v from 'valibot'
import { tellAliases } from '../appservice/tell-aliases.ts'
import { roomStub } from '../env.ts'
import type { App } from '../http/app-type.ts'
import { jsonBody } from '../http/json-body.ts'
import { rateLimitUser } from '../http/rate-limit.ts'
import { refuseSuspended, requireSession } from '../http/session.ts'
import type { UpgradePlan } from '../room/upgrade.ts'
import { aliasesOfRoom, moveAliases } from '../storage/aliases.ts'
import { additionalCreators, rulesOf, withoutDuplicates } from './create-room.ts'
import { makeRoom } from './new-room.ts'
import { roomParam } from './own-user.ts'

const body = v.looseObject({ new_version: v.string(), additional_creators: v.optional(v.unknown()) })

/** POST /rooms/{roomId}/upgrade. */
export function roomUpgradeRoutes(app: App): void {
  // https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3roomsroomidupgrade
  app.post('/_matrix/client/v3/rooms/:roomId/upgrade', requireSession(), async (c) => {
    const { userId: sender } = c.var.session
    refuseSuspended(c.var.session)
    await rateLimitUser(c.env, c.env.SEND_LIMIT, c.var.session)
    const roomId = roomParam(c)
    const request = await jsonBody(c, body)
    const rules = rulesOf(c.env, request.new_version)
    // Ignored for versions that know no additional creators.
    const creators = rules.privilegedCreators
      ? withoutDuplicates(additionalCreators(request.additional_creators), sender)
      : []
    const old = roomStub(c.env, roomId)
    const aliases = await aliasesOfRoom(c.env, roomId)
    // 1. The permission, and 2., 3. what goes over.
    const planned = await old.upgradePlan({
      sender,
      version: rules.id,
      additionalCreators: creators,
      aliases,
    })
    // Written by our own object.
    const plan = JSON.parse(planned) as UpgradePlan
    const replacement = await makeRoom(c.env, {
      rules,
      creator: sender,
      creationContent: {
        ...plan.creationContent,
        ...(creators.length === 0 ? {} : { additional_creators: creators }),
      },
      // It says nothing about guests, which keeps them out unless the old room let them in.
      preset: 'public_chat',
      powerLevelContentOverride: plan.powerLevels,
      initialState: plan.initialState,
      invite: [],
      remoteInvites: [],
      isDirect: false,
      published: plan.published,
    })
    // 4. The aliases, 5. the tombstone, and 6. the end of the old room.
    if (aliases.length > 0) await moveAliases(c.env, roomId, replacement)
    await tellAliases(c.env, replacement, aliases)
    await writeToRoom(c.env, roomId, (room) => room.retire({ sender, replacement, aliases }))
    return c.json({ replacement_room: replacement })
  })
}
