// The oracles: other programs that resolve state. Each is built from its folder, if its toolchain is there, into a
// cache outside the repository, and answers one line for each line it is asked.

import { spawn, spawnSync } from 'node:child_process'
import { mkdirSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import type { Room } from './room.ts'

/** For each merge of a room the sorted event ids of its resolved state. */
export interface Answer {
  readonly resolved: readonly (readonly string[])[]
  /** What the module's own resolver makes of it, where `resolved` is put together from parts of the module. */
  readonly module?: readonly (readonly string[])[]
}

export interface Oracle {
  readonly name: OracleName
  readonly resolve: (room: Room) => Promise<Answer>
  readonly stop: () => void
}

export type OracleName = 'ruma' | 'gomatrixserverlib'

interface Recipe {
  readonly toolchain: string
  readonly args: readonly string[]
  readonly env: Record<string, string>
  readonly binary: string
}

/** Where oracles are built, and disagreements kept. */
export const cacheFolder = join(
  process.env.XDG_CACHE_HOME ?? join(homedir(), '.cache'),
  'hearth-tests',
  'oracle',
)

function recipeOf(name: OracleName): Recipe {
  const folder = join(cacheFolder, name)
  if (name === 'ruma') {
    return {
      toolchain: 'cargo',
      args: ['build', '--release', '--quiet'],
      env: { CARGO_TARGET_DIR: folder },
      binary: join(folder, 'release', 'hearth-ruma-oracle'),
    }
  }
  const binary = join(folder, 'oracle')
  return { toolchain: 'go', args: ['build', '-o', binary, '.'], env: {}, binary }
}

/** Builds and starts an oracle. Answers with what is missing where there is no toolchain; throws if the build fails. */
export function startOracle(name: OracleName): Oracle | { readonly missing: string } {
  const { toolchain, args, env, binary } = recipeOf(name)
  if (spawnSync(toolchain, ['version']).error !== undefined) return { missing: toolchain }
  mkdirSync(join(cacheFolder, name), { recursive: true })
  const built = spawnSync(toolchain, args, {
    cwd: join(import.meta.dirname, name),
    env: { ...process.env, ...env },
    stdio: ['ignore', 'inherit', 'inherit'],
  })
  if (built.status !== 0) throw new Error(`${name}: the oracle does not build`)
  return askBinary(name, binary)
}

function askBinary(name: OracleName, binary: string): Oracle {
  // The Go module reports on its errors stream, at length, what it finds.
  const child = spawn(binary, { stdio: ['pipe', 'pipe', 'ignore'] })
  const waiting: PromiseWithResolvers<Answer>[] = []
  const fail = (reason: string): void => {
    for (const { reject } of waiting.splice(0)) reject(new Error(`${name}: ${reason}`))
  }
  createInterface({ input: child.stdout }).on('line', (line) => {
    waiting.shift()?.resolve(JSON.parse(line) as Answer)
  })
  child.on('exit', (code, signal) => fail(`ended with ${code ?? signal}`))
  child.stdin.on('error', (error) => fail(error.message))
  return {
    name,
    resolve: (room) => {
      const answer = Promise.withResolvers<Answer>()
      waiting.push(answer)
      child.stdin.write(`${JSON.stringify(room)}\n`)
      return answer.promise
    },
    stop: () => child.stdin.end(),
  }
}
