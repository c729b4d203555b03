// The state of a room that another server sends along with an invite, or answers a knock with: whole events that anyone can
// check. Nobody may take them for the current state; they are shown, and no more.
// Server-server API, "Inviting to a room", "Knocking upon a room"; client-server API, "Stripped state".

import type { Env } from '../../env.ts'
import type { Event, RoomId, ServerName } from '../../matrix/event.ts'
import { checkedEvent } from '../../matrix/event-format.ts'
import { hasValidContentHash } from '../../matrix/event-hash.ts'
import { requiredSigners, verifyEventSignatures } from '../../matrix/event-signature.ts'
import { isJsonObject, type JsonObject, objectProperty, property, stringProperty } from '../../matrix/json.ts'
import type { RoomVersionRules } from '../../matrix/room-version.ts'
import { keysFor } from '../client/key-ring.ts'
import { signatureKeys } from './membership-handshake.ts'

export interface ShownState {
  /** Those that hold, as clients are shown them: type, state_key, sender and content. */
  readonly state: JsonObject[]
  /** What is wrong with those that do not hold. */
  readonly wrong: string[]
}

// A room has a handful of such events; their senders are of a few servers.
const mostEvents = 50
const mostServers = 10

/**
 * Checks events that are said to be state of a room. Those signed by servers whose keys cannot be had are left out
 * without counting as wrong, but for the create event of a room whose id is its hash: that proves itself.
 */
export async function checkShownState(
  env: Env,
  rules: RoomVersionRules,
  roomId: RoomId,
  entries: readonly unknown[],
): Promise<ShownState> {
  const wrong = entries.length > mostEvents ? [`there are more than ${mostEvents} events`] : []
  const events: Event[] = []
  for (const entry of entries.slice(0, mostEvents)) {
    const fault = faultOf(entry, rules, roomId)
    if (typeof fault === 'string') wrong.push(fault)
    else events.push(fault)
  }
  const servers = [...new Set(events.flatMap(({ pdu }) => requiredSigners(pdu, rules) ?? []))].slice(
    0,
    mostServers,
  )
  const keys = await keysFor(
    env,
    events.flatMap(({ pdu }) => signatureKeys(pdu, servers)),
  )
  const keyOf = (server: ServerName, keyId: string) => {
    const ofServer = Object.hasOwn(keys, server) ? keys[server] : undefined
    return ofServer && Object.hasOwn(ofServer, keyId) ? ofServer[keyId] : undefined
  }
  const state: JsonObject[] = []
  for (const event of events) {
    const verdict = verifyEventSignatures(event.pdu, rules, keyOf)
    const checkable = signatureKeys(event.pdu, servers).some(({ serverName, keyId }) =>
      keyOf(serverName, keyId),
    )
    if (verdict.ok || (!checkable && provesItself(event, rules))) state.push(strippedForm(event))
    else if (checkable) wrong.push(`${event.type}: ${verdict.reason}`)
  }
  return { state, wrong }
}

/** The event, or what is wrong with it whoever signed it. */
function faultOf(entry: unknown, rules: RoomVersionRules, roomId: RoomId): Event | string {
  const format = checkedEvent(entry, rules)
  if (!format.ok) return format.reason
  const { event } = format
  if (event.room_id !== roomId) return `${event.type}: the event is of another room`
  if (event.state_key === undefined) return `${event.type}: not a state event`
  if (!hasValidContentHash(event.pdu, rules)) return `${event.type}: the content hash is wrong`
  const signers = requiredSigners(event.pdu, rules)
  const signatures = objectProperty(event.pdu, 'signatures')
  const isSigned = signers?.every((server) => objectProperty(signatures, server) !== undefined)
  return isSigned ? event : `${event.type}: the event is not signed by its server`
}

// The room id is its hash, and that covers the hash of its content.
function provesItself({ type }: Event, rules: RoomVersionRules): boolean {
  return type === 'm.room.create' && rules.roomIdIsCreateHash
}

/**
 * What can be shown of state as servers sent it before v1.16: only type, state_key, sender and content, unsigned. What has
 * another form is left out.
 */
export function strippedEntries(entries: readonly unknown[]): JsonObject[] {
  return entries.slice(0, mostEvents).flatMap((entry) => {
    if (!isJsonObject(entry)) return []
    const type = stringProperty(entry, 'type')
    const stateKey = stringProperty(entry, 'state_key')
    const sender = stringProperty(entry, 'sender')
    const content = property(entry, 'content')
    if (type === undefined || stateKey === undefined || sender === undefined || !isJsonObject(content))
      return []
    return [{ type, state_key: stateKey, sender, content }]
  })
}

/** An event as those outside the room are shown it. */
export function strippedForm({ type, state_key: stateKey, sender, content }: Event): JsonObject {
  return { type, state_key: stateKey ?? '', sender, content }
}
