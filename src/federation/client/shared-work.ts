// Work that several requests wait for, done once. An isolate may end the request that does it, and then the promise
// never settles: so nobody waits longer than `longestMs`, and work that takes longer counts as lost.

export interface SharedWork {
  /** The work that goes on under a name, if any. */
  readonly running: (name: string) => Promise<void> | undefined
  /** Starts work under some names. Who waits for it sees what it throws. */
  readonly start: (names: readonly string[], work: Promise<void>) => Promise<void>
}

/** A register of work that goes on. */
export function sharedWork(longestMs: number): SharedWork {
  const entries = new Map<string, { readonly work: Promise<void>; readonly since: number }>()
  return {
    running: (name) => {
      const entry = entries.get(name)
      return entry && entry.since + longestMs > Date.now() ? atMost(entry.work, longestMs) : undefined
    },
    start: (names, work) => {
      const entry = { work, since: Date.now() }
      for (const name of names) entries.set(name, entry)
      const done = work.finally(() => {
        for (const name of names) if (entries.get(name) === entry) entries.delete(name)
      })
      void keepAlive(done)
      return done
    },
  }
}

/** Lets work go on when the client of this request has gone, for the others. */
async function keepAlive(work: Promise<void>): Promise<void> {
  // Not at the top: Node loads the app too, to list its routes.
  const { waitUntil } = await import('cloudflare:workers')
  waitUntil(work)
}

async function atMost(work: Promise<void>, ms: number): Promise<void> {
  let timer: ReturnType<typeof setTimeout> | undefined
  const timeout = new Promise<void>((over) => (timer = setTimeout(over, ms)))
  await Promise.race([work, timeout])
  clearTimeout(timer)
}
