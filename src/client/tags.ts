// Specification: client-server API, "Room Tagging".

import * as v from 'valibot'
import { hubStub } from '../env.ts'
import { MatrixError } from '../errors.ts'
import type { App, AppContext } from '../http/app-type.ts'
import { jsonBody } from '../http/json-body.ts'
import { requireSession } from '../http/session.ts'
import { isJsonObject, type JsonObject, objectProperty } from '../matrix/json.ts'
import { fitsInBytes } from '../matrix/utf8.ts'
import { requireOwnUser, roomParam } from './own-user.ts'

const longestTag = 255
const tagContent = v.looseObject({ order: v.optional(v.pipe(v.number(), v.minValue(0), v.maxValue(1))) })

/** GET …/tags, PUT and DELETE …/tags/{tag}. */
export function tagRoutes(app: App): void {
  // https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3useruseridroomsroomidtags
  app.get('/_matrix/client/v3/user/:userId/rooms/:roomId/tags', requireSession(), async (c) => {
    requireOwnUser(c)
    const { userId, shard } = c.var.session
    const content = await hubStub(c.env, shard).getAccountData(userId, roomParam(c), 'm.tag')
    return c.json({ tags: tagsOf(content) })
  })

  // https://spec.matrix.org/v1.19/client-server-api/#put_matrixclientv3useruseridroomsroomidtagstag
  app.put('/_matrix/client/v3/user/:userId/rooms/:roomId/tags/:tag', requireSession(), async (c) => {
    requireOwnUser(c)
    const content = JSON.stringify(await jsonBody(c, tagContent))
    const { userId, shard } = c.var.session
    await hubStub(c.env, shard).putTag(userId, roomParam(c), tagParam(c), content)
    return c.json({})
  })

  // https://spec.matrix.org/v1.19/client-server-api/#delete_matrixclientv3useruseridroomsroomidtagstag
  app.delete('/_matrix/client/v3/user/:userId/rooms/:roomId/tags/:tag', requireSession(), async (c) => {
    requireOwnUser(c)
    const { userId, shard } = c.var.session
    await hubStub(c.env, shard).putTag(userId, roomParam(c), tagParam(c))
    return c.json({})
  })
}

function tagParam(c: AppContext): string {
  const tag = c.req.param('tag') ?? ''
  if (!fitsInBytes(tag, longestTag)) {
    throw new MatrixError('M_INVALID_PARAM', 400, `Invalid parameter tag: longer than ${longestTag} bytes`)
  }
  return tag
}

// A client may have set m.tag as account data, in any form.
function tagsOf(content: string | undefined): JsonObject {
  const value: unknown = content === undefined ? undefined : JSON.parse(content)
  return (isJsonObject(value) ? objectProperty(value, 'tags') : undefined) ?? {}
}
