// Keys of our users, for other servers. Specification: server-server API, "Device Management", "End-to-End Encryption".

import * as v from 'valibot'
import { claimLocalKeys, claimedByUser } from '../../client/keys-query.ts'
import { claimsOf, deviceKeysField, oneTimeKeysField, queriesOf } from '../../client/key-requests.ts'
import { byShard } from '../../client/key-servers.ts'
import { isLocal } from '../../client/path-params.ts'
import { keysByKind } from '../../client/query-keys.ts'
import { config } from '../../config.ts'
import { type Env, hubStub } from '../../env.ts'
import { MatrixError } from '../../errors.ts'
import { checked } from '../../http/json-body.ts'
import type { KeyQuery, KeyQueryAnswer } from '../../hub/query-keys.ts'
import type { UserKeys } from '../../hub/user-keys.ts'
import type { UserId } from '../../matrix/event.ts'
import { parseUserId } from '../../matrix/identifiers.ts'
import { isJsonObject, type JsonObject, objectProperty, stringProperty } from '../../matrix/json.ts'
import type { FederationRouter } from './router.ts'

const keyQuery = v.object({ device_keys: deviceKeysField })
const keyClaim = v.object({ one_time_keys: oneTimeKeysField })

/** GET /user/devices/{userId}, POST /user/keys/query and /user/keys/claim. */
export function userKeysRoutes(router: FederationRouter): void {
  // https://spec.matrix.org/v1.19/server-server-api/#get_matrixfederationv1userdevicesuserid
  router.get('/_matrix/federation/v1/user/devices/:userId', async (c) => {
    const userId = ownUser(c.env, c.req.param('userId') ?? '')
    const { users, streamIds } = await localKeys(c.env, [{ userId, deviceIds: [] }])
    const keys = users.get(userId)
    if (!keys) throw new MatrixError('M_NOT_FOUND', 404, 'No such user')
    return c.json({
      user_id: userId,
      stream_id: streamIds[userId] ?? 0,
      devices: Object.entries(keys.devices).map(([id, device]) => listedDevice(id, device)),
      ...(keys.master ? { master_key: keys.master } : {}),
      ...(keys.selfSigning ? { self_signing_key: keys.selfSigning } : {}),
    })
  })

  // https://spec.matrix.org/v1.19/server-server-api/#post_matrixfederationv1userkeysquery
  router.post('/_matrix/federation/v1/user/keys/query', async (c, { content }) => {
    const { device_keys: asked } = checked(keyQuery, content, 'M_BAD_JSON')
    const queries = queriesOf(asked, (id) => ownUser(c.env, id))
    const { user_signing_keys: _, ...kinds } = keysByKind((await localKeys(c.env, queries)).users)
    return c.json(kinds)
  })

  // https://spec.matrix.org/v1.19/server-server-api/#post_matrixfederationv1userkeysclaim
  router.post('/_matrix/federation/v1/user/keys/claim', async (c, { content }) => {
    const { one_time_keys: asked } = checked(keyClaim, content, 'M_BAD_JSON')
    const claims = claimsOf(asked, (id) => ownUser(c.env, id))
    return c.json({ one_time_keys: claimedByUser(await claimLocalKeys(c.env, claims)) })
  })
}

/** A user of this server that another one names: it may ask for no others. */
function ownUser(env: Env, text: string): UserId {
  const userId = parseUserId(text)
  if (userId && isLocal(env, userId)) return userId
  throw new MatrixError('M_INVALID_PARAM', 400, 'A user is none of this server')
}

async function localKeys(env: Env, queries: readonly KeyQuery[]) {
  const shards = [...(await byShard(env, queries))]
  const answers = await Promise.all(
    shards.map(async ([shard, users]) => {
      // Written by `answerKeyQuery`.
      return JSON.parse(await hubStub(env, shard).queryKeys({ users })) as KeyQueryAnswer
    }),
  )
  const found = answers.flatMap((answer) => Object.entries(answer.users) as [UserId, UserKeys][])
  const users = config(env).deviceNames ? found : found.map(([id, keys]) => [id, withoutNames(keys)] as const)
  const streamIds: Record<UserId, number> = Object.assign({}, ...answers.map((answer) => answer.streamIds))
  return { users: new Map(users), streamIds }
}

/** The keys as they are without what their user calls the devices. */
function withoutNames({ devices, ...keys }: UserKeys): UserKeys {
  const unnamed = Object.entries(devices).map(([id, device]) => [
    id,
    isJsonObject(device) ? { ...device, unsigned: {} } : device,
  ])
  return { ...keys, devices: Object.fromEntries(unnamed) }
}

function listedDevice(deviceId: string, device: JsonObject[string]): JsonObject {
  if (!isJsonObject(device)) return { device_id: deviceId, keys: {} }
  const { unsigned: _, ...keys } = device
  const name = stringProperty(objectProperty(device, 'unsigned'), 'device_display_name')
  return { device_id: deviceId, keys, ...(name === undefined ? {} : { device_display_name: name }) }
}
