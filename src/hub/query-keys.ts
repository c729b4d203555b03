// The keys of users, for those who ask: what they see differs for the users themselves.
// Specification: client-server API, POST /keys/query; server-server API, POST /user/keys/query.

import type { UserId } from '../matrix/event.ts'
import type { JsonObject } from '../matrix/json.ts'
import type { HubContext } from './context.ts'
import { crossSigningKeys } from './cross-signing.ts'
import { type DeviceRow, deviceRows, signedDeviceKeys } from './device-keys.ts'
import { streamIdOf } from './device-stream.ts'
import { findUser } from './interned.ts'
import { signatureOn, type UserSignature } from './key-signatures.ts'
import { remoteKeys, type RemoteKeys } from './remote-keys.ts'
import type { UserKeys } from './user-keys.ts'

export interface KeyQueryRequest {
  /** Users of this shard. */
  readonly users: readonly KeyQuery[]
  /** A user of this shard who asks; left out for other servers and other shards. */
  readonly asker?: UserId
  /** Users who are not of this shard: what the asker has signed of them is added. */
  readonly others?: readonly UserId[]
  /** Those of them who are of other servers: what is kept of them is added. */
  readonly remote?: readonly UserId[]
}

/** By user id. */
export interface KeyQueryAnswer {
  readonly users: Readonly<Record<UserId, UserKeys>>
  readonly signed: Readonly<Record<UserId, UserSignature>>
  readonly remote: readonly RemoteKeys[]
  /** The numbers of the last updates of the device lists. */
  readonly streamIds: Readonly<Record<UserId, number>>
}

/** The keys of users as far as this shard has them. */
export function answerKeyQuery(hub: HubContext, request: KeyQueryRequest): KeyQueryAnswer {
  const { users, asker, others = [], remote = [] } = request
  const ids = users.map(({ userId }) => userId)
  const uid = asker === undefined ? undefined : findUser(hub, asker)
  const signed = uid === undefined ? [] : signedBy(hub, uid, [...ids, ...others])
  return {
    users: Object.fromEntries(queryKeys(hub, users, asker)),
    signed: Object.fromEntries(signed),
    remote: remoteKeys(hub, remote),
    streamIds: Object.fromEntries(ids.map((userId) => [userId, streamIdOf(hub, userId)])),
  }
}

function signedBy(hub: HubContext, uid: number, users: readonly UserId[]): [UserId, UserSignature][] {
  return users.flatMap((userId) => {
    const signature = signatureOn(hub, uid, userId)
    return signature ? [[userId, signature] satisfies [UserId, UserSignature]] : []
  })
}

/** Whose keys are asked for; no devices means all of them. */
export interface KeyQuery {
  readonly userId: UserId
  readonly deviceIds: readonly string[]
}

/** The keys of users of this shard by user id; those it never heard of are left out. */
function queryKeys(
  hub: HubContext,
  queries: readonly KeyQuery[],
  asker: UserId | undefined,
): Map<UserId, UserKeys> {
  const found = new Map<UserId, UserKeys>()
  for (const { userId, deviceIds } of queries) {
    const uid = findUser(hub, userId)
    if (uid !== undefined) found.set(userId, keysOf(hub, uid, userId, deviceIds, asker === userId))
  }
  return found
}

function keysOf(
  hub: HubContext,
  uid: number,
  userId: UserId,
  deviceIds: readonly string[],
  own: boolean,
): UserKeys {
  const wanted = new Set(deviceIds)
  const devices = deviceRows(hub, uid)
    .filter(({ deviceId, keys }) => keys !== null && (wanted.size === 0 || wanted.has(deviceId)))
    .map((row) => [row.deviceId, deviceInformation(userId, row)] as const)
  const { master, selfSigning, userSigning } = crossSigningKeys(hub, uid, userId)
  return {
    devices: Object.fromEntries(devices),
    ...(master ? { master } : {}),
    ...(selfSigning ? { selfSigning } : {}),
    // Nobody else sees it.
    ...(own && userSigning ? { userSigning } : {}),
  }
}

function deviceInformation(userId: UserId, row: DeviceRow): JsonObject {
  const { displayName } = row
  return {
    ...signedDeviceKeys(userId, row),
    unsigned: displayName === null ? {} : { device_display_name: displayName },
  }
}
