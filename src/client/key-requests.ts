// The bodies of requests for keys, which clients and other servers send alike.
// Specification: client-server API, POST /keys/query and /keys/claim; server-server API, the same below /user.

import * as v from 'valibot'
import type { KeyClaim } from '../hub/one-time-keys.ts'
import type { KeyQuery } from '../hub/query-keys.ts'
import type { UserId } from '../matrix/event.ts'
import { isJsonObject, type JsonObject } from '../matrix/json.ts'

function mapOf<S extends v.GenericSchema>(values: S) {
  return v.pipe(
    v.custom<JsonObject>(isJsonObject, 'must be an object'),
    v.transform((object): Record<string, unknown> => object),
    v.record(v.string(), values),
  )
}

/** User id → device ids. */
export const deviceKeysField = mapOf(v.array(v.string()))

/** User id → device id → algorithm. */
export const oneTimeKeysField = mapOf(mapOf(v.string()))

/** The queries of a field, each user checked by the caller. */
export function queriesOf(
  field: v.InferOutput<typeof deviceKeysField>,
  checkUser: (id: string) => UserId,
): KeyQuery[] {
  return Object.entries(field).map(([id, deviceIds]) => ({ userId: checkUser(id), deviceIds }))
}

/** The claims of a field, each user checked by the caller. */
export function claimsOf(
  field: v.InferOutput<typeof oneTimeKeysField>,
  checkUser: (id: string) => UserId,
): KeyClaim[] {
  return Object.entries(field).flatMap(([id, devices]) => {
    const userId = checkUser(id)
    return Object.entries(devices).map(([deviceId, algorithm]) => ({ userId, deviceId, algorithm }))
  })
}
