// A memo of a pure function of a string, bounded in entries and in the length of what it keeps.

/** Longer keys are computed each time: they are rare, and keeping them would let one caller fill the memory. */
const longestKey = 256

/**
 * `compute` with its last results kept. When `capacity` results are held the oldest goes.
 * `compute` must be pure and its results immutable.
 */
export function boundedMemo<Value extends object>(
  capacity: number,
  compute: (key: string) => Value,
): (key: string) => Value {
  const kept = new Map<string, Value>()
  return (key) => {
    const known = kept.get(key)
    if (known !== undefined) return known
    const value = compute(key)
    if (key.length > longestKey) return value
    if (kept.size >= capacity) {
      const oldest = kept.keys().next()
      if (!oldest.done) kept.delete(oldest.value)
    }
    kept.set(key, value)
    return value
  }
}
