// What a client may not put into a room although the shape of the request is right: answered 400 before the auth
// rules are asked. Specification: client-server API, "Room events"; room version 12, creators in power levels.

import { MatrixError } from '../errors.ts'
import { stateKeyOwner } from '../matrix/event-auth/state-key.ts'
import type { JsonObject } from '../matrix/json.ts'
import { objectProperty, property } from '../matrix/json.ts'
import { isValidPowerLevelsContent, roomCreators } from '../matrix/power-levels.ts'
import type { EventDraft } from './build-event.ts'
import { identity, type RoomContext } from './context.ts'
import { currentEvent } from './state-at.ts'

const memberships = ['join', 'invite', 'leave', 'ban', 'knock']

/** Refuses drafts that no room would take. M_BAD_JSON, M_INVALID_PARAM. */
export function checkClientContent(room: RoomContext, draft: EventDraft): void {
  if (draft.type === 'm.room.create') {
    throw new MatrixError(
      'M_INVALID_PARAM',
      400,
      'A room has one m.room.create event, which cannot be replaced',
    )
  }
  if (draft.state_key === undefined) return
  if (draft.type === 'm.room.power_levels') checkPowerLevels(room, draft.content)
  if (draft.type === 'm.room.member') checkMember(draft)
  // What no power can set is a mistake, not a lack of power.
  else if (identity(room).rules.ownedState && draft.state_key.startsWith('@')) checkOwner(draft.state_key)
}

function checkOwner(stateKey: string): void {
  if (stateKeyOwner(stateKey) !== undefined) return
  throw new MatrixError('M_BAD_JSON', 400, 'a state key that starts with @ must begin with a user id')
}

function checkPowerLevels(room: RoomContext, content: JsonObject): void {
  const { rules } = identity(room)
  if (!isValidPowerLevelsContent(rules, content)) {
    throw new MatrixError('M_BAD_JSON', 400, 'content holds a power level that is not a valid level')
  }
  const create = currentEvent(room, 'm.room.create')
  const users = objectProperty(content, 'users')
  // Since v12: creators have infinite power and may not be listed.
  if (!rules.privilegedCreators || !create) return
  const listed = roomCreators(rules, create).find((creator) => property(users, creator) !== undefined)
  if (listed)
    throw new MatrixError('M_BAD_JSON', 400, `content.users may not list ${listed}, a creator of the room`)
}

function checkMember({ content, state_key: stateKey }: EventDraft): void {
  const membership = property(content, 'membership')
  if (typeof membership !== 'string' || !memberships.includes(membership)) {
    throw new MatrixError('M_BAD_JSON', 400, `content.membership must be one of ${memberships.join(', ')}`)
  }
  if (!stateKey?.startsWith('@')) {
    throw new MatrixError('M_BAD_JSON', 400, 'the state key of m.room.member must be a user id')
  }
}
