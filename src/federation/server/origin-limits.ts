// How much one other server may ask of this one: requests and events, in bursts and in a day. Beyond that it is told to come
// later, so that none can use up alone what all of them share. Specification: server-server API, "API standards";
// client-server API, "Rate limiting".

import { config } from '../../config.ts'
import type { Env } from '../../env.ts'
import { limitExceeded, rateLimit } from '../../http/rate-limit.ts'
import type { ServerName } from '../../matrix/event.ts'
import { type JsonObject, property } from '../../matrix/json.ts'

/** What is left of a daily allowance, which comes back bit by bit. */
interface Allowance {
  left: number
  /** As of when, in milliseconds. */
  at: number
}

const dayMs = 24 * 60 * 60_000
// A burst takes a part of the day at most.
const burstShare = 1 / 8
const longestWaitMs = 60 * 60_000
// A bound on memory: who is forgotten starts anew.
const rememberedServers = 5000

/** The allowances of all servers, in memory: an isolate that starts knows of none. */
export function allowances(perDay: number) {
  const known = new Map<ServerName, Allowance>()
  const most = Math.max(1, perDay * burstShare)
  /** Uses some of a server's allowance up. Returns how long it has to wait where nothing is left, in milliseconds, else 0. */
  return (serverName: ServerName, amount: number, now: number): number => {
    const { left, at } = known.get(serverName) ?? { left: most, at: now }
    const current = Math.min(most, left + ((now - at) * perDay) / dayMs)
    // What is refused uses nothing up. What is allowed may be more than what is left: the next ones wait for it.
    const isAllowed = current >= 1
    const after = isAllowed ? current - amount : current
    known.delete(serverName)
    const oldest = known.size >= rememberedServers ? known.keys().next().value : undefined
    if (oldest !== undefined) known.delete(oldest)
    known.set(serverName, { left: after, at: now })
    return isAllowed ? 0 : Math.min(longestWaitMs, Math.ceil(((1 - current) * dayMs) / perDay))
  }
}

type Take = ReturnType<typeof allowances>
const ofEnv = new WeakMap<Env, { readonly requests: Take; readonly pdus: Take }>()

/** Counts a request. 429 M_LIMIT_EXCEEDED when its origin has used up what it may ask for. */
export async function limitOrigin(env: Env, origin: ServerName, content: JsonObject): Promise<void> {
  const { rateLimits, originRequestsPerDay, originPdusPerDay } = config(env)
  if (!rateLimits) return
  await rateLimit(env, env.FEDERATION_LIMIT, origin)
  const { requests, pdus } = ofEnv.get(env) ?? {
    requests: allowances(originRequestsPerDay),
    pdus: allowances(originPdusPerDay),
  }
  ofEnv.set(env, { requests, pdus })
  const sent = property(content, 'pdus')
  const now = Date.now()
  const wait =
    requests(origin, 1, now) || (Array.isArray(sent) && sent.length > 0 ? pdus(origin, sent.length, now) : 0)
  if (wait > 0) throw limitExceeded(wait)
}
