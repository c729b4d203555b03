// Dehydrated devices, which get the keys of messages while their user is logged in nowhere. Not in the specification yet:
// MSC3814, under the name that clients use.

import * as v from 'valibot'
import { hubStub } from '../env.ts'
import { MatrixError } from '../errors.ts'
import type { App, AppContext } from '../http/app-type.ts'
import { checked, jsonBody, jsonObject, queryParams } from '../http/json-body.ts'
import { requireSession } from '../http/session.ts'
import type { DehydratedEvents } from '../hub/dehydrated-device.ts'
import { isJsonObject, type JsonObject, stringProperty } from '../matrix/json.ts'
import { deviceText } from './new-session.ts'
import { textParam } from './path-params.ts'
import { uploadedKeys } from './uploaded-keys.ts'

const isDeviceData = (value: unknown): boolean =>
  isJsonObject(value) && stringProperty(value, 'algorithm') !== undefined
const dehydratedDevice = v.object({
  device_id: deviceText,
  device_data: v.custom<JsonObject>(isDeviceData, 'must be an object with an algorithm'),
  device_keys: v.custom<JsonObject>(isJsonObject, 'must be an object'),
  initial_device_display_name: v.nullish(v.pipe(v.string(), v.maxLength(255))),
})

const token = v.pipe(v.string(), v.regex(/^\d{1,15}$/, 'not a token of this server'))
const limit = v.optional(v.pipe(v.string(), v.digits(), v.transform(Number), v.minValue(1)))
const eventsQuery = v.object({ from: v.optional(token), limit })
const eventsBody = v.object({ next_batch: v.nullish(token) })

// It holds private keys of one device, encrypted.
const longestData = 256 * 1024
const mostEvents = 100

const path = '/_matrix/client/unstable/org.matrix.msc3814.v1/dehydrated_device'

/** GET, PUT and DELETE /dehydrated_device, GET and POST /dehydrated_device/{deviceId}/events. */
export function dehydratedDeviceRoutes(app: App): void {
  // https://github.com/matrix-org/matrix-spec-proposals/pull/3814
  app.get(path, requireSession(), async (c) => {
    const { userId, shard } = c.var.session
    const device = await hubStub(c.env, shard).dehydratedDevice(userId)
    if (!device) throw noDevice()
    return c.json({ device_id: device.deviceId, device_data: JSON.parse(device.data) as JsonObject })
  })

  app.put(path, requireSession(), async (c) => {
    const { userId, shard } = c.var.session
    const body = await jsonObject(c)
    const device = checked(dehydratedDevice, body, 'M_BAD_JSON')
    const { device_id: deviceId, initial_device_display_name: displayName } = device
    const { deviceKeys, ...keys } = uploadedKeys(body, { userId, deviceId })
    if (deviceKeys === undefined) throw new MatrixError('M_MISSING_PARAM', 400, 'Missing field: device_keys')
    const data = JSON.stringify(device.device_data)
    if (data.length > longestData) throw new MatrixError('M_TOO_LARGE', 413, 'device_data is too large')
    await hubStub(c.env, shard).putDehydratedDevice({
      userId,
      deviceId,
      ...(typeof displayName === 'string' ? { displayName } : {}),
      data,
      deviceKeys,
      ...keys,
    })
    return c.json({ device_id: deviceId })
  })

  app.delete(path, requireSession(), async (c) => {
    const { userId, shard } = c.var.session
    const hub = hubStub(c.env, shard)
    const device = await hub.dehydratedDevice(userId)
    if (!device) throw noDevice()
    await hub.deleteDevices(userId, { only: [device.deviceId] })
    return c.json({ device_id: device.deviceId })
  })

  // Its end is where there is no `next_batch`.
  app.get(`${path}/:deviceId/events`, requireSession(), async (c) => {
    const { from } = queryParams(c, eventsQuery)
    const { events, next, more } = await batch(c, from)
    return c.json({ events, ...(more ? { next_batch: `${next}` } : {}) })
  })

  // As the proposal had it before. Its end is an answer without events.
  app.post(`${path}/:deviceId/events`, requireSession(), async (c) => {
    const { next_batch: from } = await jsonBody(c, eventsBody, { optional: true })
    const { events, next } = await batch(c, from ?? undefined)
    return c.json({ events, next_batch: `${next}` })
  })
}

async function batch(
  c: AppContext,
  from: string | undefined,
): Promise<Omit<DehydratedEvents, 'events'> & { events: JsonObject[] }> {
  const { userId, shard } = c.var.session
  const { limit: wanted = mostEvents } = queryParams(c, v.object({ limit }))
  const found = await hubStub(c.env, shard).dehydratedEvents(
    userId,
    textParam(c, 'deviceId'),
    Number(from ?? 0),
    Math.min(wanted, mostEvents),
  )
  // Written by `receiveToDevice` alone.
  return { ...found, events: found.events.map((text) => JSON.parse(text) as JsonObject) }
}

function noDevice(): MatrixError {
  return new MatrixError('M_NOT_FOUND', 404, 'No dehydrated device')
}
