// A user with an unmodified matrix-js-sdk. The SDK may contact 127.0.0.1 and nothing else.

import assert from 'node:assert/strict'
import { setTimeout as sleep } from 'node:timers/promises'
import {
  ClientEvent,
  createClient,
  type ICreateClientOpts,
  MatrixError,
  SyncState,
  type MatrixClient,
  type Room,
} from 'matrix-js-sdk'

export interface Person {
  readonly userId: string
  readonly password: string
  readonly client: MatrixClient
}

/** What the SDK is made with, besides the session. */
export type ClientOptions = Pick<ICreateClientOpts, 'cryptoCallbacks' | 'fetchFn'>

/** Registers by user-interactive authentication: asks which stages there are, then goes through `m.login.dummy`. */
export async function register(
  baseUrl: string,
  username: string,
  options: ClientOptions = {},
): Promise<Person> {
  const account = { username, password: `correct horse of ${username}` }
  const stranger = createClient({ baseUrl, fetchFn: localFetch })
  const refusal: unknown = await stranger.registerRequest(account).then(
    () => assert.fail('registered without authentication'),
    (error: unknown) => error,
  )
  assert(refusal instanceof MatrixError, `registering failed: ${String(refusal)}`)
  assert.equal(refusal.httpStatus, 401, refusal.message)
  const { session, flows } = refusal.data as { session?: string; flows?: { stages: string[] }[] }
  assert(session !== undefined, '401 without a session')
  assert(
    flows?.some(({ stages }) => stages.join() === 'm.login.dummy'),
    `no m.login.dummy among the flows ${JSON.stringify(flows)}`,
  )
  const answer = await stranger.registerRequest({ ...account, auth: { type: 'm.login.dummy', session } })
  return person(baseUrl, account.password, answer, options)
}

/** Logs in with the password: one more device of the same user. */
export async function logIn(
  baseUrl: string,
  { userId, password }: Person,
  options: ClientOptions = {},
): Promise<Person> {
  const stranger = createClient({ baseUrl, fetchFn: localFetch })
  const identifier = { type: 'm.id.user', user: userId }
  const answer = await stranger.loginRequest({ type: 'm.login.password', identifier, password })
  return person(baseUrl, password, answer, options)
}

interface Session {
  readonly user_id: string
  readonly access_token?: string
  readonly device_id?: string
}

function person(baseUrl: string, password: string, session: Session, options: ClientOptions): Person {
  const { user_id: userId, access_token: accessToken, device_id: deviceId } = session
  assert(accessToken !== undefined && deviceId !== undefined, `no session: ${Object.keys(session).join()}`)
  const client = createClient({ baseUrl, userId, accessToken, deviceId, fetchFn: localFetch, ...options })
  return { userId, password, client }
}

/** Fetch that goes to 127.0.0.1 and nowhere else. */
export const localFetch: typeof fetch = async (input, init) => {
  const { hostname } = new URL(input instanceof Request ? input.url : input)
  assert.equal(hostname, '127.0.0.1', `the SDK wants to contact ${hostname}`)
  return await fetch(input, init)
}

/** Starts the SDK's sync loop and waits for the first answer. */
export async function startSyncing({ client, userId }: Person, initialSyncLimit = 50): Promise<void> {
  let state: SyncState | undefined
  client.on(ClientEvent.Sync, (next) => (state = next))
  await client.startClient({ initialSyncLimit, pollTimeout: 20_000 })
  await until(
    `the first sync of ${userId}`,
    () => state === SyncState.Prepared || state === SyncState.Syncing,
  )
}

/** The room as this user knows it. */
export function roomOf({ client, userId }: Person, roomId: string): Room {
  const room = client.getRoom(roomId)
  assert(room, `${userId} does not know ${roomId}`)
  return room
}

const patience = 20_000

type Attempt<T> = T | undefined | null | false

/** Waits until the check gives something. Fails, naming what it waited for, when that takes too long. */
export async function until<T>(
  what: string,
  check: () => Attempt<T> | Promise<Attempt<T>>,
  milliseconds = patience,
): Promise<T> {
  const deadline = Date.now() + milliseconds
  for (;;) {
    const found = await check()
    if (found !== undefined && found !== null && found !== false) return found
    assert(Date.now() < deadline, `waited ${milliseconds / 1000} s in vain for ${what}`)
    await sleep(20)
  }
}

/** The promise's value, or a failure that names what took too long. */
export async function within<T>(what: string, promise: Promise<T>, milliseconds = patience): Promise<T> {
  const late = new AbortController()
  const timer = sleep(milliseconds, undefined, { signal: late.signal }).then(() =>
    assert.fail(`${what} took more than ${milliseconds / 1000} s`),
  )
  // Aborted as soon as the race is over.
  timer.catch(() => undefined)
  try {
    return await Promise.race([promise, timer])
  } finally {
    late.abort()
  }
}
