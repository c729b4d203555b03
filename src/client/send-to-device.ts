// Specification: client-server API, "Send-to-Device messaging".

import { createHash } from 'node:crypto'
import { federationSenderStub, hubStub } from '../env.ts'
import { MatrixError } from '../errors.ts'
import type { App, AppContext } from '../http/app-type.ts'
import { jsonObject } from '../http/json-body.ts'
import { deviceOf, requireSession } from '../http/session.ts'
import type { ToDeviceRequest } from '../hub/to-device.ts'
import type { UserId } from '../matrix/event.ts'
import { serverNameOf } from '../matrix/identifiers.ts'
import { isJsonObject, type JsonObject, objectProperty } from '../matrix/json.ts'
import { findLocalMembers } from '../storage/local-members.ts'
import { checkedUserId, isLocal, textParam } from './path-params.ts'

const longestType = 255

/** PUT /sendToDevice/{eventType}/{txnId}. */
export function sendToDeviceRoutes(app: App): void {
  // https://spec.matrix.org/v1.19/client-server-api/#put_matrixclientv3sendtodeviceeventtypetxnid
  app.put(
    '/_matrix/client/v3/sendToDevice/:eventType/:txnId',
    requireSession({ guests: true }),
    async (c) => {
      const type = textParam(c, 'eventType')
      if (type.length > longestType) {
        throw new MatrixError('M_INVALID_PARAM', 400, 'Invalid parameter eventType: too long')
      }
      const messages = messagesIn(await jsonObject(c))
      const request = { sender: c.var.session.userId, type, messageId: messageIdOf(c, type) }
      const local = Map.groupBy(messages, ({ userId }) => isLocal(c.env, userId))
      // Where one of the two fails, the client repeats the request, which sends nothing twice.
      await Promise.all([
        sendToLocal(c, request, local.get(true) ?? []),
        sendToOthers(c, request, local.get(false) ?? []),
      ])
      return c.json({})
    },
  )
}

interface UserMessages {
  readonly userId: UserId
  /** Contents as JSON text by device. */
  readonly contents: Readonly<Record<string, string>>
}

/** The messages of a body, checked as a whole before any is sent. */
function messagesIn(body: JsonObject): UserMessages[] {
  const messages = objectProperty(body, 'messages')
  if (!messages) throw new MatrixError('M_MISSING_PARAM', 400, 'Missing field: messages')
  return Object.entries(messages).map(([id, devices]) => {
    const userId = checkedUserId('messages', id)
    if (!isJsonObject(devices)) throw notAnObject(`messages.${id}`)
    const contents = Object.entries(devices).map(([deviceId, content]) => {
      if (!isJsonObject(content)) throw notAnObject(`messages.${id}.${deviceId}`)
      return [deviceId, JSON.stringify(content)] as const
    })
    return { userId, contents: Object.fromEntries(contents) }
  })
}

function notAnObject(field: string): MatrixError {
  return new MatrixError('M_BAD_JSON', 400, `Invalid field ${field}: an object is expected`)
}

/** The same for the same request of a device: whoever receives it twice takes it once. */
function messageIdOf(c: AppContext, type: string): string {
  const { userId } = c.var.session
  const { deviceId, generation } = deviceOf(c.var.session)
  const request = JSON.stringify([userId, deviceId, generation, type, textParam(c, 'txnId')])
  return createHash('sha256').update(request).digest('base64url').slice(0, 32)
}

async function sendToLocal(
  c: AppContext,
  request: Omit<ToDeviceRequest, 'messages'>,
  messages: readonly UserMessages[],
): Promise<void> {
  if (messages.length === 0) return
  const members = await findLocalMembers(
    c.env,
    messages.map(({ userId }) => userId),
  )
  const byShard = Map.groupBy(
    messages.filter(({ userId }) => members.has(userId)),
    ({ userId }) => members.get(userId)?.shard ?? 0,
  )
  await Promise.all(
    [...byShard].map(([shard, users]) =>
      hubStub(c.env, shard).receiveToDevice({
        ...request,
        messages: Object.fromEntries(users.map(({ userId, contents }) => [userId, contents])),
      }),
    ),
  )
}

// The sender has them on disk when it answers.
async function sendToOthers(
  c: AppContext,
  { sender, type, messageId }: Omit<ToDeviceRequest, 'messages'>,
  messages: readonly UserMessages[],
): Promise<void> {
  const byServer = Map.groupBy(messages, ({ userId }) => serverNameOf(userId))
  const federationSender = federationSenderStub(c.env)
  await Promise.all(
    [...byServer].map(([server, users]) => {
      const contents = users.map(({ userId, contents: ofUser }) => [
        userId,
        Object.fromEntries(Object.entries(ofUser).map(([id, text]) => [id, JSON.parse(text) as JsonObject])),
      ])
      const content = { sender, type, message_id: messageId, messages: Object.fromEntries(contents) }
      return federationSender.tellKept([server], [{ type: 'm.direct_to_device', key: messageId, content }])
    }),
  )
}
