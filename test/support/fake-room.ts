// A room that lives on a made-up server, event by event, signed: what a server in it would answer to one that joins.

import { authEventSlots } from '../../src/matrix/event-auth/auth-events.ts'
import { checkedEvent } from '../../src/matrix/event-format.ts'
import { eventIdOf, referenceHash, roomIdOfCreateEvent } from '../../src/matrix/event-hash.ts'
import { signEvent } from '../../src/matrix/event-signature.ts'
import { encodeBase64 } from '../../src/matrix/base64.ts'
import type { EventId, RoomId, ServerName, UserId } from '../../src/matrix/event.ts'
import type { JsonObject, JsonValue } from '../../src/matrix/json.ts'
import type { RoomVersionId } from '../../src/matrix/room-version.ts'
import type { FakeKey } from './fake-homeserver.ts'
import { rulesOf } from './remote-server.ts'

export interface FakeServer extends FakeKey {
  readonly serverName: ServerName
}

interface Fields {
  readonly type: string
  readonly sender: UserId
  readonly state_key: string
  readonly content: JsonObject
}

export type FakeRoom = ReturnType<typeof fakeRoom>

/** A public room of the server's user `creator`. */
export function fakeRoom(server: FakeServer, version: RoomVersionId) {
  const rules = rulesOf(version)
  const creator = userOf(server, 'creator')
  const state = new Map<string, { id: EventId; pdu: JsonObject }>()
  const all: JsonObject[] = []
  let last: JsonObject | undefined
  let roomId = `!fake${Math.random().toString(36).slice(2)}:${server.serverName}` as RoomId

  const reference = (pdu: JsonObject): JsonValue => {
    const id = eventIdOf(pdu, rules)
    if (rules.eventId !== 'field') return id
    return [id, { sha256: encodeBase64(referenceHash(pdu, rules)) }]
  }
  /** What an event would say of its place in the room. */
  const place = ({ type, sender, state_key: stateKey, content }: Fields) => ({
    depth: all.length + 1,
    prev_events: last ? [reference(last)] : [],
    auth_events: authEventSlots(rules, { type, sender, state_key: stateKey, content }).flatMap((slot) => {
      const entry = state.get(`${slot.type}|${slot.state_key}`)
      return entry ? [reference(entry.pdu)] : []
    }),
  })
  const unsigned = (fields: Fields): JsonObject => ({
    ...fields,
    ...(rules.roomIdIsCreateHash && fields.type === 'm.room.create' ? {} : { room_id: roomId }),
    ...place(fields),
    origin_server_ts: Date.now(),
    ...(rules.eventId === 'field' ? { event_id: `$${all.length}${roomId.slice(1)}` } : {}),
  })
  /** Signs an event as any server, without putting it into the room. */
  const signed = (fields: Fields, by: FakeServer = server): JsonObject =>
    signEvent(unsigned(fields), rules, by.serverName, by.keyId, by.key)
  const add = (fields: Fields): EventId => {
    const pdu = signed(fields)
    const checked = checkedEvent(pdu, rules)
    if (!checked.ok) throw new Error(checked.reason)
    const id = checked.event.event_id
    state.set(`${fields.type}|${fields.state_key}`, { id, pdu })
    all.push(pdu)
    last = pdu
    return id
  }
  const member = (userId: UserId, membership: string): Fields => ({
    type: 'm.room.member',
    sender: userId,
    state_key: userId,
    content: { membership },
  })
  const set = (type: string, content: JsonObject): EventId =>
    add({ type, sender: creator, state_key: '', content })

  const created = set('m.room.create', {
    room_version: version,
    ...(rules.creatorIsSender ? {} : { creator }),
  })
  if (rules.roomIdIsCreateHash) roomId = roomIdOfCreateEvent(created)
  add(member(creator, 'join'))
  set('m.room.power_levels', { users: rules.privilegedCreators ? {} : { [creator]: 100 } })
  set('m.room.join_rules', { join_rule: 'public' })
  return {
    roomId,
    rules,
    creator,
    signed,
    set,
    join: (userId: UserId) => add(member(userId, 'join')),
    /** The answer to make_join and its like. */
    template: (userId: UserId, membership = 'join', content: JsonObject = {}): JsonObject => {
      const fields = member(userId, membership)
      const { event_id: _, ...event } = unsigned({ ...fields, content: { ...fields.content, ...content } })
      return { room_version: version, event }
    },
    /** The state, in the order in which it was set. */
    state: () => [...state.values()].map(({ pdu }) => pdu),
    stateIds: () => [...state.values()].map(({ id }) => id),
    /** Everything that the state rests upon, and more. */
    authChain: () => all.filter((pdu) => !rules.roomIdIsCreateHash || pdu['type'] !== 'm.room.create'),
  }
}

/** A user of a made-up server. */
export function userOf({ serverName }: FakeServer, localpart: string): UserId {
  return `@${localpart}:${serverName}` as UserId
}
