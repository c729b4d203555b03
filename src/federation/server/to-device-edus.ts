// Messages of users of other servers to devices of ours. Specification: server-server API, "Send-to-device messaging".

import { type Env, hubStub } from '../../env.ts'
import type { ServerName, UserId } from '../../matrix/event.ts'
import { parseUserId, serverNameOf } from '../../matrix/identifiers.ts'
import { isJsonObject, type JsonObject, objectProperty, stringProperty } from '../../matrix/json.ts'
import { findLocalMembers } from '../../storage/local-members.ts'

const longest = 255

/** Puts messages into the inboxes of their devices. Each message id counts once for its sender. */
export async function receiveDirectToDevice(
  env: Env,
  origin: ServerName,
  content: JsonObject,
): Promise<void> {
  const sender = parseUserId(stringProperty(content, 'sender') ?? '')
  const type = stringProperty(content, 'type')
  const messageId = stringProperty(content, 'message_id')
  // Nobody speaks for users of another server.
  if (!sender || serverNameOf(sender) !== origin) return
  if (type === undefined || messageId === undefined || type.length > longest || messageId.length > longest)
    return
  const messages = messagesIn(content)
  const members = await findLocalMembers(env, [...messages.keys()])
  const byShard = Map.groupBy(members.values(), ({ shard }) => shard)
  await Promise.all(
    [...byShard].map(([shard, users]) =>
      hubStub(env, shard).receiveToDevice({
        sender,
        type,
        messageId,
        messages: Object.fromEntries(users.map(({ userId }) => [userId, messages.get(userId) ?? {}])),
      }),
    ),
  )
}

/** Contents as JSON text by user and device. What has another form is left out. */
function messagesIn(content: JsonObject): Map<UserId, Record<string, string>> {
  const entries = Object.entries(objectProperty(content, 'messages') ?? {})
  return new Map(
    entries.flatMap(([id, devices]) => {
      const userId = parseUserId(id)
      if (!userId || !isJsonObject(devices)) return []
      const contents = Object.entries(devices).flatMap(([deviceId, message]) =>
        isJsonObject(message) ? [[deviceId, JSON.stringify(message)] as const] : [],
      )
      return [[userId, Object.fromEntries(contents)] as const]
    }),
  )
}
