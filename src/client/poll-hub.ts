// Waiting for the Hub: a poll is a socket between the Worker and the user's shard, on which the plan of the answer comes.
// The Worker has the timer, so that a waiting client keeps no Durable Object awake.

import { hubStub, type Env } from '../env.ts'
import type { KeyCounts } from '../hub/one-time-keys.ts'
import type { SlidingPlan } from '../hub/sliding-sync.ts'
import { idleMark, type SlidingSyncRequest, supersededMark } from '../hub/sliding-sync-request.ts'
import type { SyncPlan } from '../hub/sync.ts'
import {
  keyCountsMark,
  movedMark,
  type SyncPosition,
  syncRequestHeader,
  type SyncRequest,
} from '../hub/sync-request.ts'

/** What a poll of a kind asks for and gets. */
export interface PollKind {
  readonly v3: { readonly request: SyncRequest; readonly plan: SyncPlan }
  readonly sliding: { readonly request: SlidingSyncRequest; readonly plan: SlidingPlan }
}

/** What comes over the socket beside the plan. */
export interface PollEvents {
  readonly onKeyCounts?: (counts: KeyCounts) => void
  /** There was nothing to tell up to this position. */
  readonly onMoved?: (position: SyncPosition) => void
  /** Where the client stands while nothing happens. */
  readonly onIdle?: (plan: SlidingPlan) => void
  /** The client has sent another request on the same connection. */
  readonly onSuperseded?: () => void
}

/** The plan, waiting at most so many milliseconds for one that is not idle; undefined when the time is up. */
export async function pollHub<K extends keyof PollKind>(
  env: Env,
  shard: number,
  request: PollKind[K]['request'],
  timeout: number,
  events: PollEvents,
): Promise<PollKind[K]['plan'] | undefined> {
  // Written by this server's own Hub.
  const parse = (text: string) => JSON.parse(text) as PollKind[K]['plan']
  const fetched = async () => parse(await planNow(env, shard, request))
  if (timeout <= 0) return await fetched()
  const headers = {
    Upgrade: 'websocket',
    [syncRequestHeader]: encodeURIComponent(JSON.stringify(request)),
  }
  const response = await hubStub(env, shard).fetch('https://hub/sync', { headers })
  const socket = response.webSocket
  if (!socket) return parse(await response.text())
  const text = await nextMessage(socket, timeout, events)
  // Too large for a message.
  if (text === '') return await fetched()
  return text === undefined ? undefined : parse(text)
}

async function planNow(env: Env, shard: number, request: SyncRequest | SlidingSyncRequest): Promise<string> {
  const hub = hubStub(env, shard)
  return 'sliding' in request ? await hub.planSlidingSync(request) : await hub.planSync(request)
}

/** The first plan, or undefined when the time is up or the socket is dropped: then the caller asks again. */
async function nextMessage(
  socket: WebSocket,
  timeout: number,
  { onKeyCounts, onMoved, onIdle, onSuperseded }: PollEvents,
): Promise<string | undefined> {
  let timer: ReturnType<typeof setTimeout> | undefined
  try {
    return await new Promise<string | undefined>((resolve) => {
      timer = setTimeout(() => resolve(undefined), timeout)
      socket.addEventListener('message', ({ data }) => {
        if (typeof data !== 'string') return resolve(undefined)
        // Written by this server's own Hub.
        if (data.startsWith(keyCountsMark)) {
          return onKeyCounts?.(JSON.parse(data.slice(keyCountsMark.length)) as KeyCounts)
        }
        if (data.startsWith(movedMark)) {
          return onMoved?.(JSON.parse(data.slice(movedMark.length)) as SyncPosition)
        }
        if (data.startsWith(idleMark)) return onIdle?.(JSON.parse(data.slice(idleMark.length)) as SlidingPlan)
        if (data !== supersededMark) return resolve(data)
        onSuperseded?.()
        resolve(undefined)
      })
      socket.addEventListener('close', () => resolve(undefined))
      socket.addEventListener('error', () => resolve(undefined))
      socket.accept()
    })
  } finally {
    clearTimeout(timer)
    socket.close()
  }
}
