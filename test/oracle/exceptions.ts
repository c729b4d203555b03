// Where an oracle is not asked, and why.

import { authorise } from '../../src/matrix/event-auth/authorise.ts'
import type { Event, StateLookup } from '../../src/matrix/event.ts'
import { property } from '../../src/matrix/json.ts'
import { powerLevelNames, requiredLevel, userPowerLevel } from '../../src/matrix/power-levels.ts'
import type { OracleName } from './oracle.ts'
import type { History } from './history.ts'

/** Whether an oracle can be held to the specification for a room. */
export function isComparable(oracle: OracleName, history: History): boolean {
  if (oracle !== 'ruma') return true
  // The crate has no state resolution v1.
  if (history.rules.stateResolution === 'v1') return false
  return !hasJoinWithoutRules(history) && !isDefaultInQuestion(history)
}

/**
 * Where a room has no join rules, the crate lets nobody join, nor those who are in change their profile. The
 * specification names no default; the other oracle, Synapse and we take it for `invite`.
 */
function hasJoinWithoutRules(history: History): boolean {
  // The first two events are the room and the join of its creator.
  return history.events.slice(2).some((event) => isJoinWithoutRules(history, event))
}

/** Whether an event is an accepted join that cites no join rules. */
function isJoinWithoutRules({ server }: History, event: Event): boolean {
  if (event.type !== 'm.room.member' || event.content.membership !== 'join') return false
  const cited = event.auth_events.map((id) => server.event(id)?.type)
  return !server.rejected(event.event_id) && !cited.includes('m.room.join_rules')
}

/**
 * Where power levels leave out `ban`, say, that the current ones give, or give it first, the specification does not
 * tell whether the default counts as the new value or the current one. For the crate it does; for Synapse and us what
 * is not given is not compared. It matters where the default is above the level of the sender.
 */
function isDefaultInQuestion({ rules, events }: History): boolean {
  const [create] = events
  const powerLevels = events.filter((event) => event.type === 'm.room.power_levels')
  return powerLevels.some((event) => {
    const join = events.find((one) => one.state_key === event.sender && one.content.membership === 'join')
    return powerLevels.some((current) => {
      const known = [create, join, current]
      const state: StateLookup = (type, key) =>
        known.find((one) => one?.type === type && one.state_key === key)
      const level = userPowerLevel(rules, event.sender, state)
      const isDecisive = powerLevelNames.some(
        (name) =>
          (property(event.content, name) === undefined) !== (property(current.content, name) === undefined) &&
          requiredLevel(rules, undefined, name) > level,
      )
      return isDecisive && authorise(rules, event, state).ok
    })
  })
}
