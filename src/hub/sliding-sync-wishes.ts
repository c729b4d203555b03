// Wishes for the state of rooms, and how they compare to what the client was given. Most rooms have the same, so that each
// two are compared once. Specification: MSC4186 (simplified sliding sync), "Changes to required_state".

import type { RequiredState } from '../matrix/required-state.ts'
import type { SlidingSyncRequest } from './sliding-sync-request.ts'

/** Several wishes for one room. */
type RoomWishes = readonly RequiredState[]

interface Comparison {
  readonly same: boolean
  /** Whether state is wanted that was not given before. */
  readonly more: boolean
}

export interface Wishes {
  /** The wishes at places of the request: the very ones that were given, where they are the same. */
  readonly of: (places: readonly number[], given?: RoomWishes) => RoomWishes
  readonly compare: (places: readonly number[], given: RoomWishes) => Comparison
}

/** The wishes of a request. */
export function wishesOf({ required }: Pick<SlidingSyncRequest, 'required'>): Wishes {
  const read = new Map<string, RoomWishes>()
  const compared = new Map<RoomWishes, Map<string, Comparison>>()
  const at = (places: readonly number[]): RoomWishes => {
    const known = read.get(places.join()) ?? places.flatMap((place) => required[place] ?? [])
    read.set(places.join(), known)
    return known
  }
  const compare = (places: readonly number[], given: RoomWishes): Comparison => {
    const known = compared.get(given) ?? new Map<string, Comparison>()
    compared.set(given, known)
    const result = known.get(places.join()) ?? compareWishes(at(places), given)
    known.set(places.join(), result)
    return result
  }
  return {
    of: (places, given) => (given && compare(places, given).same ? given : at(places)),
    compare,
  }
}

function compareWishes(wishes: RoomWishes, given: RoomWishes): Comparison {
  const before = new Set(given.flatMap((one) => pieces(one)))
  return {
    same: JSON.stringify(wishes) === JSON.stringify(given),
    more: wishes.flatMap((one) => pieces(one)).some((piece) => !before.has(piece)),
  }
}

// Each pattern with what is left out of it: comparing these finds all that is new, and at worst asks for state again.
function pieces({ include, exclude, lazyMembers }: RequiredState): string[] {
  const rest = JSON.stringify(exclude)
  return include.flatMap((pattern) => {
    const piece = `${JSON.stringify(pattern)} ${rest}`
    return lazyMembers ? [piece] : [piece, `members ${piece}`]
  })
}
