// A network that loses requests and answers, before a server that is restarted. All chances are from one seed.

import assert from 'node:assert/strict'
import { setTimeout as sleep } from 'node:timers/promises'
import type { JsonObject } from '../../src/matrix/json.ts'
import type { Server } from './launcher.ts'

// Of requests, how many are cut off; of answers, how many are lost to a client that goes away before it keeps them.
const cutOff = 0.04
const forgotten = 0.05
const longestCutMs = 60

export class SoakNetwork {
  readonly #server: Server
  readonly random: () => number
  /** Changes with each end and each start of the server. */
  #epoch = 0
  #over = false
  readonly counts = { requests: 0, cut: 0, unanswered: 0, forgotten: 0, kills: 0, stops: 0 }

  constructor(server: Server, random: () => number) {
    this.#server = server
    this.random = random
  }

  chance(probability: number): boolean {
    return this.random() < probability
  }

  oneOf<T>(choices: readonly T[]): T {
    const choice = choices[Math.floor(this.random() * choices.length)]
    assert(choice !== undefined, 'nothing to choose from')
    return choice
  }

  /** One try. Undefined where the network or a restart lost it; fails on anything but 200 from a server that is up. */
  async attempt(
    token: string,
    method: string,
    path: string,
    body?: JsonObject,
  ): Promise<JsonObject | undefined> {
    this.counts.requests += 1
    const epoch = this.#epoch
    const signal = this.chance(cutOff) ? AbortSignal.timeout(Math.ceil(this.random() * longestCutMs)) : null
    try {
      const answer = await fetch(`${this.#server.url}/_matrix/client/v3${path}`, {
        method,
        signal,
        headers: { Authorization: `Bearer ${token}`, 'Content-Type': 'application/json' },
        ...(body ? { body: JSON.stringify(body) } : {}),
      })
      const text = await answer.text()
      if (answer.status === 200) return JSON.parse(text) as JsonObject
      assert(epoch !== this.#epoch, `${method} ${path}: ${answer.status} ${text}`)
    } catch (error) {
      if (error instanceof assert.AssertionError) throw error
    }
    this.counts[signal?.aborted ? 'cut' : 'unanswered'] += 1
    return undefined
  }

  /** The same request until it is answered. */
  async insist(token: string, method: string, path: string, body?: JsonObject): Promise<JsonObject> {
    while (!this.#over) {
      const answer = await this.attempt(token, method, path, body)
      if (answer) return answer
      await sleep(50 + this.random() * 200)
    }
    throw new Error(`${method} ${path}: the test is over`)
  }

  /** Ends those that still insist, after a failure. */
  end(): void {
    this.#over = true
  }

  /** Whether a client goes away with what it was just told. */
  forgets(): boolean {
    if (!this.chance(forgotten)) return false
    this.counts.forgotten += 1
    return true
  }

  /** Ends the server, three times of four by kill -9, and starts it again. */
  async restart(): Promise<void> {
    this.#epoch += 1
    if (this.chance(0.75)) {
      this.counts.kills += 1
      await this.#server.kill()
    } else {
      this.counts.stops += 1
      await this.#server.stop()
    }
    await this.#server.restart()
    this.#epoch += 1
  }
}
