// What the recorder noted during a run, put together.

import { alwaysRefused } from './slips.ts'

export interface Notes {
  /** Operations that were answered, with any status. */
  readonly answered: ReadonlySet<string>
  /** Those that did what they are for. */
  readonly succeeded: ReadonlySet<string>
  /** Slips that were met, as JSON. */
  readonly slips: ReadonlySet<string>
}

/** Sorts what the recorder noted, line by line. */
export function readNotes(lines: readonly string[]): Notes {
  const pairs = lines.map((line) => line.split('\t'))
  const those = (wanted: (status: string) => boolean) =>
    new Set(pairs.flatMap(([name = '', status = '']) => (wanted(status) ? [name] : [])))
  return {
    answered: those((status) => /^\d+$/.test(status)),
    succeeded: those((status) => /^[23]/.test(status)),
    slips: new Set(pairs.flatMap(([kind, slip = '']) => (kind === 'slip' ? [slip] : []))),
  }
}

/** Those of the served operations that no test has used with success, or at all where they only ever refuse. */
export function neverExercised(served: readonly string[], notes: Notes): string[] {
  const refused = new Set(Object.keys(alwaysRefused))
  return served.filter((name) => !(refused.has(name) ? notes.answered : notes.succeeded).has(name))
}
