// What a server is told whose user joins through this one: the state before the join and what it rests upon. And what one
// is told whose user knocks. Specification: server-server API, "Joining Rooms", "Knocking upon a room".

import type { RoomId, ServerName } from '../matrix/event.ts'
import { type JsonObject, stringProperty } from '../matrix/json.ts'
import { authChain, eventsOf } from './auth-chain.ts'
import { findIdentity, type RoomContext, type Signer } from './context.ts'
import { eventByEid, type StoredEvent } from './events.ts'
import { requireResident } from './federation-access.ts'
import { receiveMembership, type SendMembershipRequest } from './federation-send.ts'
import { type JsonStream, pduList, stateEids } from './federation-state.ts'
import { joinedServers } from './joined-servers.ts'
import { stateEvents } from './list-state.ts'
import { textStream } from './read-answer.ts'
import { heroes } from './room-summary.ts'
import { wirePdu } from './server-visibility.ts'
import { eidInState, eventInState, findSlot, type StateRef } from './state-at.ts'
import { strippedTypes } from './stripped-state.ts'

export interface SendJoinRequest extends SendMembershipRequest {
  /** Since v1.6: whether the asking server can do without the members. */
  readonly omitMembers: boolean
}

export type SendJoinAnswer = { readonly body: JsonStream } | { readonly needsMembership: readonly RoomId[] }

/** Takes a join in. Errors as `receiveMembership`. */
export function sendJoin(room: RoomContext, signer: Signer, request: SendJoinRequest): SendJoinAnswer {
  const { omitMembers } = request
  requireResident(room, request.origin)
  // Before the join: the joining server is in the room only if it was before.
  const servers = [...joinedServers(room).keys()]
  const sent = receiveMembership(room, signer, request)
  if ('needsMembership' in sent) return sent
  const head: JsonObject = {
    origin: room.serverName,
    ...(sent.countersigned ? { event: sent.countersigned } : {}),
    members_omitted: omitMembers,
    ...(omitMembers ? { servers_in_room: servers } : {}),
  }
  const body = omitMembers ? renderWithoutMembers(room, sent.stored) : renderWhole(room, sent.stored)
  return { body: textStream(render(head, body)) }
}

function* render(head: JsonObject, body: Iterable<string>): Generator<string> {
  yield `${JSON.stringify(head).slice(0, -1)},`
  yield* body
  yield '}'
}

function* renderWhole(room: RoomContext, { stateBefore, auth }: StoredEvent): Generator<string> {
  yield '"state":['
  yield* pduList(stateEvents(room, stateBefore))
  yield '],"auth_chain":['
  yield* pduList(eventsOf(room, withOwn(auth, authChain(room, roots(room, stateBefore, auth)))))
  yield ']'
}

function* roots(room: RoomContext, ref: StateRef, auth: readonly number[]): Generator<readonly number[]> {
  yield auth
  yield* stateEids(room, ref)
}

// An event's auth events belong to its chain.
function withOwn(auth: readonly number[], chain: ReadonlySet<number>): Set<number> {
  return new Set([...auth, ...chain])
}

// Members who give the room its name are kept; events that are in the state are not repeated in the auth chain.
function* renderWithoutMembers(room: RoomContext, join: StoredEvent): Generator<string> {
  const sent = new Set(heroMembers(room, join))
  yield '"state":['
  yield* pduList(noting(sent, partsWithoutMembers(room, join, [...sent])))
  yield '],"auth_chain":['
  const chain = withOwn(join.auth, authChain(room, [join.auth, [...sent]]))
  yield* pduList(
    eventsOf(
      room,
      [...chain].filter((eid) => !sent.has(eid)),
    ),
  )
  yield ']'
}

function* partsWithoutMembers(
  room: RoomContext,
  { stateBefore }: StoredEvent,
  members: readonly number[],
): Generator<StoredEvent[]> {
  for (const part of stateEvents(room, stateBefore))
    yield part.filter(({ event }) => event.type !== 'm.room.member')
  yield members.map((eid) => eventByEid(room, eid))
}

function* noting(seen: Set<number>, parts: Iterable<StoredEvent[]>): Generator<StoredEvent[]> {
  for (const part of parts) {
    for (const { eid } of part) seen.add(eid)
    yield part
  }
}

function heroMembers(room: RoomContext, { eid, event, stateBefore }: StoredEvent): number[] {
  const text = (type: string, key: string) =>
    stringProperty(eventInState(room, stateBefore, type, '')?.content, key)
  if (text('m.room.name', 'name') || text('m.room.canonical_alias', 'alias')) return []
  return heroes(room, event.sender, eid - 1)
    .map((userId) => eidOf(room, stateBefore, 'm.room.member', userId))
    .filter((member) => member !== 0)
}

function eidOf(room: RoomContext, ref: StateRef, type: string, stateKey: string): number {
  const slot = findSlot(room, type, stateKey)
  return slot === undefined ? 0 : eidInState(room, ref, slot)
}

/** Takes a knock in. Answers, as JSON text, whole events that say what the room is. Errors as `receiveMembership`. */
export function sendKnock(room: RoomContext, signer: Signer, request: SendMembershipRequest): string {
  const sent = receiveMembership(room, signer, request)
  if ('needsMembership' in sent) throw new Error('a knock asks for no memberships')
  const { stateBefore } = sent.stored
  const state = strippedTypes
    .map((type) => eidOf(room, stateBefore, type, ''))
    .filter((eid) => eid !== 0)
    .map((eid) => wirePdu(eventByEid(room, eid)))
  return JSON.stringify({ knock_room_state: state })
}

/** The servers in the room, those with the most users first; none for a room that is not here. */
export function serversInRoom(room: RoomContext, limit: number): ServerName[] {
  if (!findIdentity(room)) return []
  return [...joinedServers(room)]
    .toSorted(([, a], [, b]) => b - a)
    .slice(0, limit)
    .map(([serverName]) => serverName)
}
