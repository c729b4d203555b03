// Handing our join in and taking the room's state as it comes: read as a stream, since it can be far larger than memory.
// Specification: server-server API, "Joining Rooms" (send_join, second and first version).

import { isMatrixError, MatrixError } from '../../errors.ts'
import { boundedBody } from '../../http/bounded-body.ts'
import type { RoomId, ServerName } from '../../matrix/event.ts'
import { parseJson } from '../../matrix/json-text.ts'
import { isJsonObject, type JsonObject, property } from '../../matrix/json.ts'
import type { FederationCall } from '../client/request.ts'
import { unreachable } from '../client/transport.ts'
import { type JsonMembers, jsonMembers, type JsonPiece } from './json-members.ts'
import { countersigned, malformed, type SignedMember } from './own-member.ts'
import { isUnknownEndpoint, refusal } from './servers.ts'
import type { Spool, SpooledList } from './spool.ts'

export interface SendJoinDeps {
  readonly fetch: (call: FederationCall) => Promise<Response>
  /** Takes the state; left out where only the countersigned join is wanted. */
  readonly spool?: Spool
  readonly limits: JoinLimits
  /** Told of each event of the state and of what that rests upon. */
  readonly onEvent?: (pdu: JsonObject) => void
  /** Called as soon as the other server has taken the join in. */
  readonly onAnswer?: () => void
}

export interface JoinLimits {
  /** The largest state taken. */
  readonly stateEvents: number
  /** The longest pause in the answer, in milliseconds. */
  readonly idleMs: number
}

// The other server has to gather its state before it answers.
const answerTimeoutMs = 120_000
const errorMaxBytes = 64 * 1024
// An event has 64 KiB at most, as canonical JSON without `unsigned`.
const eventMaxBytes = 256 * 1024
// More than events have on average, so that the answer ends somewhere.
const bytesPerEvent = 4096
const leastMaxBytes = 64 * 1024 * 1024

/**
 * Hands the join in. Answers it with all signatures it needs. Refusals of the other server as `refusal`; 502 M_UNKNOWN for an
 * answer that makes no sense; M_RESOURCE_LIMIT_EXCEEDED (400) for a room that is too large.
 */
export async function sendJoin(
  deps: SendJoinDeps,
  server: ServerName,
  roomId: RoomId,
  join: SignedMember,
): Promise<JsonObject> {
  const second = await put(deps, server, 'v2', roomId, join)
  if (second.ok) return await readAnswer(deps, server, join, second, false)
  const failed = await errorOf(second)
  if (!isUnknownEndpoint(failed)) throw refusal(server, failed)
  const first = await put(deps, server, 'v1', roomId, join)
  if (first.ok) return await readAnswer(deps, server, join, first, true)
  throw refusal(server, await errorOf(first))
}

async function put(
  { fetch }: SendJoinDeps,
  destination: ServerName,
  version: 'v1' | 'v2',
  roomId: RoomId,
  { pdu, eventId }: SignedMember,
): Promise<Response> {
  const path = `/_matrix/federation/${version}/send_join/${encodeURIComponent(roomId)}/${encodeURIComponent(eventId)}`
  return await fetch({ destination, method: 'PUT', path, content: pdu, timeoutMs: answerTimeoutMs })
}

async function errorOf(response: Response): Promise<{ status: number; body: JsonObject }> {
  const bytes = await boundedBody(response.body, errorMaxBytes)
  return {
    status: response.status,
    body: parsedObject(new TextDecoder().decode(bytes ?? new Uint8Array())) ?? {},
  }
}

async function readAnswer(
  deps: SendJoinDeps,
  server: ServerName,
  join: SignedMember,
  { body }: Response,
  wrapped: boolean,
): Promise<JsonObject> {
  deps.onAnswer?.()
  if (body === null) throw malformed(server, 'it is empty')
  const members = jsonMembers({
    lists: lists(deps),
    values: ['event'],
    maxPieceBytes: eventMaxBytes,
    wrapped,
  })
  const intake = intakeOf(deps, server, join)
  const reader = body.getReader()
  try {
    await readThrough(deps.limits, server, reader, members, intake.take)
  } catch (error) {
    // Nobody reads the rest. That it cannot be called off either changes nothing.
    reader.cancel().catch(() => undefined)
    throw asAnswerFault(server, error)
  }
  return countersigned(server, join, intake.event())
}

function lists({ spool }: SendJoinDeps): SpooledList[] {
  return spool ? ['auth_chain', 'state'] : []
}

async function readThrough(
  { idleMs, stateEvents }: JoinLimits,
  server: ServerName,
  reader: ReadableStreamDefaultReader<Uint8Array>,
  members: JsonMembers,
  take: (piece: JsonPiece) => void,
): Promise<void> {
  const maxBytes = Math.max(leastMaxBytes, stateEvents * bytesPerEvent)
  let length = 0
  for (;;) {
    const { done, value } = await within(idleMs, server, reader.read())
    if (done) break
    length += value.byteLength
    if (length > maxBytes) throw tooLarge(stateEvents)
    for (const piece of members.feed(value)) take(piece)
  }
  members.end()
}

async function within<T>(ms: number, server: ServerName, work: Promise<T>): Promise<T> {
  let timer: ReturnType<typeof setTimeout> | undefined
  const timeout = new Promise<never>((_, failed) => {
    timer = setTimeout(() => {
      failed(new MatrixError('M_CONNECTION_TIMEOUT', 504, `${server} stopped in the middle of its answer`))
    }, ms)
  })
  try {
    return await Promise.race([work, timeout])
  } finally {
    clearTimeout(timer)
  }
}

/** What becomes of the pieces of the answer. */
function intakeOf({ spool, limits, onEvent }: SendJoinDeps, server: ServerName, { rules }: SignedMember) {
  const counts: Record<SpooledList, number> = { auth_chain: 0, state: 0 }
  let event: JsonObject | undefined
  return {
    event: () => event,
    take: ({ key, listed, text }: JsonPiece): void => {
      const { value, faults } = parseJson(text)
      if (faults.some(({ kind }) => kind === 'depth')) return
      if (!listed) {
        if (key === 'event' && isJsonObject(value)) event = value
        return
      }
      const list = key === 'state' ? 'state' : 'auth_chain'
      counts[list] += 1
      if (counts[list] > limits.stateEvents) throw tooLarge(limits.stateEvents)
      if (!isJsonObject(value)) throw malformed(server, `${list} holds something that is no event`)
      // Since version 6 an event must be canonical JSON: this one is no event of the room.
      if (rules.strictCanonicalJson && faults.length > 0) return
      const depth = property(value, 'depth')
      const known = typeof depth === 'number' ? depth : 0
      spool?.add(list, text, known)
      onEvent?.(value)
      // Since version 12 all events rest upon the create event, but it is in no auth chain.
      if (list === 'state' && property(value, 'type') === 'm.room.create')
        spool?.add('auth_chain', text, known)
    },
  }
}

function asAnswerFault(server: ServerName, error: unknown): unknown {
  if (error instanceof SyntaxError) return malformed(server, 'it is not JSON')
  if (!isMatrixError(error)) {
    return unreachable(server, error instanceof Error ? error.message : 'the connection failed')
  }
  return error.errcode === 'M_BAD_JSON' || error.errcode === 'M_TOO_LARGE'
    ? malformed(server, error.message)
    : error
}

function tooLarge(stateEvents: number): MatrixError {
  return new MatrixError(
    'M_RESOURCE_LIMIT_EXCEEDED',
    400,
    `The room is too large for this server, which takes rooms of up to ${stateEvents} state events`,
  )
}

function parsedObject(text: string): JsonObject | undefined {
  try {
    const value: unknown = JSON.parse(text)
    return isJsonObject(value) ? value : undefined
  } catch {
    return undefined
  }
}
