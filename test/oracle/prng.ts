// Random numbers that are the same in every run: a history is made again from its seed.

export interface Prng {
  /** A number from 0 up to but not including 1. */
  readonly next: () => number
  /** Whether something of this probability happens. */
  readonly chance: (probability: number) => boolean
  /** An integer from `low` to `high`, both included. */
  readonly integer: (low: number, high: number) => number
  /** One of some items; throws RangeError where there is none. */
  readonly pick: <Item>(items: readonly Item[]) => Item
}

/** A generator for a 32-bit seed: Weyl sequence, then two rounds of multiply and xor-shift. */
export function prngOf(seed: number): Prng {
  let counter = seed >>> 0
  const next = () => {
    counter = (counter + 0x9e3779b9) >>> 0
    let mixed = counter
    mixed = Math.imul(mixed ^ (mixed >>> 16), 0x21f0aaad)
    mixed = Math.imul(mixed ^ (mixed >>> 15), 0x735a2d97)
    return ((mixed ^ (mixed >>> 15)) >>> 0) / 2 ** 32
  }
  const integer = (low: number, high: number) => low + Math.floor(next() * (high - low + 1))
  return {
    next,
    integer,
    chance: (probability) => next() < probability,
    pick: (items) => {
      const item = items[integer(0, items.length - 1)]
      if (item === undefined) throw new RangeError('nothing to pick from')
      return item
    },
  }
}
