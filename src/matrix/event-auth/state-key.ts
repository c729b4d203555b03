// Who may set state that is keyed by a user. Specification: room versions 1-12, "Authorisation rules"; for rooms in which more
// than one key belongs to a user, MSC3757.

import { accept } from '../event.ts'
import type { Event, StateLookup, UserId, Verdict } from '../event.ts'
import { parseUserId } from '../identifiers.ts'
import { userPowerLevel } from '../power-levels.ts'
import type { RoomVersionRules } from '../room-version.ts'
import { fitsInBytes } from '../utf8.ts'
import { refuse } from './rules.ts'

const maxKeyBytes = 255
// The separator counts.
const maxSuffixBytes = 256

/**
 * The user whom a state key belongs to where a user may have many: who it names up to the first `_` after the first `:`, or
 * all of it. Undefined for a key that starts with `@` and names no user that way.
 */
export function stateKeyOwner(stateKey: string): UserId | undefined {
  const colon = stateKey.indexOf(':')
  // An underscore before the colon is one of the user's name.
  const end = colon === -1 ? -1 : stateKey.indexOf('_', colon)
  return parseUserId(end === -1 ? stateKey : stateKey.slice(0, end))
}

/** Whether the sender of an event may set state with its key. Events without one pass. */
export function checkStateKey(rules: RoomVersionRules, event: Event, state: StateLookup): Verdict {
  const { state_key: stateKey, sender } = event
  if (stateKey === undefined) return accept
  if (rules.ownedState) return checkOwnedState(rules, stateKey, sender, state)
  // State that is keyed by a user belongs to that user.
  return stateKey.startsWith('@') && stateKey !== sender ? refuse('state-key-sender') : accept
}

function checkOwnedState(
  rules: RoomVersionRules,
  stateKey: string,
  sender: UserId,
  state: StateLookup,
): Verdict {
  if (!stateKey.startsWith('@')) return fitsInBytes(stateKey, maxKeyBytes) ? accept : refuse('state-key-size')
  const owner = stateKeyOwner(stateKey)
  if (owner === undefined) return refuse('state-key-owner')
  if (!fitsInBytes(stateKey.slice(owner.length), maxSuffixBytes)) return refuse('state-key-size')
  if (owner === sender) return accept
  // Moderators can clear away what somebody has left behind.
  return userPowerLevel(rules, sender, state) > userPowerLevel(rules, owner, state)
    ? accept
    : refuse('state-key-level')
}
