// A join of a room that lives on other servers, from asking one of them to being in the room.
// 1. make_join: the template. 2. Our join, signed. 3. send_join: the join with all signatures, and the room's state, which is
// spooled. 4. The keys to check it with. 5. The state, checked and staged into the room. 6. The join on top of it: from here on
// the room is here. All of it in steps, of which an invocation takes as many as it has subrequests for; how far the join has
// come is written down. Specification: server-server API, "Joining Rooms", "Restricted rooms".

import { isMatrixError, MatrixError } from '../../errors.ts'
import type { EventId, RoomId, ServerName } from '../../matrix/event.ts'
import type { JsonObject } from '../../matrix/json.ts'
import type { RoomVersionId } from '../../matrix/room-version.ts'
import type { CompleteJoin } from '../../room/join-staging.ts'
import type { Receipt, ServerKeySet } from '../../room/receive-pdu.ts'
import { type HandshakeDeps, makeMember, sendLeave } from './handshake.ts'
import { errorOf, failureOf, type Job, type JoinRequest, type JobStore } from './join-job.ts'
import { costOfKeys, fetchKeys, type JoinKeys, signersOf } from './join-keys.ts'
import { type SendJoinDeps, sendJoin } from './send-join.ts'
import { firstOf, isFinal, mostTelling } from './servers.ts'
import type { Spool } from './spool.ts'
import { stageBatch, stagedState, type StagingDeps } from './stage-state.ts'
import { perServer, type Turn } from './turn.ts'

/** What a join needs of our room. */
export interface JoiningRoom {
  readonly beginJoin: (roomId: RoomId, version: RoomVersionId) => Promise<void>
  readonly stageEvents: StagingDeps['stage']
  readonly completeJoin: (request: CompleteJoin) => Promise<EventId>
  readonly abandonJoin: () => Promise<void>
}

export interface JoinDeps extends HandshakeDeps, Pick<SendJoinDeps, 'limits'> {
  readonly room: JoiningRoom
  readonly keys: JoinKeys
  /** The keys of one event. */
  readonly keysOf: (pdus: readonly JsonObject[]) => Promise<ServerKeySet>
  readonly store: JobStore
  readonly spool: Spool
  /** Told of what a server gave that did not hold. */
  readonly onRefused: (server: ServerName, refused: number, reason: string) => void
}

/** A join that has not begun. */
export function newJob(request: JoinRequest): Job {
  return { request, phase: 'asking', at: 0, failures: [], brokenOff: 0, keys: { part: 0 } }
}

/**
 * Goes on with the join that is written down, through the first server that helps, as far as the turn goes. Returns the id of
 * the join's event, undefined where there is more to do. Where it throws a MatrixError the join is given up, and nothing is left
 * of it in our room: 404 M_NOT_FOUND where no server is known to be in it, 403 M_FORBIDDEN where the user may not join, 400
 * M_RESOURCE_LIMIT_EXCEEDED for a room that is too large, 502 and 504 where no server could help.
 */
export async function takeTurn(deps: JoinDeps, turn: Turn): Promise<EventId | undefined> {
  const { store } = deps
  for (let job = storedJob(store); ; job = storedJob(store)) {
    const phase = phases[job.phase]
    const cost = phase.cost(deps, job)
    // A step is never begun that could not be ended.
    if (!turn.has(cost)) return undefined
    turn.spend(cost)
    try {
      const eventId = await phase.take(deps, job)
      if (eventId !== undefined) return eventId
    } catch (error) {
      if (!isMatrixError(error)) throw error
      await goOnWithout(deps, storedJob(store), error)
    }
  }
}

/** Gives a join up: whoever took it is told where they can be, and our room forgets it. */
export async function giveUp(deps: JoinDeps, job: Job): Promise<void> {
  if (job.joinedThrough !== undefined) await leaveAgain(deps, job.request, job.joinedThrough)
  await deps.room.abandonJoin()
}

function storedJob(store: JobStore): Job {
  const job = store.load()
  if (!job) throw new Error('there is no join to go on with')
  return job
}

interface Phase {
  /** How many subrequests a step of it may take. */
  readonly cost: (deps: JoinDeps, job: Job) => number
  /** One step. The id of the join's event after the last of all. */
  readonly take: (deps: JoinDeps, job: Job) => Promise<EventId | undefined>
}

const phases: Readonly<Record<Job['phase'], Phase>> = {
  // Both versions of send_join.
  asking: { cost: () => 3 * perServer + 1, take: ask },
  keys: { cost: ({ keys }, job) => costOfKeys(job.keys, keys), take: takeKeys },
  staging: { cost: () => 1, take: takeBatch },
  completing: { cost: () => 8 + 2 * perServer, take: complete },
}

async function takeKeys({ keys, store }: JoinDeps, job: Job): Promise<undefined> {
  const next = await fetchKeys(keys, store, job.keys)
  store.save(next ? { ...job, keys: next } : { ...job, phase: 'staging' })
}

async function takeBatch(deps: JoinDeps, job: Job): Promise<undefined> {
  if (!(await stageBatch(staging(deps)))) deps.store.save({ ...job, phase: 'completing' })
}

async function ask(deps: JoinDeps, job: Job): Promise<undefined> {
  const { store, spool, room } = deps
  const { roomId } = job.request
  const server = job.request.servers[job.at]
  if (server === undefined) throw mostTelling(job.failures.map(errorOf))
  const member = await makeMember(deps, server, { ...job.request, membership: 'join' })
  await room.beginJoin(roomId, member.rules.id)
  // What another server gave, or this one before a crash.
  store.clearState()
  spool.clear()
  const signers = signersOf(deps.now())
  let asked = job
  const join = await sendJoin(
    {
      ...deps,
      onEvent: (pdu) => signers.add(pdu),
      onAnswer: () => {
        asked = { ...job, joinedThrough: job.joinedThrough ?? server }
        store.save(asked)
      },
    },
    server,
    roomId,
    member,
  )
  spool.end()
  store.keepSigners(signers.parts())
  store.save({ ...asked, phase: 'keys', keys: { part: 0 }, join })
}

async function complete(deps: JoinDeps, job: Job): Promise<EventId> {
  const { join, at, request } = job
  const server = request.servers[at]
  if (!join || server === undefined) throw new Error('there is no join to complete')
  const staged = await stagedState(staging(deps))
  if (staged.refused > 0) deps.onRefused(server, staged.refused, staged.reason ?? '')
  return await deps.room.completeJoin({
    join,
    keys: await deps.keysOf([join]),
    state: staged.state,
    servers: [server, ...request.servers.filter((other) => other !== server)],
    localUser: { userId: request.userId, shard: request.shard },
  })
}

function staging({ store, spool, room }: JoinDeps): StagingDeps {
  return { store, spool, stage: room.stageEvents }
}

/** After a server that could not help: the next one. Throws where that would be of no use. */
async function goOnWithout(deps: JoinDeps, job: Job, error: MatrixError): Promise<void> {
  const { store, spool, room } = deps
  const next = job.at + 1
  const failures = [...job.failures, failureOf(error)]
  if (!isFinal(error) && next < job.request.servers.length) {
    store.clearState()
    spool.clear()
    store.save({ ...job, phase: 'asking', at: next, failures, keys: { part: 0 } })
    return
  }
  // Where a server took our join in, the user is in the room for all others, whatever became of it here. A room that is too
  // large stays so; whatever else went wrong may go right the next time, for which the user must still be let in.
  if (error.errcode === 'M_RESOURCE_LIMIT_EXCEEDED') await giveUp(deps, job)
  else await room.abandonJoin()
  throw isFinal(error) ? error : mostTelling(failures.map(errorOf))
}

/**
 * Has another server let a user in whom no user of this one may invite, into a room that this server is in: the join with all
 * signatures, for the room to receive. Errors as for `takeTurn`.
 */
export async function joinWithHelp(
  deps: HandshakeDeps & Pick<SendJoinDeps, 'limits'>,
  request: JoinRequest,
): Promise<{ readonly server: ServerName; readonly join: JsonObject }> {
  return await firstOf(request.servers, async (server) => {
    const join = await makeMember(deps, server, { ...request, membership: 'join' })
    return { server, join: await sendJoin(deps, server, request.roomId, join) }
  })
}

// The best that can be done: a server that does not answer now goes on listing the user until they join and leave again.
async function leaveAgain(
  deps: JoinDeps,
  { roomId, userId }: JoinRequest,
  server: ServerName,
): Promise<void> {
  try {
    const leave = await makeMember(deps, server, { roomId, userId, membership: 'leave', content: {} })
    await sendLeave(deps, server, roomId, leave)
  } catch (error) {
    if (!isMatrixError(error)) throw error
    deps.onRefused(server, 1, `the join could not be taken back: ${error.message}`)
  }
}

/** M_FORBIDDEN for what a room did not take. */
export function requireTaken(receipt: Receipt | undefined): EventId {
  if (receipt?.outcome === 'accepted' || receipt?.outcome === 'known') return receipt.eventId
  const reason = receipt && 'reason' in receipt ? receipt.reason : 'what it builds upon is missing'
  throw new MatrixError('M_FORBIDDEN', 403, `The join was refused: ${reason}`)
}
