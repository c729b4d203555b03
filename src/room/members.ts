// Who is in a room. Specification: client-server API, GET /rooms/{roomId}/members and /rooms/{roomId}/joined_members.

import { MatrixError } from '../errors.ts'
import { stringProperty } from '../matrix/json.ts'
import type { Viewer } from './client-event.ts'
import { identity, type RoomContext } from './context.ts'
import { eventsBetween, firstOutlier, type StoredEvent } from './events.ts'
import { eventList, stateEvents } from './list-state.ts'
import { membershipAt } from './member-counts.ts'
import { textStream, type ReadAnswer } from './read-answer.ts'
import { currentState } from './state-at.ts'
import { stateVisibleAt, viewOf } from './visibility.ts'

export interface MembersRequest {
  /** The position behind a token. */
  readonly at?: number
  readonly membership?: string
  readonly notMembership?: string
}

const creatorJoined = 2

/** The member events as `chunk`. M_FORBIDDEN for users who may not read the state at that point. */
export function members(room: RoomContext, viewer: Viewer, request: MembersRequest): ReadAnswer {
  const view = viewOf(room, viewer.userId)
  const { upTo, left } = stateVisibleAt(room, viewer.userId, view)
  // Nobody was there before the room was. Who asks with the start of a timeline that begins with the room wants to
  // know who began it: the create event and the join of its creator stand first.
  const position = Math.min(Math.max(request.at ?? upTo, creatorJoined), upTo)
  // Whoever may not see what was said back then does not learn either who was there.
  const [last] = eventsBetween(room, -firstOutlier, position, 'b', 1)
  if (position < upTo && last && !view.sees(last)) {
    throw new MatrixError('M_FORBIDDEN', 403, 'You could not see the room at that point')
  }
  return { body: textStream(render(room, viewer, position, request)), left }
}

function* render(
  room: RoomContext,
  viewer: Viewer,
  position: number,
  request: MembersRequest,
): Generator<string> {
  yield '{"chunk":'
  yield* eventList(room, viewer, selected(room, position, request))
  yield '}'
}

function* selected(room: RoomContext, position: number, request: MembersRequest): Generator<StoredEvent[]> {
  for (const events of stateEvents(room, position, 'm.room.member')) {
    yield events.filter(({ event }) => isSelected(stringProperty(event.content, 'membership'), request))
  }
}

// Given both parameters, either is enough.
function isSelected(
  membership: string | undefined,
  { membership: wanted, notMembership }: MembersRequest,
): boolean {
  if (wanted === undefined && notMembership === undefined) return true
  const isWanted = wanted !== undefined && membership === wanted
  const isNotExcluded = notMembership !== undefined && membership !== notMembership
  return isWanted || isNotExcluded
}

/** The profiles of the joined users. M_FORBIDDEN for users who are not joined. */
export function joinedMembers(room: RoomContext, { userId }: Viewer): ReadAnswer {
  identity(room)
  if (membershipAt(room, userId, currentState(room)) !== 'join') {
    throw new MatrixError('M_FORBIDDEN', 403, 'You are not in this room')
  }
  return { body: textStream(renderJoined(room, currentState(room))), left: false }
}

function* renderJoined(room: RoomContext, position: number): Generator<string> {
  yield '{"joined":{'
  let separator = ''
  for (const events of stateEvents(room, position, 'm.room.member')) {
    const joined = events.filter(({ event }) => stringProperty(event.content, 'membership') === 'join')
    if (joined.length === 0) continue
    yield separator + joined.map(profileEntry).join()
    separator = ','
  }
  yield '}}'
}

function profileEntry({ event }: StoredEvent): string {
  const profile = {
    display_name: stringProperty(event.content, 'displayname') ?? null,
    avatar_url: stringProperty(event.content, 'avatar_url') ?? null,
  }
  return `${JSON.stringify(event.state_key)}:${JSON.stringify(profile)}`
}
