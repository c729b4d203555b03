// What application services have lately not known of, or not answered about: nobody makes them say so over and over.
// In memory: what is forgotten costs one more question.

export interface RefusedQueries {
  readonly outcome: (path: string) => 'no' | 'silent' | undefined
  readonly remember: (path: string, outcome: 'no' | 'silent') => void
}

const longMs = { no: 30_000, silent: 5_000 }
const capacity = 5000

/** A memory of what was refused. `now` is the clock (ms). */
export function refusedQueries(now: () => number = Date.now): RefusedQueries {
  const entries = new Map<string, { readonly outcome: 'no' | 'silent'; readonly until: number }>()
  return {
    outcome: (path) => {
      const entry = entries.get(path)
      return entry && entry.until > now() ? entry.outcome : undefined
    },
    remember: (path, outcome) => {
      entries.delete(path)
      const oldest = entries.size >= capacity ? entries.keys().next().value : undefined
      if (oldest !== undefined) entries.delete(oldest)
      entries.set(path, { outcome, until: now() + longMs[outcome] })
    },
  }
}
