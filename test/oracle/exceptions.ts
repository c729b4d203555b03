// Where an oracle is not asked, and why.

import type { Event } from '../../src/matrix/event.ts'
import type { OracleName } from './oracle.ts'
import type { History } from './history.ts'

/** Whether an oracle can be held to the specification for a room. */
export function isComparable(oracle: OracleName, history: History): boolean {
  if (oracle !== 'ruma') return true
  // The crate has no state resolution v1.
  if (history.rules.stateResolution === 'v1') return false
  // Where a room has no join rules, the crate lets nobody join, not even those who are in change their profile. The
  // specification names no default; the other oracle and we take it for `invite`.
  // The first two events are the room and the join of its creator.
  return !history.events.some((event, index) => index > 1 && isJoinWithoutRules(history, event))
}

/** Whether an event is an accepted join that cites no join rules. */
function isJoinWithoutRules({ server }: History, event: Event): boolean {
  if (event.type !== 'm.room.member' || event.content.membership !== 'join') return false
  const cited = event.auth_events.map((id) => server.event(id)?.type)
  return !server.rejected(event.event_id) && !cited.includes('m.room.join_rules')
}
