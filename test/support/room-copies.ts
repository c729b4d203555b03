// The copies of a room that several servers hold, as their users see them.

import { isJsonObject, type JsonObject, stringProperty } from '../../src/matrix/json.ts'
import type { RoomClient } from './room-client.ts'

/** The ids of all events that a user can page back to, sorted. */
export async function pagedEvents({ done }: RoomClient, roomId: string): Promise<string[]> {
  const ids = new Set<string>()
  let from = ''
  for (;;) {
    const query = new URLSearchParams({ dir: 'b', limit: '100', ...(from && { from }) })
    const page = await done('GET', `/rooms/${encodeURIComponent(roomId)}/messages?${query.toString()}`)
    for (const event of objects(page['chunk'])) ids.add(stringProperty(event, 'event_id') ?? '')
    const end = stringProperty(page, 'end')
    if (end === undefined || end === from) return [...ids].toSorted()
    from = end
  }
}

/** The current state as a user sees it: lines of type, state key and event id, sorted. */
export async function stateIds({ inRoom }: RoomClient, roomId: string): Promise<string[]> {
  const { body } = await inRoom('GET', roomId, 'state')
  return objects(body)
    .map((event) => ['type', 'state_key', 'event_id'].map((key) => stringProperty(event, key)).join(' '))
    .toSorted()
}

function objects(list: unknown): JsonObject[] {
  return (Array.isArray(list) ? list : []).filter(isJsonObject)
}
