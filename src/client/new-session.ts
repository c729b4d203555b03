// A device and its tokens for somebody who has just proved who they are: the end of login and registration.
// Specification: client-server API, "Relationship between access tokens and devices", "Refreshing access tokens".

import { randomInt } from 'node:crypto'
import * as v from 'valibot'
import { config } from '../config.ts'
import { type Env, hubStub } from '../env.ts'
import { MatrixError } from '../errors.ts'
import type { UserId } from '../matrix/event.ts'
import { newSecretToken, tokenHash } from '../storage/secret-token.ts'
import { endSessionsOfGeneration, insertSession, type OauthGrant } from '../storage/sessions.ts'

/** How long an access token is valid for a client that can refresh it, in milliseconds. */
export const accessTokenLifetimeMs = 60 * 60 * 1000

/** A device id or name that a client gives. */
export const deviceText = v.pipe(v.string(), v.minLength(1), v.maxLength(255))

/** The fields of a login or registration that are about the device. */
export const deviceFields = {
  device_id: v.optional(deviceText),
  initial_device_display_name: v.optional(v.pipe(v.string(), v.maxLength(255))),
  refresh_token: v.optional(v.boolean()),
}

export interface DeviceRequest {
  readonly device_id?: string | undefined
  readonly initial_device_display_name?: string | undefined
  readonly refresh_token?: boolean | undefined
  /** The client of the OAuth 2.0 API that gets the session. */
  readonly oauth?: OauthGrant | undefined
}

export interface SessionAnswer {
  user_id: UserId
  access_token: string
  device_id: string
  home_server: string
  refresh_token?: string
  expires_in_ms?: number
}

export interface OpenedSession {
  readonly accessToken: string
  readonly refreshToken: string | undefined
  readonly deviceId: string
  readonly generation: number
}

/** Opens a session on a new or known device and answers its tokens, as login and registration do. */
export async function newSession(
  env: Env,
  user: { readonly userId: UserId; readonly shard: number },
  device: DeviceRequest,
  ip: string | undefined,
): Promise<SessionAnswer> {
  const { accessToken, refreshToken, deviceId } = await openSession(env, user, device, ip)
  return {
    user_id: user.userId,
    access_token: accessToken,
    device_id: deviceId,
    home_server: config(env).serverName,
    ...(refreshToken === undefined
      ? {}
      : { refresh_token: refreshToken, expires_in_ms: accessTokenLifetimeMs }),
  }
}

/** Opens a session on a new or known device. 409 M_UNKNOWN where the device was deleted meanwhile. */
export async function openSession(
  env: Env,
  user: { readonly userId: UserId; readonly shard: number },
  device: DeviceRequest,
  ip: string | undefined,
): Promise<OpenedSession> {
  const { userId, shard } = user
  const hub = hubStub(env, shard)
  const deviceId = device.device_id ?? newDeviceId()
  const displayName = device.initial_device_display_name
  const generation = await hub.createDevice(userId, {
    deviceId,
    ...(displayName === undefined ? {} : { displayName }),
    ...(ip === undefined ? {} : { ip }),
  })
  const accessToken = newSecretToken()
  const refreshToken = device.refresh_token === true ? newSecretToken() : undefined
  const now = Date.now()
  await insertSession(env, {
    userId,
    deviceId,
    generation,
    tokenHash: tokenHash(accessToken),
    createdAt: now,
    expiresAt: refreshToken === undefined ? null : now + accessTokenLifetimeMs,
    ...(refreshToken === undefined ? {} : { refreshTokenHash: tokenHash(refreshToken) }),
    oauth: device.oauth,
  })
  // The device may have been deleted before its new session was there to be ended with it.
  if ((await hub.deviceGeneration(userId, deviceId)) !== generation) {
    await endSessionsOfGeneration(env, userId, { deviceId, generation })
    throw new MatrixError('M_UNKNOWN', 409, 'The device was logged out meanwhile')
  }
  return { accessToken, refreshToken, deviceId, generation }
}

function newDeviceId(): string {
  return Array.from({ length: 10 }, () => String.fromCharCode(65 + randomInt(26))).join('')
}
