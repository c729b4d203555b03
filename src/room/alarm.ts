// What is left to do after a burst of events: tell the shards that could not be told, write the cursors down.

import { log } from '../log.ts'
import { findIdentity, type RoomContext } from './context.ts'
import { livePosition } from './events.ts'
import { eventIndexIsTold, tellEventIndex } from './event-index.ts'
import { hubsAreTold, tellHubs } from './fan-out.ts'
import { indexIsTold, tellIndex } from './index-room.ts'
import { armAlarm, soonMs, writeCursors } from './outbox.ts'
import { sendOrHandOver } from './own-events.ts'
import { resumePending } from './pending-pdus.ts'
import { sendDueEvents } from './send-delayed.ts'
import { appservicesAreTold, tellAppservices } from './tell-appservices.ts'
import { senderIsTold, tellSender } from './tell-sender.ts'

/** The room's alarm. Arms itself again while a sink is behind: retried until it succeeds. */
export async function onAlarm(room: RoomContext): Promise<void> {
  room.alarmAt = undefined
  const known = findIdentity(room)
  if (!known) return
  const sent = await sendDueEvents(room)
  if ((await sendOrHandOver(room)) || sent) await tellHubs(room)
  if (!hubsAreTold(room)) {
    log({ event: 'fan_out_retried', room_id: known.roomId, events: livePosition(room) })
    await tellHubs(room)
  }
  if (!indexIsTold(room)) await tellIndex(room)
  if (!eventIndexIsTold(room)) await tellEventIndex(room)
  if (!senderIsTold(room)) await tellSender(room)
  if (!appservicesAreTold(room)) await tellAppservices(room)
  writeCursors(room)
  await resumePending(room)
  const isToldAll = hubsAreTold(room) && indexIsTold(room) && eventIndexIsTold(room)
  if (!isToldAll || !senderIsTold(room) || !appservicesAreTold(room)) armAlarm(room, soonMs)
}
