// Where a new event stands: its parents and the state before exactly those, by which other servers will judge it.
// Specification: server-server API, "PDUs", "Checks performed on receipt of a PDU", "Soft failure".

import { authorise } from '../matrix/event-auth/authorise.ts'
import { accept, type Event, type Verdict } from '../matrix/event.ts'
import { stateBefore } from './append.ts'
import { identity, type RoomContext } from './context.ts'
import { eventByEid, forwardExtremities } from './events.ts'
import type { ResolvedState } from './resolve-state.ts'
import { currentState, eventInDelta, stateLookup } from './state-at.ts'

// More parents than this make an event that other servers find hard to judge.
const mostParents = 10

export interface NewEventPlace {
  readonly prev: readonly number[]
  /** The state before the event: the current state, unless there are too many extremities for one event. */
  readonly before: ResolvedState
}

/** The place of the next event: on top of the forward extremities, the deepest of them where they are many. */
export function newEventPlace(room: RoomContext): NewEventPlace {
  const prev = newestExtremities(room)
  return { prev, before: stateBefore(room, prev) }
}

/** Whether an event may stand there, and is not one that others would take and then soft-fail. */
export function authoriseAt(room: RoomContext, event: Event, { prev, before }: NewEventPlace): Verdict {
  const { rules } = identity(room)
  const verdict = authorise(rules, event, (type, key) => eventInDelta(room, before, type, key))
  if (!verdict.ok) return verdict
  const isCurrent = prev.length === forwardExtremities(room).length
  return isCurrent ? accept : authorise(rules, event, stateLookup(room, currentState(room)))
}

function newestExtremities(room: RoomContext): readonly number[] {
  const heads = forwardExtremities(room)
  if (heads.length <= mostParents) return heads
  return [...heads]
    .sort((a, b) => eventByEid(room, b).event.depth - eventByEid(room, a).event.depth)
    .slice(0, mostParents)
}
