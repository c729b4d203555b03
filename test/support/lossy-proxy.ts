// A bad network in front of a server: it drops, delays and duplicates the requests of others. Seeded, so that a run that
// failed can be repeated.

import { once } from 'node:events'
import { createServer, request as httpRequest, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'

export interface Losses {
  /** From 0 to 1, each: how many requests it happens to. */
  dropped: number
  delayed: number
  duplicated: number
}

export type LossyProxy = Awaited<ReturnType<typeof startLossyProxy>>

const longestDelayMs = 400

/** Numbers from 0 to 1, the same for the same seed. */
export function seededRandom(seed: number): () => number {
  let state = seed >>> 0
  // mulberry32.
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let t = Math.imul(state ^ (state >>> 15), state | 1)
    t = (t + Math.imul(t ^ (t >>> 7), t | 61)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32
  }
}

export const noLosses: Losses = { dropped: 0, delayed: 0, duplicated: 0 }

/**
 * Starts a proxy before the server at a base URL. `losses` can be changed while it runs. `observe` is shown each request
 * that comes, with its body.
 */
export async function startLossyProxy(
  target: string,
  random: () => number,
  losses: Losses,
  observe: (url: string, body: string) => void = () => undefined,
) {
  const counts = { requests: 0, dropped: 0, delayed: 0, duplicated: 0 }
  const happens = (what: keyof Losses) => {
    if (random() >= losses[what]) return false
    counts[what] += 1
    return true
  }
  const server = createServer(async (request, response) => {
    counts.requests += 1
    const body = Buffer.concat(await request.toArray())
    observe(request.url ?? '', body.toString())
    if (happens('delayed')) await sleep(random() * longestDelayMs)
    const dropped = happens('dropped')
    // Half of what is lost never arrives, of the other half the answer is lost.
    if (dropped && random() < 0.5) {
      request.socket.destroy()
      return
    }
    const answers = [forward(target, request, body)]
    if (happens('duplicated'))
      answers.push(sleep(random() * longestDelayMs).then(() => forward(target, request, body)))
    const [answer] = await Promise.all(answers.map((one) => one.catch(() => undefined)))
    if (dropped || !answer) request.socket.destroy()
    else answerWith(response, answer)
  })
  await once(server.listen(0, '127.0.0.1'), 'listening')
  const { port } = server.address() as AddressInfo
  return {
    url: `http://127.0.0.1:${port}`,
    losses,
    counts,
    async stop(): Promise<void> {
      server.closeAllConnections()
      await new Promise((closed) => server.close(closed))
    },
  }
}

interface ForwardedAnswer {
  readonly message: IncomingMessage
  readonly body: Buffer
}

function forward(
  target: string,
  { method, url, headers }: IncomingMessage,
  body: Buffer,
): Promise<ForwardedAnswer> {
  return new Promise((answered, failed) => {
    const { 'transfer-encoding': _, connection: __, ...passed } = headers
    const request = httpRequest(target, {
      method,
      path: url,
      headers: { ...passed, 'content-length': body.byteLength },
      agent: false,
    })
    request.once('error', failed).once('response', (message) => {
      message
        .toArray()
        .then((chunks: Buffer[]) => answered({ message, body: Buffer.concat(chunks) }))
        .catch(failed)
    })
    request.end(body)
  })
}

function answerWith(response: ServerResponse, { message, body }: ForwardedAnswer): void {
  const type = message.headers['content-type']
  response.writeHead(message.statusCode ?? 502, {
    ...(type === undefined ? {} : { 'content-type': type }),
    'content-length': body.byteLength,
  })
  response.end(body)
}
