// A room of many people on many servers, made up and signed event by event: what another server gives to who joins it.

import { randomBytes } from 'node:crypto'
import { eventIdOf } from '../../src/matrix/event-hash.ts'
import { signEvent } from '../../src/matrix/event-signature.ts'
import type { JsonObject } from '../../src/matrix/json.ts'
import { roomVersion } from '../../src/matrix/room-version.ts'
import { signingKeyFromSeed } from '../../src/matrix/signing.ts'
import type { FakeKey } from './fake-homeserver.ts'

/** A server with the key it signs with. */
export interface Origin extends FakeKey {
  readonly serverName: string
}

export interface LargeRoom {
  readonly roomId: string
  readonly version: string
  /** How many state events there are. */
  readonly stateEvents: number
  /** How many more events those rest upon. */
  readonly chainEvents: number
  /** What send_join answers, as JSON text. */
  readonly answer: Buffer
  /** What a template for the next member event names. */
  readonly next: { readonly auth_events: string[]; readonly prev_events: string[]; readonly depth: number }
}

const version = '11'
// So many members have changed their profile since they joined: their first event is in the auth chain.
const shareOfChanged = 0.3

/** A server with a new key. */
export function newOrigin(serverName: string): Origin {
  return { serverName, keyId: 'ed25519:a', key: signingKeyFromSeed(randomBytes(32)) }
}

/** Makes a public room of so many members, spread over the servers; the first of these has created it. */
export function largeRoom(origins: readonly Origin[], members: number): LargeRoom {
  const rules = roomVersion(version)
  const [first] = origins
  if (!rules || !first) throw new Error('a room needs a version and a server')
  const roomId = `!${randomBytes(9).toString('base64url')}:${first.serverName}`
  const creator = `@creator:${first.serverName}`
  let depth = 0
  let last: string[] = []
  const add = (
    origin: Origin,
    sender: string,
    type: string,
    key: string,
    content: object,
    auth: string[],
  ) => {
    depth += 1
    const fields: JsonObject = {
      type,
      sender,
      state_key: key,
      content: content as JsonObject,
      room_id: roomId,
      auth_events: auth,
      prev_events: last,
      depth,
      origin_server_ts: Date.now() - 1_000_000 + depth,
    }
    const pdu = signEvent(fields, rules, origin.serverName, origin.keyId, origin.key)
    const id = eventIdOf(pdu, rules)
    last = [id]
    return { id, text: JSON.stringify(pdu) }
  }
  const state: string[] = []
  const chain: string[] = []
  const keep = ({ id, text }: { id: string; text: string }) => {
    state.push(text)
    return id
  }
  const byCreator = (type: string, content: object, auth: string[]) =>
    keep(add(first, creator, type, type === 'm.room.member' ? creator : '', content, auth))
  const create = byCreator('m.room.create', { room_version: version }, [])
  const owner = byCreator('m.room.member', { membership: 'join', displayname: 'Creator' }, [create])
  const levels = byCreator('m.room.power_levels', { users: { [creator]: 100 } }, [create, owner])
  const own = [create, owner, levels]
  const open = byCreator('m.room.join_rules', { join_rule: 'public' }, own)
  byCreator('m.room.history_visibility', { history_visibility: 'shared' }, own)
  byCreator('m.room.name', { name: 'A large room' }, own)
  const auth = [create, levels, open]
  for (let i = 1; i < members; i += 1) {
    const origin = origins[i % origins.length] ?? first
    const userId = `@member-${i}:${origin.serverName}`
    const profile = {
      membership: 'join',
      displayname: `Member ${i} of the room`,
      avatar_url: `mxc://${origin.serverName}/${randomBytes(18).toString('base64url')}`,
    }
    const join = add(origin, userId, 'm.room.member', userId, profile, auth)
    if (i % 10 >= shareOfChanged * 10) {
      state.push(join.text)
      continue
    }
    chain.push(join.text)
    const changed = { ...profile, displayname: `Member ${i}, renamed` }
    keep(add(origin, userId, 'm.room.member', userId, changed, [...auth, join.id]))
  }
  // As servers give them: in no order.
  const lists = `"state":[${shuffled(state).join()}],"auth_chain":[${shuffled([...chain, ...state.slice(0, 4)]).join()}]`
  return {
    roomId,
    version,
    stateEvents: state.length,
    chainEvents: chain.length,
    answer: Buffer.from(`{"origin":"${first.serverName}","members_omitted":false,${lists}}`),
    next: { auth_events: auth, prev_events: last, depth: depth + 1 },
  }
}

function shuffled<T>(items: readonly T[]): T[] {
  const result = [...items]
  for (let i = result.length - 1; i > 0; i -= 1) {
    const other = Math.floor(Math.random() * (i + 1))
    const [a, b] = [result[i], result[other]]
    if (a === undefined || b === undefined) throw new Error('the list has holes')
    result[i] = b
    result[other] = a
  }
  return result
}
