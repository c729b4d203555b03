// The server as its users start it: a process that runs scripts/start.ts.

import { spawn, type ChildProcess } from 'node:child_process'
import { randomInt } from 'node:crypto'
import { once } from 'node:events'
import { createServer } from 'node:net'
import { join } from 'node:path'

export interface Launched {
  readonly url: string
  readonly child: ChildProcess
  /** All it printed so far. */
  readonly output: () => string
  /** Sends a signal to the launcher alone, or to its whole process group, and waits for its end. */
  readonly end: (signal: NodeJS.Signals, whom?: 'launcher' | 'group') => Promise<number | null>
}

/** Runs the launcher until it ends by itself. Its environment is that of the test. */
export async function runLauncher(args: readonly string[]): Promise<{ code: number | null; output: string }> {
  const { child, output } = spawnLauncher(args)
  const [code] = (await once(child, 'close')) as [number | null]
  return { code, output: output() }
}

/** Starts a server and waits until it listens. */
export async function launch(args: readonly string[]): Promise<Launched> {
  const { child, output } = spawnLauncher(args)
  const closed = once(child, 'close') as Promise<[number | null]>
  const url = await new Promise<string>((found, failed) => {
    child.stdout?.on('data', () => {
      const line = /Hearth listens on (\S+)\n(?:.+\n){3}/.exec(output())?.[1]
      if (line !== undefined) found(line)
    })
    child.once('close', () => failed(new Error(`the launcher ended: ${output()}`)))
  })
  return {
    url,
    child,
    output,
    async end(signal, whom = 'launcher') {
      if (child.pid === undefined) throw new Error('the launcher did not start')
      process.kill(whom === 'group' ? -child.pid : child.pid, signal)
      const [code] = await closed
      return code
    },
  }
}

/** Kills what is still running, for the end of a test that failed half-way. */
export function killLaunched(): void {
  for (const child of running) if (child.pid !== undefined) process.kill(-child.pid, 'SIGKILL')
}

const running = new Set<ChildProcess>()

function spawnLauncher(args: readonly string[]) {
  const child = spawn(process.execPath, [join(import.meta.dirname, '../../scripts/start.ts'), ...args], {
    // A process group of its own, so that it can be killed as a whole.
    detached: true,
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  running.add(child)
  child.once('close', () => running.delete(child))
  let output = ''
  const take = (chunk: string) => (output += chunk)
  child.stdout.setEncoding('utf8').on('data', take)
  child.stderr.setEncoding('utf8').on('data', take)
  return { child, output: () => output }
}

/**
 * A port of 127.0.0.1 that nothing listens on. The system gives ports from 32768 on to whoever connects somewhere or listens on
 * port 0; this one is below, so that it is still free when the server comes to it. None that browsers refuse is as high as 15000.
 */
export async function freePort(): Promise<number> {
  for (let attempt = 0; attempt < 50; attempt++) {
    const port = randomInt(15_000, 32_000)
    if (await isFree(port)) return port
  }
  throw new Error('50 ports of 127.0.0.1 are all in use')
}

async function isFree(port: number): Promise<boolean> {
  const probe = createServer()
  const free = await new Promise<boolean>((found) => {
    probe.once('error', () => found(false))
    probe.listen({ host: '127.0.0.1', port, exclusive: true }, () => found(true))
  })
  if (free) await new Promise((closed) => probe.close(closed))
  return free
}
