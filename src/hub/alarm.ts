// The one alarm of a Hub, for all that has to be done later: pushes, what concerns all rooms of a user, presence. Each of
// them looks after what is due whenever the alarm comes, and asks for it again.

import type { HubContext } from './context.ts'

/** Has the alarm come at a time, in milliseconds, or before: a row written, unless it comes until then anyway. */
export function wakeAt(hub: HubContext, time: number): void {
  if (hub.alarmAt !== undefined && hub.alarmAt <= time) return
  hub.alarmAt = time
  void hub.storage.setAlarm(time)
}
