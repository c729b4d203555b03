// Where a user stands in a room that lives elsewhere: invited or knocking, as the Hub alone knows.

import type { Standing } from '../hub/members.ts'
import type { ServerName, UserId } from '../matrix/event.ts'
import { parseUserId, serverNameOf } from '../matrix/identifiers.ts'
import { type JsonObject, property, stringProperty } from '../matrix/json.ts'

/** Who has invited the user, if somebody has. */
export function inviterOf(standing: Standing | undefined, userId: UserId): UserId | undefined {
  if (standing?.membership !== 'invite') return undefined
  const invite = strippedEvents(standing).find(
    (event) => property(event, 'type') === 'm.room.member' && property(event, 'state_key') === userId,
  )
  return parseUserId(stringProperty(invite, 'sender') ?? '')
}

/** Everybody who sent something of the stripped state: their servers were in the room. */
export function sendersIn(standing: Standing | undefined): UserId[] {
  const senders = strippedEvents(standing).map((event) => parseUserId(stringProperty(event, 'sender') ?? ''))
  return [...new Set(senders.filter((sender) => sender !== undefined))]
}

/** Servers that were in the room when the user was invited or knocked, that of the inviter first. */
export function serversBehind(standing: Standing | undefined, userId: UserId): ServerName[] {
  const inviter = inviterOf(standing, userId)
  const users = [...(inviter === undefined ? [] : [inviter]), ...sendersIn(standing)]
  return [...new Set(users.map((user) => serverNameOf(user)))]
}

function strippedEvents(standing: Standing | undefined): JsonObject[] {
  // Written by the Hub alone.
  return standing?.stripped ? (JSON.parse(standing.stripped) as JsonObject[]) : []
}
