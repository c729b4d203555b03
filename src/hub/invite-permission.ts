// Whose invites a user takes, as their account data says. Specification: client-server API, "Invite permission".

import type { UserId } from '../matrix/event.ts'
import {
  invitePermission,
  type InvitePermission,
  invitePermissionTypes,
} from '../matrix/invite-permission.ts'
import { isJsonObject, type JsonObject } from '../matrix/json.ts'
import { getAccountData, globalRid } from './account-data.ts'
import type { HubContext } from './context.ts'

/** What becomes of invites of a user, by who invites. */
export function invitePermissionOf(hub: HubContext, uid: number): (inviter: UserId) => InvitePermission {
  const [config, lists] = invitePermissionTypes.map((type) => contentOf(hub, uid, type))
  return (inviter) => invitePermission(config, lists, inviter)
}

function contentOf(hub: HubContext, uid: number, type: string): JsonObject | undefined {
  const stored = getAccountData(hub, uid, globalRid, type)
  const content: unknown = stored === undefined ? undefined : JSON.parse(stored)
  return isJsonObject(content) ? content : undefined
}
