// Presence of users of other servers. Specification: server-server API, "Presence".

import { config } from '../../config.ts'
import { type Env, hubStub } from '../../env.ts'
import type { OtherPresence } from '../../hub/others-presence.ts'
import type { ServerName } from '../../matrix/event.ts'
import { parseUserId, serverNameOf } from '../../matrix/identifiers.ts'
import { isJsonObject, type JsonObject, type JsonValue, property, stringProperty } from '../../matrix/json.ts'

const longestStatus = 1000
// Each is held against who is in which room. Other servers send fifty at most.
const mostUpdates = 500

/** Takes over what a server tells of its users. */
export async function receivePresence(env: Env, origin: ServerName, content: JsonObject): Promise<void> {
  const { presence, hubShards } = config(env)
  const push = property(content, 'push')
  if (!presence || !Array.isArray(push)) return
  const updates = push.slice(0, mostUpdates).flatMap((told) => updateIn(origin, told))
  if (updates.length === 0) return
  await Promise.all(
    Array.from({ length: hubShards }, (_, shard) => hubStub(env, shard).applyOtherPresence(updates)),
  )
}

function updateIn(origin: ServerName, told: JsonValue): OtherPresence[] {
  if (!isJsonObject(told)) return []
  const userId = parseUserId(stringProperty(told, 'user_id') ?? '')
  const presence = stringProperty(told, 'presence')
  // Each server speaks for its own users.
  if (!userId || serverNameOf(userId) !== origin) return []
  if (presence !== 'online' && presence !== 'unavailable' && presence !== 'offline') return []
  const ago = property(told, 'last_active_ago')
  const statusMsg = stringProperty(told, 'status_msg')
  return [
    {
      userId,
      presence,
      lastActiveAgo: typeof ago === 'number' && Number.isSafeInteger(ago) && ago >= 0 ? ago : 0,
      currentlyActive: property(told, 'currently_active') === true,
      ...(statusMsg === undefined ? {} : { statusMsg: statusMsg.slice(0, longestStatus) }),
    },
  ]
}
