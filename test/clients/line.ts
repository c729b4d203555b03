// The line between an SDK and the server: it can be cut, and it knows to which devices messages went over it.

import { localFetch } from './person.ts'

export class Line {
  /** Aborted while the line is cut. */
  #open = new AbortController()
  /** User and device, as `@user DEVICE`, of each message to a device, in the order in which they were sent. */
  readonly addressed: string[] = []

  /** What the SDK calls in place of `fetch`. */
  readonly fetch: typeof fetch = async (input, init) => {
    this.#open.signal.throwIfAborted()
    this.#note(input, init?.body)
    const signals = [this.#open.signal, ...(init?.signal ? [init.signal] : [])]
    return await localFetch(input, { ...init, signal: AbortSignal.any(signals) })
  }

  /** Ends what is under way, and everything that is tried until the line is mended. */
  cut(): void {
    this.#open.abort(new TypeError('fetch failed: the line is cut'))
  }

  mend(): void {
    this.#open = new AbortController()
  }

  #note(input: RequestInfo | URL, body: unknown): void {
    const { pathname } = new URL(input instanceof Request ? input.url : input)
    if (!pathname.includes('/sendToDevice/') || typeof body !== 'string') return
    const { messages } = JSON.parse(body) as { messages: Record<string, Record<string, unknown>> }
    for (const [userId, devices] of Object.entries(messages)) {
      this.addressed.push(...Object.keys(devices).map((deviceId) => `${userId} ${deviceId}`))
    }
  }
}
