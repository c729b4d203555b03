// Arming the sender's one alarm: a row each time, so only where it would come too late.

import type { Sender } from './context.ts'

/** How long after an event the alarm looks after what was not sent, in milliseconds. */
export const safetyMs = 30_000

/** Arms the alarm unless it comes until then anyway. */
export function armAlarm(sender: Sender, time: number): void {
  if (sender.alarmAt !== undefined && sender.alarmAt <= time) return
  sender.alarmAt = time
  sender.deps.setAlarm(time)
}
