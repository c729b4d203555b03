// Sending what waits: one push at a time for each pusher, several pushers at once, each in its turn; retries with growing
// pauses, for a day. Specification: push gateway API, "Homeserver behaviour".

import { errorMessage, log } from '../log.ts'
import { stringProperty } from '../matrix/json.ts'
import { backOff, isWanted, succeeded } from './back-off.ts'
import { armAlarm, type Pusher, type Pushes } from './context.ts'
import { sendDigest } from './email-digest.ts'
import type { GatewayAnswer } from './gateway.ts'
import { notifyBody } from './notification.ts'
import { removePushers } from './pushers.ts'
import { dropPush, nextPush, type Push } from './queue.ts'

const quickRetryMs = 2_000
// A gateway that takes no offence at other pushes would never take this one, which holds up the others.
const triesOfRefused = 3

/** Puts a pusher into the line of those to be served, if it is time and something waits for it. */
export function markReady({ deps, ready }: Pushes, pusher: Pusher): void {
  if (pusher.waiting > 0 && !pusher.busy && !pusher.gone && pusher.retryAt <= deps.now()) ready.add(pusher)
}

/** Serves those in the line, as many at once as there are connections. */
export function pump(pushes: Pushes): void {
  for (const pusher of pushes.ready) {
    if (pushes.active >= pushes.deps.connections) return
    // Gateways that are down take long to say so: they must not hold up the others.
    if (pusher.failures > 0 && pushes.activeFailing * 2 >= pushes.deps.connections) continue
    pushes.ready.delete(pusher)
    void serve(pushes, pusher)
  }
}

/** Resolves when nothing is going on: all is sent, or waits for its time. */
export function whenIdle(pushes: Pushes): Promise<void> {
  if (pushes.active === 0 && pushes.ready.size === 0) return Promise.resolve()
  return new Promise((resolve) => pushes.idleWaiters.push(resolve))
}

/** Sends what is due, and has the alarm come for the rest. The first thing to do after a start. */
export function resume(pushes: Pushes): void {
  const now = pushes.deps.now()
  for (const pusher of [...pushes.pushers.values()].flat()) {
    if (pusher.waiting === 0) continue
    markReady(pushes, pusher)
    armAlarm(pushes, pusher.retryAt > now ? pusher.retryAt : now + pushes.deps.lookAfterMs)
  }
  pump(pushes)
}

async function serve(pushes: Pushes, pusher: Pusher): Promise<void> {
  const failing = pusher.failures > 0 ? 1 : 0
  pushes.active += 1
  pushes.activeFailing += failing
  pusher.busy = true
  // The next one is served from here: thousands of them with nothing left to say must not lie on one stack.
  await Promise.resolve()
  try {
    if (pusher.email) await sendDigest(pushes, pusher, pusher.email)
    else {
      const push = nextWanted(pushes, pusher)
      if (push) await send(pushes, pusher, push)
    }
  } catch (error) {
    // Nothing of the gateway's doing. The alarm looks after what waits.
    pusher.retryAt = pushes.deps.now() + pushes.deps.lookAfterMs
    log({ event: 'push_not_made', gateway: gatewayOf(pusher), error: errorMessage(error) })
  }
  pushes.active -= 1
  pushes.activeFailing -= failing
  pusher.busy = false
  // At the end of the line: the others come first.
  markReady(pushes, pusher)
  pump(pushes)
  if (pushes.active > 0 || pushes.ready.size > 0) return
  for (const resolve of pushes.idleWaiters.splice(0)) resolve()
}

/** The next push that still is of use: not too old, and about nothing that was read meanwhile. */
function nextWanted(pushes: Pushes, pusher: Pusher): Push | undefined {
  for (;;) {
    const push = nextPush(pushes, pusher)
    if (!push || isWanted(pushes, pusher, push)) return push
    dropPush(pushes, pusher, push)
  }
}

async function send(pushes: Pushes, pusher: Pusher, push: Push): Promise<void> {
  const url = urlOf(pusher)
  const body = notifyBody(pusher, push.notification, pushes.deps.unread(pusher.uid))
  let answer: GatewayAnswer
  try {
    answer = await pushes.deps.notify(url, body)
  } catch (error) {
    return failed(pushes, pusher, push, { error: errorMessage(error) })
  }
  if (pusher.gone) return
  if (answer.status >= 200 && answer.status <= 299) return sent(pushes, pusher, push, answer)
  failed(pushes, pusher, push, {
    error: `status ${answer.status}`,
    refused: answer.status < 500 && answer.status !== 408 && answer.status !== 429,
    ...(answer.retryAfterMs === undefined ? {} : { notBefore: pushes.deps.now() + answer.retryAfterMs }),
  })
}

function urlOf({ settings }: Pusher): string {
  return stringProperty(settings.data, 'url') ?? ''
}

// For the operator: the rest of the URL may be a secret.
function gatewayOf(pusher: Pusher): string {
  if (pusher.email) return 'mail'
  return URL.parse(urlOf(pusher))?.host ?? ''
}

function sent(pushes: Pushes, pusher: Pusher, push: Push, { rejected }: GatewayAnswer): void {
  // A pushkey that is rejected is not to be used again, whatever the push that found out.
  if (rejected.includes(pusher.settings.pushkey)) return removePushers(pushes, (other) => other === pusher)
  dropPush(pushes, pusher, push)
  pusher.quickRetries = 0
  pusher.retryAt = 0
  succeeded(pushes, pusher)
}

interface Failure {
  readonly error: string
  /** Whether it may be about this push alone. */
  readonly refused?: boolean
  /** Milliseconds. */
  readonly notBefore?: number
}

function failed(pushes: Pushes, pusher: Pusher, push: Push, failure: Failure): void {
  if (pusher.gone) return
  const { now, later } = pushes.deps
  if (pusher.failures === 0 && pusher.quickRetries === 0 && failure.notBefore === undefined) {
    pusher.quickRetries = 1
    pusher.retryAt = now() + quickRetryMs
    return later(quickRetryMs, () => {
      markReady(pushes, pusher)
      pump(pushes)
    })
  }
  backOff(pushes, pusher, { error: failure.error, gateway: gatewayOf(pusher), notBefore: failure.notBefore })
  if (failure.refused && pusher.failures % triesOfRefused === 0) dropPush(pushes, pusher, push)
}
