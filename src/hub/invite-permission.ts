// Users who want no invites are shown none, also not those from before. Specification: client-server API, "Invite permission".

import { isJsonObject, property } from '../matrix/json.ts'
import { getAccountData, globalRid } from './account-data.ts'
import type { HubContext } from './context.ts'

/** Whether a user takes no invites. */
export function blocksInvites(hub: HubContext, uid: number): boolean {
  const stored = getAccountData(hub, uid, globalRid, 'm.invite_permission_config')
  const content: unknown = stored === undefined ? undefined : JSON.parse(stored)
  return isJsonObject(content) && property(content, 'default_action') === 'block'
}
