// The RemoteJoin: one Durable Object a room that is being joined through other servers, so that there is one join at a time
// whoever asks, and so that nobody's room waits for the network. What it writes down is gone when the join is over.

import { DurableObject } from 'cloudflare:workers'
import { config } from '../../config.ts'
import { type Env, roomStub } from '../../env.ts'
import { ownSigner } from '../../keys/own-signer.ts'
import { log } from '../../log.ts'
import type { EventId } from '../../matrix/event.ts'
import { federationFetch, federationRequest } from '../client/request.ts'
import { eventKeys } from '../receive/event-keys.ts'
import { receiveCompletely } from '../receive/receive-in-room.ts'
import { type JoinDeps, type JoinRequest, joinRoom, joinWithHelp, requireTaken } from './join-room.ts'
import { openSpool } from './spool.ts'

/** The join's event; or that this server has come into the room meanwhile, so that the room itself can be asked. */
export type JoinAnswer = { readonly eventId: EventId } | { readonly resident: true }

// A server that sends nothing for so long has stopped.
const idleMs = 60_000

export class RemoteJoin extends DurableObject<Env> {
  // The joins under way and waiting, the last of them at the end.
  #last: Promise<unknown> = Promise.resolve()
  readonly #byUser = new Map<string, Promise<JoinAnswer>>()

  /**
   * Joins a user of this server. `evenIfResident` where the room was asked and cannot let the user in. A user who asks again
   * meanwhile gets the answer of the same join; others wait, and then find the room here. Errors as `joinRoom`.
   */
  async join(request: JoinRequest, evenIfResident: boolean): Promise<JoinAnswer> {
    const { userId } = request
    const running = this.#byUser.get(userId)
    if (running) return await running
    const join = this.#last.then(() => runJoin(this.ctx, this.env, request, evenIfResident))
    this.#byUser.set(userId, join)
    this.#last = join.catch(() => undefined).finally(() => this.#byUser.delete(userId))
    // The client may be gone before; the room is joined all the same.
    this.ctx.waitUntil(this.#last)
    return await join
  }
}

async function runJoin(
  ctx: DurableObjectState,
  env: Env,
  request: JoinRequest,
  evenIfResident: boolean,
): Promise<JoinAnswer> {
  const { roomId, userId, shard } = request
  const room = roomStub(env, roomId)
  const deps = await joinDeps(ctx, env, request)
  if (!(await room.isResident())) return { eventId: await joinRoom(deps, request) }
  if (!evenIfResident) return { resident: true }
  const { server, join } = await joinWithHelp(deps, request)
  await room.registerLocalUser(userId, shard)
  return { eventId: requireTaken(await receiveCompletely(env, server, roomId, join)) }
}

async function joinDeps(ctx: DurableObjectState, env: Env, { roomId }: JoinRequest): Promise<JoinDeps> {
  const room = roomStub(env, roomId)
  return {
    request: (call) => federationRequest(env, call),
    fetch: (call) => federationFetch(env, call),
    signer: await ownSigner(env),
    now: Date.now,
    keysOf: (pdus) => eventKeys(env, pdus),
    openSpool: () => openSpool(ctx.storage.sql),
    limits: { stateEvents: config(env).maxJoinStateEvents, idleMs },
    room: {
      beginJoin: async (...args) => await room.beginJoin(...args),
      receiveOutliers: async (...args) => await room.receiveOutliers(...args),
      completeJoin: async (completed) => await room.completeJoin(completed),
    },
    onRefused: (server, refused, reason) =>
      log({ event: 'join_state_refused', room_id: roomId, server, refused, reason }),
  }
}
