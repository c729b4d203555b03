// Ports for servers that start slowly, and that come back on the same port after having been away.

import { randomInt } from 'node:crypto'
import { once } from 'node:events'
import { createServer } from 'node:net'

// Below those that systems give to outgoing connections, one of which might have it when the server wants to listen.
const lowest = 10_000
const highest = 30_000

const given = new Set<number>()

/** A port of 127.0.0.1 that nothing listens on, and that nothing is likely to take. */
export async function quietPort(): Promise<number> {
  for (;;) {
    const port = randomInt(lowest, highest)
    if (given.has(port) || !(await isFree(port))) continue
    given.add(port)
    return port
  }
}

async function isFree(port: number): Promise<boolean> {
  const probe = createServer().listen(port, '127.0.0.1')
  try {
    await once(probe, 'listening')
  } catch {
    // Whatever is in the way, another port will do.
    return false
  }
  probe.close()
  await once(probe, 'close')
  return true
}
