// Users and rooms that an application service may still make: asked for when somebody here wants them, while that one waits.
// It makes them by the client-server API before it answers, so nothing may be held that this takes.
// Specification: application service API, "Querying".

import { config } from '../config.ts'
import type { Env } from '../env.ts'
import { isMatrixError, MatrixError } from '../errors.ts'
import { sharedWork } from '../federation/client/shared-work.ts'
import type { RoomAlias, UserId } from '../matrix/event.ts'
import { serverNameOf } from '../matrix/identifiers.ts'
import { findAlias, type HostedAlias } from '../storage/aliases.ts'
import { findUser } from '../storage/users.ts'
import { looksAfterAlias, looksAfterUser } from './namespaces.ts'
import { refusedQueries } from './refused-queries.ts'
import type { Appservice } from './registration.ts'
import { appserviceRequest } from './request.ts'
import { findOrMakeSender } from './sender-account.ts'

export interface QueryTimes {
  /** For each try. */
  readonly timeoutMs: number
  /** Before each further try. */
  readonly pausesMs: readonly number[]
}

const standardTimes: QueryTimes = { timeoutMs: 20_000, pausesMs: [500, 1500] }
// Room for all tries, and what lies between them.
const longestMs = 70_000
const mostUsers = 20
const usersAtOnce = 5

const asking = sharedWork(longestMs)
const refused = refusedQueries()

/**
 * Who wants something: a user of this server or somebody of another; undefined for those without an account, who may have nobody
 * asked. Called only where there is somebody to ask; what it throws goes through.
 */
export type FindAsker = () => Promise<UserId | 'another server' | undefined>

/**
 * What `find` finds of a user of this server, also where an application service makes them for whoever asks. Undefined where there
 * is no such user; 408 M_CONNECTION_TIMEOUT where the application service that should know does not answer.
 */
export async function findOrAskForUser<T>(
  env: Env,
  userId: UserId,
  findAsker: FindAsker,
  find: () => Promise<T | undefined>,
): Promise<T | undefined> {
  const known = await find()
  if (known !== undefined) return known
  if (isSender(env, userId)) return (await findOrMakeSender(env, userId)) ? await find() : undefined
  const owners = await othersThan(env, ownersOfUser(env, userId), findAsker)
  return (await askAboutUser(env, userId, owners)) ? await find() : undefined
}

/** The same for the room of an alias of this server. */
export async function findOrAskForAlias(
  env: Env,
  alias: RoomAlias,
  findAsker: FindAsker,
): Promise<HostedAlias | undefined> {
  const known = await findAlias(env, alias)
  if (known) return known
  const all = config(env).appservices.filter((one) => one.url !== undefined && looksAfterAlias(one, alias))
  const owners = await othersThan(env, all, findAsker)
  const made = await ask(`/_matrix/app/v1/rooms/${encodeURIComponent(alias)}`, owners)
  return made ? await findAlias(env, alias) : undefined
}

/**
 * Asks for users of this server whom somebody invites and nobody knows. The inviter may be of the same application service. Answers
 * whether any of them may be there now. 408.
 */
export async function askForInvited(
  env: Env,
  userIds: readonly UserId[],
  inviter?: UserId,
): Promise<boolean> {
  const senders = userIds.filter((userId) => isSender(env, userId))
  for (const sender of senders) await findOrMakeSender(env, sender)
  const queries = userIds.flatMap((userId) => {
    const owners = ownersOfUser(env, userId)
    return owners.length === 0 || senders.includes(userId) ? [] : [{ userId, owners }]
  })
  let anyMade = senders.length > 0
  // An invite of very many would be a flood of requests.
  for (let start = 0; start < Math.min(queries.length, mostUsers); start += usersAtOnce) {
    const some = queries.slice(start, start + usersAtOnce)
    const answers = await Promise.all(
      some.map(async ({ userId, owners }) => {
        // Who answers the question by inviting the same user would wait for itself.
        const isOwn = inviter !== undefined && owners.some((owner) => looksAfterUser(env, owner, inviter))
        return isOwn && asking.running(userPath(userId)) ? false : await askAboutUser(env, userId, owners)
      }),
    )
    if (answers.includes(true)) anyMade = true
    // Without one of them there is no use in the others.
    if (answers.includes(false)) break
  }
  return anyMade
}

function isSender(env: Env, userId: UserId): boolean {
  return config(env).appservices.some(({ sender }) => sender === userId)
}

function ownersOfUser(env: Env, userId: UserId): readonly Appservice[] {
  const { appservices, serverName } = config(env)
  if (appservices.length === 0 || serverNameOf(userId) !== serverName) return []
  // "The homeserver will only query user IDs inside the application service's users namespace."
  return appservices.filter(
    ({ url, users }) => url !== undefined && users.some((space) => space.matches(userId)),
  )
}

// What an application service has not made, it need not be asked for by itself: it wants to know whether it has.
async function othersThan(
  env: Env,
  owners: readonly Appservice[],
  findAsker: FindAsker,
): Promise<readonly Appservice[]> {
  if (owners.length === 0) return owners
  const asker = await findAsker()
  if (asker === undefined) return []
  return asker === 'another server' ? owners : owners.filter((one) => !looksAfterUser(env, one, asker))
}

async function askAboutUser(env: Env, userId: UserId, owners: readonly Appservice[]): Promise<boolean> {
  // One who was deactivated is not unknown, and cannot be made again.
  if (owners.length === 0 || (await findUser(env, userId))) return false
  return await ask(userPath(userId), owners)
}

function userPath(userId: UserId): string {
  return `/_matrix/app/v1/users/${encodeURIComponent(userId)}`
}

/** Whether any of some application services says that what a path names is there. */
async function ask(path: string, owners: readonly Appservice[]): Promise<boolean> {
  if (owners.length === 0) return false
  const known = refused.outcome(path)
  if (known === 'silent') throw requestTimeout()
  if (known === 'no') return false
  const running = asking.running(path)
  if (running) {
    await running
    return true
  }
  const work = askEach(path, owners)
  await asking.start([path], work.then(nothing))
  return await work
}

function nothing(): void {
  // Those who wait for the work of another request look for themselves what came of it.
}

async function askEach(path: string, owners: readonly Appservice[]): Promise<boolean> {
  const outcomes = new Set<QueryOutcome>()
  for (const owner of owners) {
    const outcome = await queryAppservice(owner, path, standardTimes)
    if (outcome === 'yes') return true
    outcomes.add(outcome)
  }
  const outcome = outcomes.has('silent') ? 'silent' : 'no'
  refused.remember(path, outcome)
  if (outcome === 'no') return false
  // "This should result in an HTTP status 408 […] on the client which initiated this request".
  throw requestTimeout()
}

type QueryOutcome = 'yes' | 'no' | 'silent'

/** What an application service says about something of its own. `silent` is one that has not answered, several times. */
export async function queryAppservice(
  appservice: Appservice,
  path: string,
  { timeoutMs, pausesMs }: QueryTimes,
): Promise<QueryOutcome> {
  for (const pause of [...pausesMs, undefined]) {
    const status = await statusOf(appservice, path, timeoutMs)
    if (status >= 200 && status < 300) return 'yes'
    // What stands before one that is down answers in its place.
    if (status < 500) return 'no'
    if (pause !== undefined) await new Promise((passed) => setTimeout(passed, pause))
  }
  return 'silent'
}

async function statusOf(appservice: Appservice, path: string, timeoutMs: number): Promise<number> {
  try {
    return (await appserviceRequest(appservice, { method: 'GET', path, timeoutMs })).status
  } catch (error) {
    if (isMatrixError(error)) return error.status
    throw error
  }
}

function requestTimeout(): MatrixError {
  return new MatrixError(
    'M_CONNECTION_TIMEOUT',
    408,
    'The application service that knows of it does not answer',
  )
}
