// Which invites a user is shown: not those by users they ignore, nor those they do not want.
// Specification: client-server API, "Ignoring Users", "Invite permission".

import { parseUserId } from '../matrix/identifiers.ts'
import type { JsonObject } from '../matrix/json.ts'
import { ignoredUsers } from './account-data.ts'
import type { HubContext } from './context.ts'
import { userIdOf } from './interned.ts'
import { invitePermissionOf } from './invite-permission.ts'

/** Whether an invite is shown, by its stripped state. What the user wants is read with the first. */
export function shownInvites(hub: HubContext, uid: number): (stripped: readonly JsonObject[]) => boolean {
  let permission: ReturnType<typeof invitePermissionOf> | undefined
  const userId = userIdOf(hub, uid)
  return (stripped) => {
    const own = stripped.find((event) => event['type'] === 'm.room.member' && event['state_key'] === userId)
    const sender = own?.['sender']
    const inviter = typeof sender === 'string' ? parseUserId(sender) : undefined
    if (inviter === undefined) return true
    permission ??= invitePermissionOf(hub, uid)
    return !ignoredUsers(hub, uid).includes(inviter) && permission(inviter) === 'allow'
  }
}
