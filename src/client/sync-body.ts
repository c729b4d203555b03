// A rendered /sync, taken apart again for the deprecated endpoints before it.

import type { JsonObject } from '../matrix/json.ts'

/** What `renderSync` writes, as far as the deprecated endpoints have a place for it. */
export interface SyncBody {
  readonly rooms: {
    readonly join: Readonly<Record<string, SyncedRoom>>
    readonly leave: Readonly<Record<string, SyncedRoom>>
    readonly invite: Readonly<Record<string, { readonly invite_state: EventList }>>
  }
  readonly presence: EventList
  readonly accountData: EventList
}

interface SyncedRoom {
  readonly timeline: EventList & { readonly prev_batch: string }
  readonly state_after?: EventList
  readonly account_data?: EventList
}

interface EventList {
  readonly events: readonly JsonObject[]
}

const none: EventList = { events: [] }

/** Parses what `renderSync` made: members of an object as JSON text, each with a comma before it. */
export function parseSync(text: string): SyncBody {
  // Written by this server's own renderers.
  const body = JSON.parse(`{${text.slice(1)}}`) as {
    rooms?: Partial<SyncBody['rooms']>
    presence?: EventList
    account_data?: EventList
  }
  const { join = {}, leave = {}, invite = {} } = body.rooms ?? {}
  return {
    rooms: { join, leave, invite },
    presence: body.presence ?? none,
    accountData: body.account_data ?? none,
  }
}

/** Events with the room that they are in, which /sync leaves out. */
export function inRoom(roomId: string, events: readonly JsonObject[]): JsonObject[] {
  return events.map((event) => ({ ...event, room_id: roomId }))
}
