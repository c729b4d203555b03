// Times and rates.

export interface Times {
  readonly unit: 'ms'
  readonly p50: number
  readonly p95: number
  readonly runs: number
}

export interface Rate {
  readonly unit: '/s'
  readonly rate: number
  readonly runs: number
}

/** Runs something so often, one after another, and tells how long it took. Only what `run` times itself counts. */
export async function times(runs: number, run: (i: number) => Promise<number>): Promise<Times> {
  const taken = []
  for (let i = 0; i < runs; i += 1) taken.push(await run(i))
  return timesOf(taken)
}

/** What so many milliseconds come to. */
export function timesOf(taken: readonly number[]): Times {
  const sorted = taken.toSorted((a, b) => a - b)
  return { unit: 'ms', p50: quantile(sorted, 0.5), p95: quantile(sorted, 0.95), runs: sorted.length }
}

/** Milliseconds that something takes. */
export async function timed(run: () => Promise<unknown>): Promise<number> {
  const start = performance.now()
  await run()
  return performance.now() - start
}

/** Has so many clients each do one thing after another for so many milliseconds. */
export async function rate(
  clients: number,
  milliseconds: number,
  run: (client: number) => Promise<unknown>,
): Promise<Rate> {
  const start = performance.now()
  let runs = 0
  const work = async (client: number) => {
    while (performance.now() - start < milliseconds) {
      await run(client)
      runs += 1
    }
  }
  await Promise.all(Array.from({ length: clients }, (_, client) => work(client)))
  return { unit: '/s', rate: (runs * 1000) / (performance.now() - start), runs }
}

function quantile(sorted: readonly number[], q: number): number {
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * q))] ?? Number.NaN
}
