// Compares our state resolution with that of other implementations, on histories made from seeds: `npm run test:oracle`.
// HISTORIES says how many, SEED which is the first; a seed names its room version too.

import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { roomVersionIds } from '../../src/matrix/room-version.ts'
import { isComparable } from './exceptions.ts'
import { historyOf } from './histories.ts'
import type { History } from './history.ts'
import { cacheFolder, startOracle, type Oracle, type OracleName } from './oracle.ts'
import { fixtureOf, roomOf, sortedIds } from './room.ts'
import { shrink } from './shrink.ts'

const oracleNames: readonly OracleName[] = ['ruma', 'gomatrixserverlib']
const histories = Number(process.env.HISTORIES ?? 10_000)
const firstSeed = Number(process.env.SEED ?? 1)
// How many histories are on their way, so that the oracles always have something to do.
const window = 64
const enoughDisagreements = 5

const compared = new Map<string, number>()
const failed = new Set<number>()

const oracles = oracleNames.flatMap((name) => {
  const oracle = startOracle(name)
  if ('resolve' in oracle) return [oracle]
  console.log(`${name}: not compared, there is no ${oracle.missing} on this machine`)
  return []
})

if (oracles.length > 0) {
  const started = performance.now()
  const asked = await compareAll()
  for (const oracle of oracles) oracle.stop()
  for (const [what, count] of compared) console.log(`${what}: ${count} merges`)
  console.log(
    `${asked} histories from seed ${firstSeed} in ${Math.round((performance.now() - started) / 1000)} s`,
  )
  console.log(`${asked - failed.size} passed, ${failed.size} failed`)
  process.exitCode = failed.size > 0 ? 1 : 0
}

/** Answers with how many histories were compared. */
async function compareAll(): Promise<number> {
  const underWay = new Set<Promise<void>>()
  let count = 0
  for (; count < histories && failed.size < enoughDisagreements; count++) {
    const comparison = compareHistory(firstSeed + count)
    underWay.add(comparison)
    void comparison.then(() => underWay.delete(comparison))
    if (underWay.size >= window) await Promise.race(underWay)
  }
  await Promise.all(underWay)
  return count
}

async function compareHistory(seed: number): Promise<void> {
  const version = roomVersionIds[seed % roomVersionIds.length]
  if (version === undefined) throw new RangeError('SEED must be a positive integer')
  const history = historyOf(version, seed)
  await Promise.all(
    oracles
      .filter((oracle) => isComparable(oracle.name, history))
      .map(async (oracle) => {
        if ((await disagreements(oracle, history, tally)).length === 0) return
        failed.add(seed)
        await report(oracle, seed, history)
      }),
  )
}

function tally(what: string): void {
  compared.set(what, (compared.get(what) ?? 0) + 1)
}

/** The merges of a history of which an oracle makes something else. */
async function disagreements(
  oracle: Oracle,
  history: History,
  count: (what: string) => void,
): Promise<number[]> {
  const { resolved, module } = await oracle.resolve(roomOf(history))
  return [...history.merges.keys()].filter((index) => {
    const ours = sortedIds(history.merges[index]?.resolved ?? new Map()).join()
    count(`${oracle.name}, compared`)
    if (module?.[index]?.join() === ours) count(`${oracle.name}, its own resolver agrees`)
    return resolved[index]?.join() !== ours
  })
}

/** Keeps the shortest history that shows a disagreement, in the form of a fixture. */
async function report(oracle: Oracle, seed: number, history: History): Promise<void> {
  const nothing = (): void => undefined
  const shortest = await shrink(
    history,
    async (shorter) =>
      isComparable(oracle.name, shorter) && (await disagreements(oracle, shorter, nothing)).length > 0,
  )
  const [index = 0] = await disagreements(oracle, shortest, nothing)
  const merge = shortest.merges[index]
  if (merge === undefined) throw new Error(`${oracle.name} disagrees once and then does not: seed ${seed}`)
  const { resolved } = await oracle.resolve(roomOf(shortest, [merge]))
  const fixture = fixtureOf(shortest, merge, `${oracle.name} has ${resolved[0]?.join(' ')}`)
  mkdirSync(cacheFolder, { recursive: true })
  const file = join(cacheFolder, `disagreement-${oracle.name}-${seed}.json`)
  writeFileSync(file, `${JSON.stringify(fixture, null, 2)}\n`)
  console.log(
    `${oracle.name} disagrees: seed ${seed}, room version ${history.rules.id}, ${shortest.steps.length} steps`,
  )
  console.log(`  run again with SEED=${seed} HISTORIES=1; the shortest history is in ${file}`)
}
