// The TURN servers of the operator, from variables.

import type { Env } from '../env.ts'

export interface TurnSettings {
  readonly uris: readonly string[]
  readonly ttlSeconds: number
  /** A secret shared with the TURN server, or one name and password for all. */
  readonly credentials: { readonly secret: string } | { readonly username: string; readonly password: string }
}

const dayInSeconds = 86_400

/** Undefined where there are none. Throws an Error naming the variable that makes no sense. */
export function turnSettings(env: Env): TurnSettings | undefined {
  const uris = (env.TURN_URIS ?? '').split(/[\s,]+/).filter((uri) => uri !== '')
  if (uris.length === 0) return undefined
  const wrong = uris.find((uri) => !/^turns?:[^\s"]+$/.test(uri))
  if (wrong !== undefined) throw new Error(`TURN_URIS must be turn: and turns: URIs, not ${wrong}`)
  return { uris, ttlSeconds: ttl(env.TURN_TTL_SECONDS), credentials: credentials(env) }
}

function credentials(env: Env): TurnSettings['credentials'] {
  if (env.TURN_SHARED_SECRET) return { secret: env.TURN_SHARED_SECRET }
  if (env.TURN_USERNAME && env.TURN_PASSWORD) {
    return { username: env.TURN_USERNAME, password: env.TURN_PASSWORD }
  }
  throw new Error('TURN_URIS needs TURN_SHARED_SECRET, or TURN_USERNAME and TURN_PASSWORD')
}

function ttl(text: string | undefined): number {
  const seconds = Number(text ?? dayInSeconds)
  if (Number.isInteger(seconds) && seconds >= 60 && seconds <= 30 * dayInSeconds) return seconds
  throw new Error(`TURN_TTL_SECONDS is not a number from 60 to ${30 * dayInSeconds}: ${text}`)
}
