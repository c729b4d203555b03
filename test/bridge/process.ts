// Programs in Python that a test starts, kills and starts again.

import assert from 'node:assert/strict'
import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { until } from '../clients/person.ts'

export interface Program {
  /** Starts it and waits until it has printed something like this. */
  readonly start: () => Promise<void>
  /** Ends it at once. */
  readonly kill: () => Promise<void>
  /** What it printed, of all its lives. */
  readonly output: () => string
}

/** `python -m …` with a text that tells that it is ready. Needs BRIDGE_PYTHON. */
export function program(args: readonly string[], ready: string): Program {
  const python = process.env.BRIDGE_PYTHON
  assert(python !== undefined, 'no BRIDGE_PYTHON: run it with npm run test:bridge')
  let child: ChildProcess | undefined
  let output = ''
  return {
    async start() {
      const before = output.length
      const started = spawn(python, ['-u', '-m', ...args], { stdio: ['ignore', 'pipe', 'pipe'] })
      child = started
      for (const stream of [started.stdout, started.stderr]) {
        stream.setEncoding('utf8').on('data', (text: string) => (output += text))
      }
      await until(
        `${args[0]} to start`,
        () => {
          assert(started.exitCode === null, `it ended:\n${output.slice(before)}`)
          return output.slice(before).includes(ready)
        },
        60_000,
      )
    },
    async kill() {
      if (!child || child.exitCode !== null || child.signalCode !== null) return
      const closed = once(child, 'close')
      child.kill('SIGKILL')
      await closed
    },
    output: () => output,
  }
}
