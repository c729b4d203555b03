// A room's history as a list of steps, and the room that follows from them: real events in the format of the room
// version, judged as on receipt, every merge resolved by our own code, so that a wrong merge has consequences.

import { authEventSlots } from '../../src/matrix/event-auth/auth-events.ts'
import { encodeBase64 } from '../../src/matrix/base64.ts'
import { contentHash } from '../../src/matrix/event-hash.ts'
import { checkedEvent } from '../../src/matrix/event-format.ts'
import type { Event, EventId, StateLookup, UserId } from '../../src/matrix/event.ts'
import type { JsonObject } from '../../src/matrix/json.ts'
import { roomVersion, type RoomVersionId, type RoomVersionRules } from '../../src/matrix/room-version.ts'
import type { StateMap } from '../../src/matrix/state-resolution/resolve.ts'
import { RoomServer } from '../fixtures/room-server.ts'

/** One event to be. Other steps are named by their position; the first step makes the room. */
export interface Step {
  readonly type: string
  readonly sender: string
  readonly state_key?: string
  readonly content: JsonObject
  readonly after: readonly number[]
  readonly origin_server_ts: number
  /** The steps whose state gives the auth events, if not those in `after`: what a server does that heard little. */
  readonly authFrom?: readonly number[]
  /** Added to the right depth, which no rule checks. */
  readonly tooDeep?: number
  /** The local part of the event id in room versions 1 and 2. */
  readonly name: string
}

/** States that come together somewhere in a room, with what our code makes of them. */
export interface Merge {
  readonly states: readonly StateMap[]
  readonly resolved: StateMap
}

const roomId = '!room:a.example'

export class History {
  readonly rules: RoomVersionRules
  readonly server: RoomServer
  readonly steps: Step[] = []
  readonly events: Event[] = []
  readonly merges: Merge[] = []
  readonly #merged = new Set<string>()

  constructor(version: RoomVersionId) {
    const rules = roomVersion(version)
    if (rules === undefined) throw new Error(`no room version ${version}`)
    this.rules = rules
    this.server = new RoomServer(rules)
  }

  /** Carries out a step. Whether the room accepts the event is for `server.rejected` to tell. */
  send(step: Step): Event {
    const event = this.#event(step)
    this.stateAfter(step.after)
    this.server.receive(event)
    this.steps.push(step)
    this.events.push(event)
    return event
  }

  /** The state after some steps taken together; a merge is kept for comparison. */
  stateAfter(after: readonly number[]): StateMap {
    const states = after.map((index) => this.server.stateAfter(this.#at(index)))
    const resolved = this.server.stateAfter(...after.map((index) => this.#at(index)))
    const key = [...after].sort((x, y) => x - y).join()
    if (states.length < 2 || this.#merged.has(key)) return resolved
    this.#merged.add(key)
    if (states.some((state) => !isSameState(state, states[0]))) this.merges.push({ states, resolved })
    return resolved
  }

  lookupAfter(after: readonly number[]): StateLookup {
    return this.server.lookup(this.stateAfter(after))
  }

  /** Merges the steps that no other step comes after, two by two and all of them. */
  mergeTips(): void {
    const followed = new Set(this.steps.flatMap((step) => step.after))
    const tips = [...this.steps.keys()].filter((index) => !followed.has(index))
    for (const [count, tip] of tips.entries()) {
      for (const other of tips.slice(0, count)) this.stateAfter([other, tip])
    }
    this.stateAfter(tips)
  }

  #at(index: number): Event {
    const event = this.events[index]
    if (event === undefined) throw new RangeError(`step ${index} has not been taken`)
    return event
  }

  #event(step: Step): Event {
    const before = this.lookupAfter(step.authFrom ?? step.after)
    const authEvents = authEventSlots(this.rules, { ...step, sender: step.sender as UserId })
      .map((slot) => before(slot.type, slot.state_key))
      .filter((event) => event !== undefined)
    const previous = step.after.map((index) => this.#at(index))
    const isCreate = step.type === 'm.room.create'
    const unhashed: JsonObject = {
      ...(this.rules.eventId === 'field' ? { event_id: `$${step.name}:${domainOf(step.sender)}` } : {}),
      ...(isCreate && this.rules.roomIdIsCreateHash ? {} : { room_id: this.events[0]?.room_id ?? roomId }),
      type: step.type,
      sender: step.sender,
      ...(step.state_key === undefined ? {} : { state_key: step.state_key }),
      content: step.content,
      origin_server_ts: step.origin_server_ts,
      depth: Math.max(0, ...previous.map((event) => event.depth)) + 1 + (step.tooDeep ?? 0),
      auth_events: this.#references(authEvents),
      prev_events: this.#references(previous),
    }
    const sha256 = encodeBase64(contentHash(unhashed, this.rules))
    const checked = checkedEvent({ ...unhashed, hashes: { sha256 }, signatures: {} }, this.rules)
    if (!checked.ok) throw new Error(`not an event: ${checked.reason}`)
    return checked.event
  }

  #references(events: readonly Event[]): (EventId | [EventId, JsonObject])[] {
    return events.map(({ event_id }) =>
      this.rules.eventId === 'field' ? [event_id, { sha256: '' }] : event_id,
    )
  }
}

/** The history that steps make. */
export function play(version: RoomVersionId, steps: readonly Step[]): History {
  const history = new History(version)
  for (const step of steps) history.send(step)
  history.mergeTips()
  return history
}

function isSameState(one: StateMap, other: StateMap | undefined): boolean {
  if (one.size !== other?.size) return false
  for (const [key, id] of one) if (other.get(key) !== id) return false
  return true
}

function domainOf(userId: string): string {
  return userId.slice(userId.indexOf(':') + 1)
}
