// A device that sends what it was told to and keeps what it is sent, and fails when something comes twice or out of order.

import assert from 'node:assert/strict'
import { setTimeout as sleep } from 'node:timers/promises'
import {
  isJsonObject,
  type JsonObject,
  objectProperty,
  property,
  stringProperty,
} from '../../src/matrix/json.ts'
import type { SoakNetwork } from './soak-network.ts'

export interface Session {
  readonly userId: string
  readonly deviceId: string
  readonly token: string
}

/** Messages are numbered. One to devices is for a device, or for all of a user: `*`. */
export type Sending =
  | { readonly n: number; readonly userId: string; readonly deviceId: string }
  | { readonly n: number; readonly roomId: string }

const encrypted = 'm.room.encrypted'
const filter = encodeURIComponent(
  JSON.stringify({ room: { timeline: { limit: 50 } }, presence: { types: [] } }),
)

export class SoakDevice {
  readonly session: Session
  readonly #network: SoakNetwork
  readonly #roomId: string
  #since: string | undefined
  /** Numbers of messages to the device that it keeps. */
  readonly toDevice = new Set<number>()
  /** Numbers of the room's messages, with the id of the event. */
  readonly events = new Map<number, string>()
  /** The newest number from each sender, of messages to devices and of events. */
  readonly #newest = { toDevice: new Map<string, number>(), events: new Map<string, number>() }

  constructor(session: Session, network: SoakNetwork, roomId: string) {
    this.session = session
    this.#network = network
    this.#roomId = roomId
  }

  /** Sends one after another; `sent` is called for each that is acknowledged. */
  async send(sendings: readonly Sending[], sent: () => void): Promise<void> {
    for (const sending of sendings) {
      await this.#network.insist(this.session.token, 'PUT', ...this.#request(sending))
      sent()
    }
  }

  #request(sending: Sending): [path: string, body: JsonObject] {
    const { deviceId } = this.session
    const content = { algorithm: 'm.megolm.v1.aes-sha2', device_id: deviceId, ciphertext: String(sending.n) }
    if ('roomId' in sending) {
      return [`/rooms/${encodeURIComponent(sending.roomId)}/send/${encrypted}/${sending.n}`, content]
    }
    const messages = { [sending.userId]: { [sending.deviceId]: content } }
    return [`/sendToDevice/${encrypted}/${sending.n}`, { messages }]
  }

  /** Syncs until `done`. Answers that are forgotten come again, those that are kept never. */
  async receive(done: () => boolean): Promise<void> {
    while (!done()) {
      if (!(await this.sync(2000))) await sleep(100 + this.#network.random() * 400)
    }
  }

  /** One sync. Answers whether the device kept what came. */
  async sync(timeout: number): Promise<boolean> {
    const since = this.#since === undefined ? '' : `&since=${this.#since}`
    const path = `/sync?set_presence=offline&timeout=${timeout}&filter=${filter}${since}`
    const answer = await this.#network.attempt(this.session.token, 'GET', path)
    if (!answer) return false
    const events = await this.#eventsOf(answer)
    if (this.#network.forgets()) return false
    for (const message of list(objectProperty(answer, 'to_device'), 'events')) this.#keepMessage(message)
    for (const event of events) this.#keepEvent(event)
    this.#since = stringProperty(answer, 'next_batch')
    return true
  }

  /** What waits for the device in the eyes of the server: the messages that it has not acknowledged. */
  async unacknowledged(): Promise<number[]> {
    const answer = await this.#network.insist(this.session.token, 'GET', `/sync?filter=${filter}`)
    return list(objectProperty(answer, 'to_device'), 'events').map(numberOf)
  }

  #keepMessage(message: JsonObject): void {
    const n = numberOf(message)
    assert(!this.toDevice.has(n), `message ${n} came to ${this.session.deviceId} again`)
    this.toDevice.add(n)
    this.#inOrder('toDevice', message, n)
  }

  #keepEvent(event: JsonObject): void {
    if (event['type'] !== encrypted) return
    const n = numberOf(event)
    const eventId = stringProperty(event, 'event_id') ?? ''
    const known = this.events.get(n)
    assert(known === undefined, `event ${n} came to ${this.session.deviceId} as ${known} and as ${eventId}`)
    this.events.set(n, eventId)
    this.#inOrder('events', event, n)
  }

  // Each device sends one after another, with rising numbers.
  #inOrder(kind: 'toDevice' | 'events', message: JsonObject, n: number): void {
    const sender = stringProperty(objectProperty(message, 'content') ?? {}, 'device_id') ?? ''
    const before = this.#newest[kind].get(sender) ?? -1
    assert(n > before, `${kind}: ${n} of ${sender} came to ${this.session.deviceId} behind ${before}`)
    this.#newest[kind].set(sender, n)
  }

  /** The room's new events in their order, those that the timeline leaves out fetched from the history. */
  async #eventsOf(answer: JsonObject): Promise<JsonObject[]> {
    const room = objectProperty(objectProperty(objectProperty(answer, 'rooms'), 'join'), this.#roomId)
    const timeline = objectProperty(room, 'timeline')
    let events = list(timeline, 'events')
    let from = timeline?.['limited'] === true ? stringProperty(timeline, 'prev_batch') : undefined
    while (from !== undefined) {
      const path = `/rooms/${encodeURIComponent(this.#roomId)}/messages?dir=b&limit=100&from=${from}`
      const page = await this.#network.insist(this.session.token, 'GET', path)
      const chunk = list(page, 'chunk')
      const known = chunk.findIndex((event) => this.#knows(event))
      events = [...chunk.slice(0, known === -1 ? chunk.length : known).toReversed(), ...events]
      from = known === -1 ? stringProperty(page, 'end') : undefined
    }
    return events
  }

  #knows(event: JsonObject): boolean {
    return event['type'] === encrypted && this.events.get(numberOf(event)) === event['event_id']
  }
}

function numberOf(message: JsonObject): number {
  return Number(property(objectProperty(message, 'content') ?? {}, 'ciphertext'))
}

function list(object: JsonObject | undefined, name: string): JsonObject[] {
  const found = object?.[name]
  return Array.isArray(found) ? found.filter(isJsonObject) : []
}
