// The sender's one alarm: it looks after what a crash has interrupted and tries failing destinations when their time has
// come. Where it is not armed, nothing is left to do (see schema.ts).

import { armAlarm, safetyMs } from './arm-alarm.ts'
import { acknowledgedMark, type Sender } from './context.ts'
import { endLeases } from './leases.ts'
import { trim } from './outbox.ts'
import { beginInvocation, hasWork, markReady, pump, whenIdle } from './work.ts'

// A busy server may never be idle.
const longestRunMs = 60_000

/** Runs the alarm to the end of what can be done now: until then it stays pending over a crash. */
export async function onAlarm(sender: Sender): Promise<void> {
  // No need to arm it for what comes meanwhile.
  sender.alarmAt = 0
  beginInvocation(sender)
  endLeases(sender)
  for (const destination of sender.byId.values()) markReady(sender, destination)
  pump(sender)
  await Promise.race([whenIdle(sender), new Promise<void>((over) => sender.deps.later(longestRunMs, over))])
  trim(sender)
  sender.alarmAt = undefined
  rearm(sender)
}

function rearm(sender: Sender): void {
  const { now, sql } = sender.deps
  // More than one alarm may send.
  if (sender.ready.size > 0) return armAlarm(sender, now())
  const times = [...sender.byId.values()]
    .filter(hasWork)
    .map(({ failures, retryAt, lease }) =>
      Math.max(failures > 0 ? retryAt : 0, lease?.until ?? 0, now() + safetyMs),
    )
  if (times.length === 0) return
  armAlarm(
    sender,
    times.reduce((earliest, time) => Math.min(earliest, time)),
  )
  const mark = acknowledgedMark(sender)
  if (mark <= sender.writtenMark) return
  sender.writtenMark = mark
  sql.exec(
    "INSERT INTO meta VALUES ('mark', ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
    mark,
  )
}
