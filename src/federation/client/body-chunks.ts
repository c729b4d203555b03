// The body of another server's answer, piece by piece, from servers that send it too slowly as well.

import { MatrixError } from '../../errors.ts'

const longestPauseMs = 30_000

/**
 * The pieces of a body. 504 M_CONNECTION_TIMEOUT after 30 seconds without one, and when it has not ended by `deadline` (ms).
 * Whoever stops early must call `return`.
 */
export async function* bodyChunks(
  body: ReadableStream<Uint8Array> | null,
  server: string,
  deadline: number,
): AsyncGenerator<Uint8Array, undefined> {
  if (body === null) return
  const reader = body.getReader()
  let ended = false
  try {
    for (;;) {
      const next = await inTime(reader.read(), server, deadline)
      if (next.done) {
        ended = true
        return
      }
      yield next.value
    }
  } finally {
    // Not awaited: a server that does not answer need not hear of it.
    if (!ended) void reader.cancel().catch(ignored)
  }
}

async function inTime<T>(work: Promise<T>, server: string, deadline: number): Promise<T> {
  let timer: ReturnType<typeof setTimeout> | undefined
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(
      () => reject(new MatrixError('M_CONNECTION_TIMEOUT', 504, `${server} is too slow`)),
      Math.max(0, Math.min(longestPauseMs, deadline - Date.now())),
    )
  })
  try {
    return await Promise.race([work, late])
  } finally {
    clearTimeout(timer)
  }
}

function ignored(): void {
  // A stream that has failed cannot be cancelled, and need not be.
}
