// The RemoteJoin: one Durable Object a room that is being joined through other servers, so that there is one join at a time
// whoever asks, and so that nobody's room waits for the network. A join takes several turns, the first in the call that asks
// for it, the others in alarms: each has subrequests of its own. What it writes down is gone when the join is over.
//
// Who waits for it waits as long as it takes; a client that has gone finds the join going on, or the room here, when it asks
// again. After a crash the alarm finds the join and goes on, whether or not anybody waits: a user who asked to join is joined.
// What is found broken off again and again is given up: the join is taken back, and nothing of the room is left.

import { DurableObject } from 'cloudflare:workers'
import { config } from '../../config.ts'
import { type Env, roomStub } from '../../env.ts'
import { isMatrixError, MatrixError } from '../../errors.ts'
import { ownSigner } from '../../keys/own-signer.ts'
import { errorMessage, log } from '../../log.ts'
import type { EventId, RoomId } from '../../matrix/event.ts'
import { askNotaries, fetchDirectly, keptKeys, missingKeys } from '../client/key-ring.ts'
import { federationFetch, federationRequest } from '../client/request.ts'
import { eventKeys } from '../receive/event-keys.ts'
import { receiveCompletely } from '../receive/receive-in-room.ts'
import type { HandshakeDeps } from './handshake.ts'
import { hasJob, jobStore, type JoinRequest } from './join-job.ts'
import { giveUp, type JoinDeps, joinWithHelp, newJob, requireTaken, takeTurn } from './join-room.ts'
import { openSpool } from './spool.ts'
import { startTurn } from './turn.ts'

/** The join's event; or that this server has come into the room meanwhile, so that the room itself can be asked. */
export type JoinAnswer = { readonly eventId: EventId } | { readonly resident: true }

// A server that sends nothing for so long has stopped.
const idleMs = 60_000
// How soon the alarm looks after a turn: after a crash, and after an error of our own, longer each time.
const watchMs = 60_000
const retryMs = 1000
const mostBrokenOff = 3

export class RemoteJoin extends DurableObject<Env> {
  // The joins asked for, the last of them at the end.
  #last: Promise<unknown> = Promise.resolve()
  readonly #byUser = new Map<string, Promise<JoinAnswer>>()
  /** The join that is written down, once this object has begun or found it. */
  #current: PromiseWithResolvers<EventId> | undefined
  #inTurn = false
  #tables: Pick<JoinDeps, 'store' | 'spool'> | undefined

  /**
   * Joins a user of this server. `evenIfResident` where the room was asked and cannot let the user in. A user who asks again
   * meanwhile gets the answer of the same join; others wait, and then find the room here. Errors as `takeTurn`.
   */
  async join(request: JoinRequest, evenIfResident: boolean): Promise<JoinAnswer> {
    const { userId } = request
    const running = this.#byUser.get(userId)
    if (running) return await running
    const join = this.#last.then(() => this.#join(request, evenIfResident))
    this.#byUser.set(userId, join)
    this.#last = join.catch(() => undefined).finally(() => this.#byUser.delete(userId))
    // The client may be gone before; the room is joined all the same.
    this.ctx.waitUntil(this.#last)
    return await join
  }

  override async alarm(): Promise<void> {
    if (this.#inTurn) return await this.#arm(watchMs)
    if (this.#findBrokenOff()) await this.#takeTurn()
  }

  async #join(request: JoinRequest, evenIfResident: boolean): Promise<JoinAnswer> {
    // What a crash has left comes first. Who asked for it has gone.
    if (this.#findBrokenOff() && !this.#inTurn) await this.#takeTurn()
    await this.#current?.promise.catch(() => undefined)
    const room = roomStub(this.env, request.roomId)
    if (await room.isResident()) {
      return evenIfResident ? { eventId: await joinThroughHelper(this.env, request) } : { resident: true }
    }
    this.#open().store.save(newJob(request))
    const { promise } = this.#begin()
    await this.#takeTurn()
    return { eventId: await promise }
  }

  #begin(): PromiseWithResolvers<EventId> {
    const current = Promise.withResolvers<EventId>()
    // There may be nobody who waits.
    current.promise.catch(() => undefined)
    this.#current = current
    return current
  }

  /** Whether there is a join to go on with. */
  #findBrokenOff(): boolean {
    if (this.#current) return true
    if (!hasJob(this.ctx.storage.sql)) return false
    this.#noteBrokenOff()
    this.#begin()
    return true
  }

  #noteBrokenOff(): void {
    const { store } = this.#open()
    const job = store.load()
    if (job) store.save({ ...job, brokenOff: job.brokenOff + 1 })
  }

  // Never throws: what comes of it is told to whoever waits.
  async #takeTurn(): Promise<void> {
    const { store } = this.#open()
    this.#inTurn = true
    try {
      await this.#arm(watchMs)
      const job = store.load()
      if (!job) throw new Error('there is no join to go on with')
      const deps = await joinDeps(this.env, job.request.roomId, this.#open())
      if (job.brokenOff > mostBrokenOff) {
        // What cannot even be given up is forgotten.
        if (job.brokenOff <= 2 * mostBrokenOff) await giveUp(deps, job)
        throw new MatrixError(
          'M_UNKNOWN',
          502,
          'The room cannot be joined: the work broke off again and again',
        )
      }
      const eventId = await takeTurn(deps, startTurn())
      if (eventId !== undefined) return await this.#end((waiting) => waiting.resolve(eventId))
      if (job.brokenOff > 0) store.save({ ...(store.load() ?? job), brokenOff: 0 })
      await this.#arm(0)
    } catch (error) {
      if (isMatrixError(error)) return await this.#end((waiting) => waiting.reject(error))
      const roomId = store.load()?.request.roomId
      log({ event: 'join_broken_off', room_id: roomId ?? '', error: errorMessage(error) })
      // Whatever broke may be whole again.
      this.#noteBrokenOff()
      await this.#arm(retryMs * 2 ** (store.load()?.brokenOff ?? 0))
    } finally {
      this.#inTurn = false
    }
  }

  async #end(tell: (waiting: PromiseWithResolvers<EventId>) => void): Promise<void> {
    const waiting = this.#current
    this.#current = undefined
    this.#tables = undefined
    try {
      await this.ctx.storage.deleteAll()
    } finally {
      if (waiting) tell(waiting)
    }
  }

  async #arm(ms: number): Promise<void> {
    await this.ctx.storage.setAlarm(Date.now() + ms)
  }

  #open(): Pick<JoinDeps, 'store' | 'spool'> {
    const { sql } = this.ctx.storage
    this.#tables ??= { store: jobStore(sql), spool: openSpool(sql) }
    return this.#tables
  }
}

async function joinThroughHelper(env: Env, request: JoinRequest): Promise<EventId> {
  const { roomId, userId, shard } = request
  const { server, join } = await joinWithHelp({ ...(await handshake(env)), limits: limits(env) }, request)
  await roomStub(env, roomId).registerLocalUser(userId, shard)
  return requireTaken(await receiveCompletely(env, server, roomId, join))
}

async function handshake(env: Env): Promise<HandshakeDeps> {
  return {
    request: (call) => federationRequest(env, call),
    fetch: (call) => federationFetch(env, call),
    signer: await ownSigner(env),
    now: Date.now,
  }
}

function limits(env: Env): JoinDeps['limits'] {
  return { stateEvents: config(env).maxJoinStateEvents, idleMs }
}

async function joinDeps(
  env: Env,
  roomId: RoomId,
  tables: Pick<JoinDeps, 'store' | 'spool'>,
): Promise<JoinDeps> {
  const room = roomStub(env, roomId)
  return {
    ...(await handshake(env)),
    ...tables,
    limits: limits(env),
    keysOf: (pdus) => eventKeys(env, pdus),
    keys: {
      missing: (requests) => missingKeys(env, requests),
      askNotaries: (requests) => askNotaries(env, requests),
      fetchDirectly: (servers) => fetchDirectly(env, servers),
      kept: (requests) => keptKeys(env, requests),
      atOnce: config(env).senderConnections,
    },
    room: {
      beginJoin: async (...args) => await room.beginJoin(...args),
      stageEvents: async (...args) => await room.stageEvents(...args),
      completeJoin: async (completed) => await room.completeJoin(completed),
      abandonJoin: async () => await room.abandonJoin(),
    },
    onRefused: (server, refused, reason) =>
      log({ event: 'join_state_refused', room_id: roomId, server, refused, reason }),
  }
}
