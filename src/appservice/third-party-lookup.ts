// Users and rooms here for users and places of other networks, and the other way round, as application services know them.
// Specification: application service API, "Third-party networks".

import { config } from '../config.ts'
import type { Env } from '../env.ts'
import { parseRoomAlias, parseUserId } from '../matrix/identifiers.ts'
import { isJsonObject, type JsonObject, objectProperty, stringProperty } from '../matrix/json.ts'
import type { Appservice } from './registration.ts'
import { parsedAnswer } from './third-party-answer.ts'

export type Looked = 'location' | 'user'

// Of all application services together.
const mostFound = 1000
const atOnce = 5

/** What application services that reach a protocol find by some fields, each of which may come more than once. */
export async function lookUpByFields(
  env: Env,
  looked: Looked,
  protocol: string,
  fields: URLSearchParams,
): Promise<JsonObject[]> {
  const asked = config(env).appservices.filter(({ protocols }) => protocols.includes(protocol))
  const path = `/_matrix/app/v1/thirdparty/${looked}/${encodeURIComponent(protocol)}`
  const found = await askAll(asked, path, fields, looked)
  return found.filter((one) => stringProperty(one, 'protocol') === protocol)
}

/** What a room alias or a user id of this network stands for on others. */
export async function lookUpById(env: Env, looked: Looked, id: string): Promise<JsonObject[]> {
  if (!isId(looked, id)) return []
  const asked = config(env).appservices.filter(({ protocols }) => protocols.length > 0)
  const query = new URLSearchParams([[looked === 'location' ? 'alias' : 'userid', id]])
  return await askAll(asked, `/_matrix/app/v1/thirdparty/${looked}`, query, looked)
}

async function askAll(
  appservices: readonly Appservice[],
  path: string,
  query: URLSearchParams,
  looked: Looked,
): Promise<JsonObject[]> {
  const found: JsonObject[][] = appservices.map(() => [])
  const queue = [...appservices.entries()]
  const worker = async (): Promise<void> => {
    for (let next = queue.shift(); next; next = queue.shift()) {
      const [i, appservice] = next
      const answer = await parsedAnswer(appservice, path, query)
      if (Array.isArray(answer)) found[i] = answer.flatMap((one) => read(one, looked, appservice))
    }
  }
  await Promise.all(Array.from({ length: Math.min(atOnce, queue.length) }, worker))
  // In the order of the registrations, whoever was the first to answer.
  return found.flat().slice(0, mostFound)
}

/** A result without what has no place in it; none where it makes no sense, or is of a network that it was not asked about. */
function read(value: unknown, looked: Looked, { protocols }: Appservice): JsonObject[] {
  if (!isJsonObject(value)) return []
  const protocol = stringProperty(value, 'protocol')
  const fields = objectProperty(value, 'fields')
  if (protocol === undefined || !protocols.includes(protocol) || !fields) return []
  const id = looked === 'location' ? 'alias' : 'userid'
  const text = stringProperty(value, id) ?? ''
  return isId(looked, text) ? [{ [id]: text, protocol, fields }] : []
}

function isId(looked: Looked, text: string): boolean {
  return (looked === 'location' ? parseRoomAlias(text) : parseUserId(text)) !== undefined
}
