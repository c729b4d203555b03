// Specification: client-server API, "Device Management".

import * as v from 'valibot'
import { hubStub } from '../env.ts'
import { MatrixError } from '../errors.ts'
import type { App, AppContext } from '../http/app-type.ts'
import { interactiveAuth } from '../http/interactive-auth.ts'
import { checked, jsonBody, jsonObject } from '../http/json-body.ts'
import { ownerFlows } from '../http/owner-flows.ts'
import { clientAddress } from '../http/rate-limit.ts'
import { requireSession } from '../http/session.ts'
import type { JsonObject } from '../matrix/json.ts'
import { endDevices } from './end-devices.ts'
import { deviceText } from './new-session.ts'

const deviceUpdate = v.object({ display_name: v.optional(v.pipe(v.string(), v.maxLength(255))) })
const newDevice = v.object({ id: deviceText })
const deviceDeletion = v.object({ devices: v.pipe(v.array(v.string()), v.maxLength(1000)) })

/** GET /devices, GET, PUT and DELETE /devices/{deviceId}, POST /delete_devices. */
export function deviceRoutes(app: App): void {
  // https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3devices
  app.get('/_matrix/client/v3/devices', requireSession({ guests: true }), async (c) => {
    const { userId, shard } = c.var.session
    return c.json({ devices: await hubStub(c.env, shard).listDevices(userId) })
  })

  // https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3devicesdeviceid
  app.get('/_matrix/client/v3/devices/:deviceId', requireSession({ guests: true }), async (c) => {
    const { userId, shard } = c.var.session
    const device = await hubStub(c.env, shard).getDevice(userId, c.req.param('deviceId'))
    if (!device) throw noSuchDevice()
    return c.json(device)
  })

  // https://spec.matrix.org/v1.19/client-server-api/#put_matrixclientv3devicesdeviceid
  app.put('/_matrix/client/v3/devices/:deviceId', requireSession({ guests: true }), async (c) => {
    const { userId, shard, appservice } = c.var.session
    const deviceId = c.req.param('deviceId')
    const { display_name: displayName } = await jsonBody(c, deviceUpdate)
    const hub = hubStub(c.env, shard)
    const found =
      displayName === undefined
        ? (await hub.getDevice(userId, deviceId)) !== undefined
        : await hub.renameDevice(userId, deviceId, displayName)
    if (found) return c.json({})
    if (!appservice) throw noSuchDevice()
    // MSC4190: application services make devices this way, without access tokens.
    const { id } = checked(newDevice, { id: deviceId }, 'M_INVALID_PARAM')
    const ip = clientAddress(c)
    await hub.createDevice(userId, {
      deviceId: id,
      ...(displayName === undefined ? {} : { displayName }),
      ...(ip === undefined ? {} : { ip }),
    })
    return c.json({}, 201)
  })

  // https://spec.matrix.org/v1.19/client-server-api/#delete_matrixclientv3devicesdeviceid
  app.delete('/_matrix/client/v3/devices/:deviceId', requireSession(), async (c) => {
    const body = await jsonObject(c, { optional: true })
    return await deleteAuthenticated(c, body, [c.req.param('deviceId')])
  })

  // https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3delete_devices
  app.post('/_matrix/client/v3/delete_devices', requireSession(), async (c) => {
    const body = await jsonObject(c)
    const { devices } = checked(deviceDeletion, body, 'M_BAD_JSON')
    return await deleteAuthenticated(c, body, devices)
  })
}

async function deleteAuthenticated(c: AppContext, body: JsonObject, devices: string[]): Promise<Response> {
  const { session } = c.var
  const auth = await interactiveAuth(c, { body, flows: await ownerFlows(c.env, session), session })
  if (auth instanceof Response) return auth
  await endDevices(c.env, session, { only: devices })
  return c.json({})
}

function noSuchDevice(): MatrixError {
  return new MatrixError('M_NOT_FOUND', 404, 'No such device')
}
