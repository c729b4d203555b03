// What users do, over the client-server API.

import { stringProperty, type JsonObject } from '../src/matrix/json.ts'
import type { Client } from './client.ts'

export interface Person {
  readonly client: Client
  readonly name: string
  readonly userId: string
  readonly token: string
}

const v3 = '/_matrix/client/v3'
let transactions = 0

/** Registers a user. */
export async function register(client: Client, name: string): Promise<Person> {
  const body = { username: name, password: `password of ${name}`, auth: { type: 'm.login.dummy' } }
  const answer = await client.json('POST', `${v3}/register`, { body })
  return { client, name, userId: text(answer, 'user_id'), token: text(answer, 'access_token') }
}

/** Registers so many users, named `prefix0` and on. */
export async function crowd(client: Client, prefix: string, size: number): Promise<Person[]> {
  const people = []
  for (let i = 0; i < size; i += 1) people.push(await register(client, `${prefix}${i}`))
  return people
}

/** Logs in with the password: a new device. */
export async function logIn({ client, name }: Person): Promise<Person> {
  const identifier = { type: 'm.id.user', user: name }
  const body = { type: 'm.login.password', identifier, password: `password of ${name}` }
  const answer = await client.json('POST', `${v3}/login`, { body })
  return { client, name, userId: text(answer, 'user_id'), token: text(answer, 'access_token') }
}

/** Creates a public room with a name and a topic. Returns its id. */
export async function createRoom(person: Person, options: JsonObject = {}): Promise<string> {
  const body = { preset: 'public_chat', name: 'Bench', topic: 'Figures', ...options }
  return text(await call(person, 'POST', '/createRoom', body), 'room_id')
}

/** Sends a message. Returns its event id. */
export async function say(person: Person, roomId: string, body = 'The quick brown fox'): Promise<string> {
  return await send(person, roomId, 'm.room.message', { msgtype: 'm.text', body })
}

/** Sends a message event. Returns its event id. */
export async function send(
  person: Person,
  roomId: string,
  type: string,
  content: JsonObject,
): Promise<string> {
  transactions += 1
  const path = `/rooms/${encodeURIComponent(roomId)}/send/${type}/t${transactions}`
  return text(await call(person, 'PUT', path, content), 'event_id')
}

/** A request below /rooms/{roomId}. */
export async function inRoom(
  person: Person,
  roomId: string,
  method: string,
  path: string,
  body?: JsonObject,
): Promise<JsonObject> {
  return await call(
    person,
    method,
    `/rooms/${encodeURIComponent(roomId)}/${path}`,
    method === 'GET' ? undefined : (body ?? {}),
  )
}

/** One /sync as text, and the token for the next. `timeout` in milliseconds; `more` goes into the query. */
export async function sync(
  person: Person,
  since?: string,
  timeout = 0,
  more: Readonly<Record<string, string>> = {},
): Promise<{ next: string; text: string }> {
  const query = new URLSearchParams({ timeout: String(timeout), ...(since ? { since } : {}), ...more })
  const { client, token } = person
  const answer = await client.text('GET', `${v3}/sync?${query.toString()}`, { token })
  const next = /"next_batch":"([^"]+)"/.exec(answer)?.[1]
  if (next === undefined) throw new Error(`a /sync without next_batch: ${answer}`)
  return { next, text: answer }
}

/** One simplified sliding sync as text, and the position for the next. `timeout` in milliseconds. */
export async function slide(
  { client, token }: Person,
  body: JsonObject,
  pos?: string,
  timeout = 0,
): Promise<{ next: string; text: string }> {
  const query = new URLSearchParams({ timeout: String(timeout), ...(pos ? { pos } : {}) })
  const path = `/_matrix/client/unstable/org.matrix.simplified_msc3575/sync?${query.toString()}`
  const answer = await client.text('POST', path, { token, body })
  const next = /"pos":"([^"]+)"/.exec(answer)?.[1]
  if (next === undefined) throw new Error(`a sliding sync without pos: ${answer}`)
  return { next, text: answer }
}

/** Uploads 100 kB. Returns the mxc: URI. */
export async function upload({ client, token }: Person): Promise<string> {
  const body = new Uint8Array(100_000)
  return text(await client.json('POST', '/_matrix/media/v3/upload', { token, body }), 'content_uri')
}

/** A request with a person's access token, below /_matrix/client/v3. */
export async function call(
  { client, token }: Person,
  method: string,
  path: string,
  body?: JsonObject,
): Promise<JsonObject> {
  return await client.json(method, `${v3}${path}`, { token, ...(body ? { body } : {}) })
}

function text(answer: JsonObject, key: string): string {
  const found = stringProperty(answer, key)
  if (found === undefined) throw new Error(`no ${key} in ${JSON.stringify(answer)}`)
  return found
}
