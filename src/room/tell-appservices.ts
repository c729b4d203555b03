// Telling application services about events that they are interested in, once the Hub shards know them. Nothing at all on a
// server without any. Each has a cursor of its own, since one that is registered later is told of what happens from then on.
// Specification: application service API, "Pushing events".

import { listeners } from '../appservice/listeners.ts'
import { looksAfterUser } from '../appservice/namespaces.ts'
import type { Appservice } from '../appservice/registration.ts'
import { shownState } from '../appservice/shown-state.ts'
import type { ToldEvent } from '../appservice/sender/tell.ts'
import { appserviceSenderStub } from '../env.ts'
import { errorMessage, log } from '../log.ts'
import { parseUserId } from '../matrix/identifiers.ts'
import { type JsonObject, objectProperty } from '../matrix/json.ts'
import { hostedAliases, interests, isInterestedNow } from './appservice-interest.ts'
import { clientEvent } from './client-event.ts'
import { findIdentity, identity, type RoomContext } from './context.ts'
import { isHidden } from './dummy-event.ts'
import { livePosition, type StoredEvent } from './events.ts'
import { untold } from './fan-out.ts'
import { acknowledge, appserviceSink, armAlarm, soonMs, toldUpTo } from './outbox.ts'
import { strippedState } from './stripped-state.ts'

/** Whether all of them were told everything. */
export function appservicesAreTold(room: RoomContext): boolean {
  return listeners(room.env).every(({ id }) => toldUpTo(room, appserviceSink(id)) >= livePosition(room))
}

/** Tells all of them everything up to now. Never throws: what fails is left to the alarm. */
export async function tellAppservices(room: RoomContext): Promise<void> {
  const appservices = listeners(room.env)
  if (appservices.length === 0 || !findIdentity(room)) return
  const upTo = livePosition(room)
  await Promise.all(appservices.map((appservice) => tellAppservice(room, appservice, upTo)))
}

const telling = new WeakMap<RoomContext, Map<string, Promise<void>>>()

async function tellAppservice(room: RoomContext, appservice: Appservice, upTo: number): Promise<void> {
  const { id } = appservice
  const running = telling.get(room) ?? new Map<string, Promise<void>>()
  telling.set(room, running)
  try {
    while (toldUpTo(room, appserviceSink(id)) < upTo) {
      const next = running.get(id) ?? tellNext(room, appservice).finally(() => running.delete(id))
      running.set(id, next)
      await next
    }
  } catch (error) {
    const { roomId } = identity(room)
    log({ event: 'appservice_not_told', appservice: id, room_id: roomId, error: errorMessage(error) })
    armAlarm(room, soonMs)
  }
}

async function tellNext(room: RoomContext, appservice: Appservice): Promise<void> {
  const sink = appserviceSink(appservice.id)
  const aliases = await hostedAliases(room)
  const { events, last } = untold(room, toldUpTo(room, sink), livePosition(room))
  const isInteresting = interests(room, appservice, aliases, events)
  const told = events.filter((stored, i) => isInteresting[i] && !isHidden(stored.event))
  if (told.length > 0) {
    await appserviceSenderStub(room.env, appservice.id).tell(identity(room).roomId, {
      events: told.map((stored) => toldEvent(room, appservice, stored)),
      interested: isInterestedNow(room, appservice, aliases),
    })
  }
  acknowledge(room, sink, last)
}

function toldEvent(room: RoomContext, appservice: Appservice, stored: StoredEvent): ToldEvent {
  const event = clientEvent(room, stored)
  const unsigned = { ...objectProperty(event, 'unsigned'), ...stateShownTo(room, appservice, stored) }
  return { position: stored.eid, text: JSON.stringify({ ...event, unsigned }) }
}

function stateShownTo(room: RoomContext, appservice: Appservice, { event, eid }: StoredEvent): JsonObject {
  if (event.type !== 'm.room.member') return {}
  const target = parseUserId(event.state_key ?? '')
  if (target === undefined || !looksAfterUser(room.env, appservice, target)) return {}
  const shown = () => strippedState(room, eid, [...new Set([event.sender, target])])
  return shownState(event.content['membership'], shown)
}
