// Clients of application services that act as the users they look after, over HTTP.

import type { JsonObject } from '../../src/matrix/json.ts'
import { roomClient } from './room-client.ts'
import { type TestServer, testServerName } from './server.ts'

/** What the query of an application service adds to a request: `user_id`, `device_id`, `ts`. */
type ActingQuery = Readonly<Record<string, string>>

/** The token of an application service by its id. */
export const asTokenOf = (id: string) => `as_token_of_${id}`

/**
 * The variable that registers an application service which is told nothing. Its sender is `_<id>_bot`, its exclusive
 * namespaces are users and aliases that begin with `_<id>_`.
 */
export function registered(id: string, fields: JsonObject = {}): Record<string, string> {
  const registration = {
    id,
    url: null,
    as_token: asTokenOf(id),
    hs_token: `hs_token_of_${id}`,
    sender_localpart: `_${id}_bot`,
    namespaces: {
      users: [{ exclusive: true, regex: `@_${id}_.*` }],
      aliases: [{ exclusive: true, regex: `#_${id}_.*` }],
    },
    ...fields,
  }
  return { [`APPSERVICE_${id.toUpperCase()}`]: JSON.stringify(registration) }
}

/** The client of an application service, as the user and the device that its query names. */
export function actingClient(server: Pick<TestServer, 'request'>, id: string, query: ActingQuery = {}) {
  const request: TestServer['request'] = (method, path, options) => {
    const url = new URL(path, 'http://server')
    for (const [name, value] of Object.entries(query)) url.searchParams.append(name, value)
    return server.request(method, `${url.pathname}${url.search}`, options)
  }
  const userId = query['user_id'] ?? `@_${id}_bot:${testServerName}`
  return roomClient({ request }, { userId, token: asTokenOf(id), deviceId: query['device_id'] ?? '' })
}

/** Registers a user of an application service, without logging them in. Answers the user id. */
export async function registerGhost(
  server: Pick<TestServer, 'request'>,
  id: string,
  name: string,
): Promise<string> {
  const username = `_${id}_${name}`
  const { status, body } = await server.request('POST', '/_matrix/client/v3/register', {
    token: asTokenOf(id),
    body: { type: 'm.login.application_service', username, inhibit_login: true },
  })
  if (status !== 200) throw new Error(`could not register ${username}: ${status} ${JSON.stringify(body)}`)
  return `@${username}:${testServerName}`
}
