// The server that `npm start` starts, as a process that can be killed and started again on the same data.

import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { refuseViolations } from '../contract/recorder.ts'
import { watchFetch } from '../contract/watch-fetch.ts'
import { freePort, killLaunched, launch } from '../support/launcher.ts'

export interface Server {
  readonly url: string
  /** Its data folder. */
  readonly data: string
  /** The process id of the launcher. workerd is its child. */
  readonly pid: () => number | undefined
  /** Kills the whole process group at once, without time to tidy up, as a power failure would. */
  readonly kill: () => Promise<void>
  /** Asks it to end, and waits until it has. */
  readonly stop: () => Promise<void>
  /** Starts it again on the same data and port. */
  readonly restart: () => Promise<void>
  /** Ends what is left and removes the data. Throws when a request or an answer was not as the API's documents have it. */
  readonly remove: () => Promise<void>
}

/**
 * Starts a server named localhost that is open to all, on a free port of 127.0.0.1, with data of its own. `further` options of
 * the launcher win over these.
 */
export async function startServer(further: Readonly<Record<string, string>> = {}): Promise<Server> {
  const data = await mkdtemp(join(tmpdir(), 'hearth-clients-'))
  const port = await freePort()
  const options = {
    'server-name': 'localhost',
    host: '127.0.0.1',
    port: String(port),
    data,
    registration: 'open',
    'rate-limits': 'off',
    ...further,
  }
  const args = Object.entries(options).flatMap(([name, value]) => [`--${name}`, value])
  watchFetch()
  const remove = async () => {
    killLaunched()
    await rm(data, { recursive: true, force: true, maxRetries: 10, retryDelay: 100 })
  }
  let launched = await launch(args).catch(async (error: unknown) => {
    await remove()
    throw error
  })
  return {
    url: launched.url,
    data,
    pid: () => launched.child.pid,
    async kill() {
      await launched.end('SIGKILL', 'group')
    },
    async stop() {
      await launched.end('SIGTERM')
    },
    async restart() {
      launched = await launch(args)
    },
    async remove() {
      await remove()
      refuseViolations()
    },
  }
}
