// The paths that application services had before their API had versions, and which of the two each of them understands.
// Specification: application service API, "Legacy routes".

const versioned = '/_matrix/app/v1'

/** The older path of a path, which may be escaped; undefined where there was none. */
export function legacyPath(path: string): string | undefined {
  if (!path.startsWith(`${versioned}/`)) return undefined
  const rest = path.slice(versioned.length)
  if (/^\/(?:transactions|users|rooms)\//.test(rest)) return rest
  return rest.startsWith('/thirdparty/') ? `/_matrix/app/unstable${rest}` : undefined
}

/** Which form of the paths application services are known to understand. In memory: what is forgotten costs one more try. */
export interface KnownForms<Key extends object> {
  readonly formOf: (appservice: Key) => 'versioned' | 'legacy' | undefined
  readonly succeeded: (appservice: Key, form: 'versioned' | 'legacy') => void
}

// It may be another program by then.
const knownForMs = 60 * 60_000

/** A memory of forms, which forgets after an hour so that the newer form is tried again. `now` is the clock (ms). */
export function knownForms<Key extends object>(now: () => number = Date.now): KnownForms<Key> {
  const entries = new WeakMap<Key, { readonly form: 'versioned' | 'legacy'; readonly until: number }>()
  return {
    formOf: (appservice) => {
      const entry = entries.get(appservice)
      return entry && entry.until > now() ? entry.form : undefined
    },
    succeeded: (appservice, form) => {
      const entry = entries.get(appservice)
      // Success with the older form says nothing of the newer one: the hour of the first stays.
      if (form === 'legacy' && entry?.form === 'legacy' && entry.until > now()) return
      entries.set(appservice, { form, until: now() + knownForMs })
    },
  }
}
