// Makes a history that shows a disagreement as short as it can be: leaves out step after step as long as it does.

import { History, play, type Step } from './history.ts'

/** The shortest history found that still has the property. Tries each step again until none can go. */
export async function shrink(
  history: History,
  holds: (shorter: History) => Promise<boolean>,
): Promise<History> {
  let shortest = history
  for (let index = history.steps.length - 1; index > 0; index--) {
    const shorter = playOrNothing(shortest, without(shortest.steps, index))
    if (shorter === undefined || !(await holds(shorter))) continue
    shortest = shorter
    // What was needed by what is gone now may go as well.
    index = shortest.steps.length
  }
  return shortest
}

/** The steps but one: what came after it comes after what it came after. */
function without(steps: readonly Step[], gone: number): Step[] {
  const renumber = (indexes: readonly number[]): number[] => {
    const kept = indexes.flatMap((index) => (index === gone ? (steps[gone]?.after ?? []) : [index]))
    return [...new Set(kept)].map((index) => (index > gone ? index - 1 : index))
  }
  return steps
    .filter((_, index) => index !== gone)
    .map((step) => ({
      ...step,
      after: renumber(step.after),
      ...(step.authFrom === undefined ? {} : { authFrom: renumber(step.authFrom) }),
    }))
}

/** A step may turn out to be none any more, such as one with previous events that make a format error. */
function playOrNothing(history: History, steps: readonly Step[]): History | undefined {
  try {
    return play(history.rules.id, steps)
  } catch (error) {
    if (error instanceof Error) return undefined
    throw error
  }
}
