// The state of the room before an event and what it rests upon, for other servers. Read and sent part by part.
// Specification: server-server API, "Retrieving events", "Retrieving event authorisation information".

import { MatrixError } from '../errors.ts'
import type { ServerName } from '../matrix/event.ts'
import { authChain, eventIdsOf, eventsOf } from './auth-chain.ts'
import type { RoomContext } from './context.ts'
import { eventStatus, findEvent, firstOutlier, type StoredEvent } from './events.ts'
import { requireInRoom } from './federation-access.ts'
import { stateEvents } from './list-state.ts'
import { textStream } from './read-answer.ts'
import { wirePdu } from './server-visibility.ts'
import { stateGroup, type StateRef } from './state-at.ts'

const slotsPerRead = 5000

export type JsonStream = ReadableStream<Uint8Array>

/**
 * The state before an event with its auth chain, as `pdus` and `auth_chain`. M_FORBIDDEN for servers that are not in the
 * room, M_NOT_FOUND for an unknown event or one from before this server came into the room.
 */
export function stateBeforeEvent(room: RoomContext, origin: ServerName, eventId: string): JsonStream {
  const { stateBefore } = eventWithState(room, origin, eventId)
  return textStream(renderState(room, stateBefore))
}

/** The same as event ids, `pdu_ids` and `auth_chain_ids`. */
export function stateIdsBeforeEvent(room: RoomContext, origin: ServerName, eventId: string): JsonStream {
  const { stateBefore } = eventWithState(room, origin, eventId)
  return textStream(renderStateIds(room, stateBefore))
}

/** The auth chain of an event, as `auth_chain`. Errors as for the state. */
export function eventAuthChain(room: RoomContext, origin: ServerName, eventId: string): JsonStream {
  requireInRoom(room, origin)
  const stored = findEvent(room, eventId)
  if (!stored || stored.status === eventStatus.rejected) throw eventNotFound()
  return textStream(renderAuthChain(room, stored))
}

function eventWithState(room: RoomContext, origin: ServerName, eventId: string): StoredEvent {
  requireInRoom(room, origin)
  const stored = findEvent(room, eventId)
  // Of events that came as outliers or by back-fill, this server does not know what was before them.
  if (!stored || stored.eid >= firstOutlier) throw eventNotFound()
  return stored
}

function eventNotFound(): MatrixError {
  return new MatrixError('M_NOT_FOUND', 404, 'Event not found')
}

function* renderState(room: RoomContext, ref: StateRef): Generator<string> {
  yield '{"pdus":['
  yield* pduList(stateEvents(room, ref))
  yield '],"auth_chain":['
  yield* pduList(eventsOf(room, authChain(room, stateEids(room, ref))))
  yield ']}'
}

function* renderStateIds(room: RoomContext, ref: StateRef): Generator<string> {
  yield '{"pdu_ids":['
  yield* list(stateIds(room, ref), (id) => JSON.stringify(id))
  yield '],"auth_chain_ids":['
  const chain = [...authChain(room, stateEids(room, ref))]
  yield* list(eventIdsOf(room, chain), (id) => JSON.stringify(id))
  yield ']}'
}

function* renderAuthChain(room: RoomContext, { auth }: StoredEvent): Generator<string> {
  yield '{"auth_chain":['
  // Together with what they rest upon, the event's own auth events are the chain.
  yield* pduList(eventsOf(room, new Set([...auth, ...authChain(room, [auth])])))
  yield ']}'
}

function* stateIds(room: RoomContext, ref: StateRef): Generator<string[]> {
  for (const part of stateEids(room, ref)) yield* eventIdsOf(room, part)
}

/** The eids of a state, a part of them at a time. */
export function* stateEids(room: RoomContext, ref: StateRef): Generator<number[]> {
  const { base, delta } = stateGroup(room, ref)
  let last = 0
  for (;;) {
    const rows = room.sql
      .exec<{ slot: number; eid: number }>(
        `SELECT slots.slot, state.eid FROM slots JOIN state ON state.slot = slots.slot
           AND state.pos = (SELECT max(s.pos) FROM state AS s WHERE s.slot = slots.slot AND s.pos <= ?)
         WHERE slots.slot > ? ORDER BY slots.slot LIMIT ?`,
        base,
        last,
        slotsPerRead,
      )
      .toArray()
    yield rows.filter(({ slot, eid }) => eid !== 0 && !delta.has(slot)).map(({ eid }) => eid)
    if (rows.length < slotsPerRead) break
    last = rows.at(-1)?.slot ?? Infinity
  }
  yield [...delta.values()].filter((eid) => eid !== 0)
}

/** The parts of a JSON list of events in wire form, without its brackets. */
export function* pduList(parts: Iterable<readonly StoredEvent[]>): Generator<string> {
  yield* list(parts, (stored) => JSON.stringify(wirePdu(stored)))
}

function* list<T>(parts: Iterable<readonly T[]>, render: (item: T) => string): Generator<string> {
  let separator = ''
  for (const items of parts) {
    if (items.length === 0) continue
    yield separator + items.map(render).join()
    separator = ','
  }
}
