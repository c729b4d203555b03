// Ending devices for good: their tokens, then the devices themselves.
// Specification: client-server API, POST /logout, "Device Management".

import { type Env, hubStub } from '../env.ts'
import type { DeviceSelection } from '../hub/devices.ts'
import type { SessionDevice } from '../http/session.ts'
import type { UserId } from '../matrix/event.ts'
import { endSessions, endSessionsOfGeneration } from '../storage/sessions.ts'

interface Owner {
  readonly userId: UserId
  readonly shard: number
}

/** Ends some or all devices of a user, with all tokens they have. */
export async function endDevices(env: Env, user: Owner, devices: DeviceSelection): Promise<void> {
  // Tokens first: a crash in between leaves a device that nobody can use, never a token without its device.
  await endSessions(env, user.userId, devices)
  const gone = await hubStub(env, user.shard).deleteDevices(user.userId, devices)
  // A login on one of these devices may have stored its session between the two.
  for (const device of gone) await endSessionsOfGeneration(env, user.userId, device)
}

/** Ends a device with all tokens it has, but not a later one with its id. */
export async function endDevice(env: Env, user: Owner, device: SessionDevice): Promise<void> {
  const { userId, shard } = user
  const { deviceId, generation } = device
  // Tokens first, here too.
  await endSessionsOfGeneration(env, userId, device)
  const isThere = (await hubStub(env, shard).deviceGeneration(userId, deviceId)) === generation
  if (isThere) await endDevices(env, user, { only: [deviceId] })
}
