// Waking those who wait. A waiting client is a socket between its Worker and this object that survives hibernation,
// so that it pins nothing in memory; what it waits for is in the socket's attachment.

import { MatrixError } from '../errors.ts'
import type { HubContext } from './context.ts'
import { deviceGeneration } from './devices.ts'
import { internUser } from './interned.ts'
import { keyCounts } from './one-time-keys.ts'
import { deviceSeen, noDevice } from './presence.ts'
import { planSlidingSync, type SlidingPlan } from './sliding-sync.ts'
import { idleMark, type SlidingSyncRequest, supersededMark } from './sliding-sync-request.ts'
import { planSync, type SyncPlan } from './sync.ts'
import { keyCountsMark, movedMark, type SyncRequest } from './sync-request.ts'

// Sockets take messages of 1 MiB.
const largestMessage = 256 * 1024

// What survives hibernation with a socket is bounded to 2 KiB.
const largestAttachment = 1900

/** Whose request it is, where all of it is too large for the attachment. */
type RequestHead = Pick<SlidingSyncRequest, 'sliding' | 'userId' | 'deviceId' | 'connId' | 'setPresence'>

type WaitingRequest = SyncRequest | SlidingSyncRequest | RequestHead

/** Requests that are too large for attachments, until hibernation: then the Worker has to ask again. */
const largeRequests = new WeakMap<WebSocket, SlidingSyncRequest>()

/** Remembers that a user has news as of now. */
export function markNews(hub: HubContext, uid: number): void {
  hub.newsAt.set(uid, hub.position)
}

/** Marks news and wakes the user's waiting syncs. */
export function wakeUser(hub: HubContext, uid: number): void {
  markNews(hub, uid)
  wake(hub, uid)
}

/** Answers the waiting syncs of a user who has news. A sync that its news do not concern goes on waiting. */
export function wake(hub: HubContext, uid: number): void {
  for (const socket of hub.sockets(waiterTag(uid))) {
    const request = waitingRequest(socket)
    if (!request) continue
    const plan = planFor(hub, socket, request)
    if (plan?.idle) {
      if (!('sliding' in request) && 'join' in plan) moveOn(socket, request, plan)
      continue
    }
    // The attachment is emptied so that the next wake does not answer it again.
    socket.serializeAttachment(null)
    if (request.setPresence) deviceSeen(hub, uid, request.deviceId)
    const text = plan ? JSON.stringify(plan) : ''
    // A plan that is too large for a message is fetched instead.
    socket.send(text.length <= largestMessage ? text : '')
    socket.close(1000)
  }
}

function waitingRequest(socket: WebSocket): WaitingRequest | null {
  // Written by `pollSync` alone.
  return socket.deserializeAttachment() as WaitingRequest | null
}

/** The plan of a request that waits, undefined where the Worker has to fetch it. */
function planFor(
  hub: HubContext,
  socket: WebSocket,
  request: WaitingRequest,
): SyncPlan | SlidingPlan | undefined {
  if (!('sliding' in request)) return planSync(hub, request)
  const whole = 'lists' in request ? request : largeRequests.get(socket)
  if (!whole) return undefined
  try {
    return planSlidingSync(hub, whole)
  } catch {
    // Whoever brought the news is not to blame; the Worker meets the same error when it fetches the plan.
    return undefined
  }
}

/** Tells the waiting syncs of a device how many keys it has: they say so also when nothing else happens. */
export function tellKeyCounts(hub: HubContext, uid: number, deviceId: string): void {
  for (const socket of hub.sockets(waiterTag(uid))) {
    const request = waitingRequest(socket)
    if (request?.deviceId === deviceId) sendKeyCounts(hub, uid, deviceId, socket)
  }
}

function sendKeyCounts(hub: HubContext, uid: number, deviceId: string, socket: WebSocket): void {
  socket.send(`${keyCountsMark}${JSON.stringify(keyCounts(hub, uid, deviceId))}`)
}

/** The devices of a user that wait and show the user to be there. */
export function presentDevices(hub: HubContext, uid: number): Set<string> {
  const requests = hub.sockets(waiterTag(uid)).map(waitingRequest)
  return new Set(requests.flatMap((request) => (request?.setPresence ? [request.deviceId ?? noDevice] : [])))
}

/** A waiting client went away, most often because its time is up: it comes again at once if it can. */
export function waiterLeft(hub: HubContext, socket: WebSocket): void {
  const request = waitingRequest(socket)
  if (request?.setPresence) deviceSeen(hub, internUser(hub, request.userId), request.deviceId)
}

/** The tag under which the waiting syncs of a user are found. */
export function waiterTag(uid: number): string {
  return `u${uid}`
}

/** Ends the waiting syncs of a user, of one device or of all: their next request finds out why. */
export function dropWaiters(hub: HubContext, uid: number, deviceId?: string): void {
  for (const socket of hub.sockets(waiterTag(uid))) {
    const request = waitingRequest(socket)
    if (request && deviceId !== undefined && request.deviceId !== deviceId) continue
    // Emptied, since what ends them may wake their user too: nothing can be sent on a closed socket.
    socket.serializeAttachment(null)
    socket.close(1001)
  }
}

/**
 * Refuses a sync of a device that was logged out: a Worker that held a poll over the logout comes back with the session
 * it had before. M_UNKNOWN_TOKEN.
 */
export function requireCurrentDevice(
  hub: HubContext,
  { userId, deviceId, generation }: Pick<SyncRequest, 'userId' | 'deviceId' | 'generation'>,
): void {
  // An application service that acts as no device is not logged out.
  if (deviceId === undefined) return
  if (deviceGeneration(hub, internUser(hub, userId), deviceId) === generation) return
  throw new MatrixError('M_UNKNOWN_TOKEN', 401, 'Unknown access token')
}

/**
 * Answers a sync at once when there is something to tell, else accepts a socket on which the plan will come. Checking
 * and accepting is one synchronous block: no news can fall between the two.
 */
export function pollSync(
  hub: HubContext,
  request: SyncRequest | SlidingSyncRequest,
  accept: (socket: WebSocket, tag: string) => void,
): Response {
  const plan = 'sliding' in request ? planSlidingSync(hub, request) : planSync(hub, request)
  if (!plan.idle) return Response.json(plan)
  const { 0: client, 1: server } = new WebSocketPair()
  const uid = internUser(hub, request.userId)
  if ('sliding' in request) supersede(hub, uid, request)
  accept(server, waiterTag(uid))
  attach(server, request)
  if ('sliding' in request) server.send(`${idleMark}${JSON.stringify(plan)}`)
  else {
    if ('join' in plan) moveOn(server, request, plan)
    if (request.deviceId !== undefined) sendKeyCounts(hub, uid, request.deviceId, server)
  }
  return new Response(null, { status: 101, webSocket: client })
}

// What was looked through for nothing is not looked through again, neither by the next wake nor by the next sync.
function moveOn(socket: WebSocket, request: SyncRequest, { next }: SyncPlan): void {
  const { since } = request
  if (since?.log === next.log && since.ephemeral === next.ephemeral) return
  socket.serializeAttachment({ ...request, since: next })
  socket.send(`${movedMark}${JSON.stringify(next)}`)
}

function attach(socket: WebSocket, request: SyncRequest | SlidingSyncRequest): void {
  if (!('sliding' in request) || JSON.stringify(request).length <= largestAttachment) {
    socket.serializeAttachment(request)
    return
  }
  const { sliding, userId, deviceId, connId, setPresence } = request
  const head: RequestHead = { sliding, userId, deviceId, connId, ...(setPresence ? { setPresence } : {}) }
  socket.serializeAttachment(head)
  largeRequests.set(socket, request)
}

// A connection has one request at a time: the earlier one has been given up by its client.
function supersede(hub: HubContext, uid: number, { deviceId, connId }: SlidingSyncRequest): void {
  for (const socket of hub.sockets(waiterTag(uid))) {
    const earlier = waitingRequest(socket)
    if (!earlier || !('sliding' in earlier)) continue
    if (earlier.deviceId !== deviceId || earlier.connId !== connId) continue
    socket.serializeAttachment(null)
    socket.send(supersededMark)
    socket.close(1000)
  }
}
