// What time brings to presence: users who are idle, devices that sync no longer, and what others have to be told again. No
// timer runs for it: the alarm has it looked at once a minute while anybody is there.
// Specification: client-server API, "Presence"; server-server API, "Presence".

import { expireOthers } from './apply-other-presence.ts'
import type { HubContext } from './context.ts'
import { keepPresence } from './kept-presence.ts'
import { presenceTable, type PresentDevice } from './presence.ts'
import { show, stamp, wakeFor, watch } from './set-presence.ts'
import { tellPresence } from './tell-presence.ts'
import { presentDevices } from './waiters.ts'

// Longer than a client takes from one sync to the next.
const offlineAfterMs = 45_000
// As long as most take, of whom nothing is written down.
const pauseMs = 10_000
// Some forget whom they did not hear of for half an hour.
const repeatAfterMs = 25 * 60_000

/** The alarm: brings what everybody is shown as up to date, and tells those who see it. */
export function lookAfterPresence(hub: HubContext): void {
  expireOthers(hub)
  const there = [...presenceTable(hub).users].filter(([, { devices }]) => devices.size > 0)
  for (const [uid, { devices }] of there) {
    const waiting = presentDevices(hub, uid)
    for (const [deviceId, device] of devices) {
      if (isGone(device, waiting.has(deviceId), hub.now())) devices.delete(deviceId)
    }
  }
  const changed = there.filter(([, user]) => show(hub, user))
  for (const [, user] of changed) stamp(hub, user)
  const repeated = there.filter(([, { toldAt = 0 }]) => hub.now() - toldAt >= repeatAfterMs)
  for (const [, user] of repeated) user.toldAt = hub.now()
  for (const [uid, user] of there) keepPresence(hub, uid, user)
  watch(hub)
  const changedUids = changed.map(([uid]) => uid)
  wakeFor(hub, changedUids)
  tellPresence(hub, [...changedUids, ...repeated.map(([uid]) => uid)])
}

/** Whether a device has gone. Notes it as missing where that is not certain yet. */
function isGone(device: PresentDevice, isWaiting: boolean, now: number): boolean {
  if (isWaiting) {
    device.seen = now
    return false
  }
  // Whoever was not seen since this object started may be between two syncs, or may never come again: the next look knows,
  // also where this object has slept until then.
  const last = device.seen ?? device.missing ?? now
  if (device.seen === undefined || now - last >= pauseMs) device.missing = last
  return now - last >= offlineAfterMs
}
