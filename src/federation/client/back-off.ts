// Remembering for which names something was tried of late, so that it is not tried all the time. In memory: what is
// forgotten costs one more try.

export interface BackOff {
  /** Whether it may be tried now. */
  readonly allows: (name: string) => boolean
  readonly succeeded: (name: string) => void
  readonly failed: (name: string) => void
}

export interface BackOffTimes {
  /** Milliseconds until the next try after a success. */
  readonly afterSuccess: number
  /** Milliseconds until the next try after the first failure; doubled with each further one. */
  readonly afterFailure: number
  readonly longest: number
}

interface Entry {
  readonly failures: number
  readonly notBefore: number
}

const capacity = 5000

/** A memory of tries. `now` is the clock (ms). */
export function backOff(times: BackOffTimes, now: () => number = Date.now): BackOff {
  const entries = new Map<string, Entry>()
  const note = (name: string, failures: number, delay: number) => {
    entries.delete(name)
    const oldest = entries.size >= capacity ? entries.keys().next().value : undefined
    if (oldest !== undefined) entries.delete(oldest)
    entries.set(name, { failures, notBefore: now() + delay })
  }
  return {
    allows: (name) => (entries.get(name)?.notBefore ?? 0) <= now(),
    succeeded: (name) => note(name, 0, times.afterSuccess),
    failed: (name) => {
      const failures = (entries.get(name)?.failures ?? 0) + 1
      note(name, failures, Math.min(times.afterFailure * 2 ** (failures - 1), times.longest))
    },
  }
}
