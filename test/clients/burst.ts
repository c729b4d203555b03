// Many sends at a time, until each of them is acknowledged, however often the server goes away in between.

import assert from 'node:assert/strict'
import { setTimeout as sleep } from 'node:timers/promises'
import { EventStatus, type MatrixEvent } from 'matrix-js-sdk'
import { roomOf, type Person } from './person.ts'

export class Burst {
  readonly #roomId: string
  /** Event ids with the body that was sent. */
  readonly acknowledged = new Map<string, string>()
  readonly bodies = new Set<unknown>()

  constructor(roomId: string) {
    this.#roomId = roomId
  }

  /** Text messages: the SDK queues them and tries again by itself. */
  async sendTexts(person: Person, count: number): Promise<void> {
    const bodies = this.#newBodies('text', count)
    await Promise.all(
      bodies.map((body) => this.#send(person, body, () => person.client.sendTextMessage(this.#roomId, body))),
    )
  }

  /** Stickers, eight at a time: the SDK gives up on those that fail, and sends them again when it is told to. */
  async sendStickers(person: Person, count: number): Promise<void> {
    const bodies = this.#newBodies('sticker', count)
    const send = (body: string) =>
      person.client.sendStickerMessage(this.#roomId, 'mxc://localhost/s', {}, body)
    const worker = async () => {
      for (let body = bodies.shift(); body !== undefined; body = bodies.shift()) {
        const text = body
        await this.#send(person, text, () => send(text))
      }
    }
    await Promise.all(Array.from({ length: 8 }, worker))
  }

  #newBodies(kind: string, count: number): string[] {
    const bodies = Array.from({ length: count }, (_, i) => `${kind} ${i}`)
    for (const body of bodies) this.bodies.add(body)
    return bodies
  }

  async #send(person: Person, body: string, first: () => Promise<{ event_id: string }>): Promise<void> {
    let attempt = first
    for (;;) {
      try {
        this.acknowledged.set((await attempt()).event_id, body)
        return
      } catch (error) {
        const unsent = this.#unsent(person, body)
        // Unsent for another reason than that nobody answered.
        assert(unsent && unsent.error?.httpStatus === undefined, `"${body}" was refused: ${String(error)}`)
        await sleep(500)
        attempt = () => person.client.resendEvent(unsent, roomOf(person, this.#roomId))
      }
    }
  }

  #unsent(person: Person, body: string): MatrixEvent | undefined {
    return roomOf(person, this.#roomId)
      .getLiveTimeline()
      .getEvents()
      .find((event) => event.getContent().body === body && event.status === EventStatus.NOT_SENT)
  }
}
