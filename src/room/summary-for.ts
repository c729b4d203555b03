// The summary of a room for whoever asks, with the children of a space.
// Specification: client-server API, "Room Summaries", "Spaces"; server-server API, "Spaces".

import type { RoomId, ServerName } from '../matrix/event.ts'
import { spaceType } from '../matrix/space-child.ts'
import { findIdentity, type RoomContext } from './context.ts'
import { isCurrent, isResident } from './federation-access.ts'
import { summary } from './index-room.ts'
import { isServerInRoom } from './joined-servers.ts'
import { allowedRooms, isRestricted } from './restricted-join.ts'
import { currentMembership } from './send-event.ts'
import { spaceChildren } from './space-children.ts'
import { type Requester, summaryAccess } from './summary-access.ts'
import { roomSummaryJson } from './summary-json.ts'

export interface SummaryRequest {
  readonly requester: Requester
  /** Asks for `children_state` as well. */
  readonly children?: 'all' | 'suggested'
}

/**
 * `elsewhere`: this server is not in the room, and knows nothing that could be relied on. `closed`: the requester may not see
 * it. `summary` is the wire form as JSON text; with `membersOf` it is only for who is joined to one of those rooms, which
 * is for the Worker to find out.
 */
export type SummaryAnswer =
  | { readonly standing: 'elsewhere' }
  | { readonly standing: 'closed' }
  | {
      readonly standing: 'open'
      readonly summary: string
      readonly membersOf?: readonly RoomId[]
      /** Of the requesting user, undefined where there is none. */
      readonly membership?: string
    }

/** What a requester is shown of the room. Writes nothing. */
export function summaryFor(room: RoomContext, { requester, children }: SummaryRequest): SummaryAnswer {
  // Whoever asks for another server wants to know whether we could help it in.
  const here = 'serverName' in requester ? isResident(room) : isCurrent(room)
  if (!here) return { standing: 'elsewhere' }
  const access = summaryAccess(room, requester)
  if (access === 'closed') return { standing: 'closed' }
  const row = summary(room)
  const described = roomSummaryJson(row, isRestricted(room) ? allowedRooms(room) : [])
  if (children) {
    described['children_state'] =
      row.type === spaceType ? spaceChildren(room, { suggestedOnly: children === 'suggested' }) : []
  }
  const membership = 'userId' in requester ? currentMembership(room, requester.userId) : undefined
  return {
    standing: 'open',
    summary: JSON.stringify(described),
    ...(access === 'open' ? {} : { membersOf: access.membersOf }),
    ...(membership === undefined ? {} : { membership }),
  }
}

/** Whether a server has a user in the room, as far as this server, being in it too, knows. */
export function hasServer(room: RoomContext, serverName: ServerName): boolean {
  return findIdentity(room) !== undefined && isResident(room) && isServerInRoom(room, serverName)
}
