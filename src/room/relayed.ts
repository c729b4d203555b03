// Events of other servers that this one took in on their way into the room or out of it: it must send them on to all
// other servers, as it does with its own. Specification: server-server API, "Joining Rooms", "Leaving Rooms".

import type { RoomContext } from './context.ts'

/** Notes that an event is to be sent on. Call inside the transaction that appends it. */
export function markRelayed(room: RoomContext, eid: number): void {
  room.sql.exec('INSERT OR IGNORE INTO relayed (eid) VALUES (?)', eid)
}

/** Whether an event of another server is to be sent on by this one. */
export function isRelayed(room: RoomContext, eid: number): boolean {
  return room.sql.exec('SELECT 1 FROM relayed WHERE eid = ?', eid).toArray().length > 0
}
