// What an application service is shown of a room that one of its users is invited to or knocks at, in `unsigned` where the
// event itself is sent. Specification: client-server API, "Stripped state".

import type { JsonObject } from '../matrix/json.ts'

// Any amount may be shown, the event must get through: a hundred of them in one call between Durable Objects.
const longestShown = 100_000

/** The field for a membership with the stripped state of its room; none where that is no invite or knock, or is far too much. */
export function shownState(membership: unknown, stripped: () => readonly JsonObject[]): JsonObject {
  if (membership !== 'invite' && membership !== 'knock') return {}
  const shown = stripped()
  return JSON.stringify(shown).length > longestShown ? {} : { [`${membership}_room_state`]: [...shown] }
}
