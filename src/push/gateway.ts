// Requests to push gateways: nobody but users says where they are, so that they are never trusted with more than the
// notification. Specification: push gateway API, POST /_matrix/push/v1/notify.

import type { Env } from '../env.ts'
import { webPost } from '../federation/client/web-request.ts'
import { boundedBody } from '../http/bounded-body.ts'
import { isJsonObject, type JsonObject, property } from '../matrix/json.ts'

/** What a gateway has said. */
export interface GatewayAnswer {
  readonly status: number
  /** Pushkeys that lead nowhere. */
  readonly rejected: readonly string[]
  /** How long the gateway wants to be left alone, in milliseconds, if it says so. */
  readonly retryAfterMs?: number
}

const timeoutMs = 15_000
const maxAnswerBytes = 64 * 1024

/** Posts a notification. Rejects where the gateway cannot be reached, or is none that this server connects to. */
export async function notifyGateway(env: Env, url: string, body: JsonObject): Promise<GatewayAnswer> {
  const response = await webPost(env, url, JSON.stringify(body), AbortSignal.timeout(timeoutMs))
  if (response.status < 200 || response.status > 299) {
    await response.body?.cancel()
    return { status: response.status, rejected: [], ...retryAfter(response) }
  }
  const bytes = await boundedBody(response.body, maxAnswerBytes)
  return { status: response.status, rejected: bytes === undefined ? [] : rejectedIn(bytes) }
}

function retryAfter({ headers }: Response): { retryAfterMs?: number } {
  const seconds = headers.get('Retry-After') ?? ''
  return /^\d{1,6}$/.test(seconds) ? { retryAfterMs: Number(seconds) * 1000 } : {}
}

/** The pushkeys that an answer rejects. An answer that is none says nothing about them. */
function rejectedIn(bytes: Uint8Array): string[] {
  const rejected = property(parsed(bytes), 'rejected')
  return Array.isArray(rejected) ? rejected.filter((key) => typeof key === 'string') : []
}

function parsed(bytes: Uint8Array): JsonObject | undefined {
  try {
    const value: unknown = JSON.parse(new TextDecoder().decode(bytes))
    return isJsonObject(value) ? value : undefined
  } catch {
    return undefined
  }
}
