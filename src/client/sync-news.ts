// A room's part of /sync from the newest events in the Hub's memory, without asking the room.

import type { JoinedRoom, SyncPlan } from '../hub/sync.ts'
import { memberToAsk, type SeenNews } from '../hub/seen-news.ts'
import { compileEventFilter, projectFields } from '../matrix/filter-match.ts'
import { eventLimit, syncTimelineBounds } from '../matrix/filter.ts'
import { objectProperty, type JsonObject } from '../matrix/json.ts'
import { delayIdField } from '../room/client-event.ts'
import type { SyncView } from './sync-render.ts'

/**
 * Timeline and state as JSON text, or undefined where the room must be asked: no events in memory, more of them than
 * the timeline takes, or a form that only the room can give.
 */
export function renderNews(view: SyncView, plan: SyncPlan, room: JoinedRoom): string | undefined {
  const { filter } = view
  if (!room.news || filter.event_format === 'federation') return undefined
  const matches = compileEventFilter(filter.room?.timeline)
  const { roomId } = room
  const shown = room.news.filter(({ event, sender }) => {
    const isState = 'state_key' in event
    return (
      (isState || !plan.ignored.includes(sender)) && matches({ ...facts(event, sender), room_id: roomId })
    )
  })
  if (shown.length > eventLimit(filter.room?.timeline, syncTimelineBounds)) return undefined
  const render = (event: JsonObject) =>
    JSON.stringify(filter.event_fields ? projectFields(event, filter.event_fields) : event)
  const state = stateEvents(view, room.news, shown, roomId)
  if (!state) return undefined
  if (shown.length === 0 && state.length === 0) return ''
  const timeline = shown.map((news) => render(withViewer(view, news)))
  return [
    `"timeline":{"events":[${timeline.join()}],"limited":false,"prev_batch":"t${room.from ?? 0}"}`,
    `"${view.stateSection}":{"events":[${state.map(render).join()}]}`,
  ].join()
}

function facts(event: JsonObject, sender: string) {
  const type = event['type']
  return {
    type: typeof type === 'string' ? type : '',
    sender,
    content: objectProperty(event, 'content') ?? {},
  }
}

// State of the range that the timeline does not carry, and the members of its senders where they are loaded lazily.
function stateEvents(
  view: SyncView,
  news: readonly SeenNews[],
  shown: readonly SeenNews[],
  roomId: string,
): JsonObject[] | undefined {
  const { filter, stateSection } = view
  const matches = compileEventFilter(filter.room?.state)
  const missing = news
    .filter((item) => 'state_key' in item.event && (stateSection !== 'state' || !shown.includes(item)))
    .filter((item) => matches({ ...facts(item.event, item.sender), room_id: roomId }))
    .map((item) => withViewer(view, item))
  const lastOfSlot = new Map(
    missing.map((event) => [JSON.stringify([event['type'], event['state_key']]), event]),
  )
  const lazy = filter.room?.state?.lazy_load_members ?? false
  if (lazy && shown.some(({ senderMember }) => senderMember === memberToAsk)) return undefined
  const members = lazy ? shown.flatMap(sendersMember) : []
  const bySender = new Map(members.map((member) => [member['state_key'], member]))
  return [...lastOfSlot.values(), ...bySender.values()]
}

/** The member event of the sender, where there is one. */
export function sendersMember({ senderMember }: SeenNews): JsonObject[] {
  if (senderMember === undefined || senderMember === memberToAsk) return []
  return [
    { ...senderMember, unsigned: { ...objectProperty(senderMember, 'unsigned'), age: ageOf(senderMember) } },
  ]
}

function ageOf(event: JsonObject): number {
  const sent = event['origin_server_ts']
  return typeof sent === 'number' ? Math.max(0, Date.now() - sent) : 0
}

/** The event of news as one of the room's members gets it, on one of their devices. */
export function withViewer(
  { userId, deviceId }: Pick<SyncView, 'userId' | 'deviceId'>,
  { event, sender, transaction, delayId }: SeenNews,
): JsonObject {
  const own = transaction?.userId === userId && transaction.deviceId === deviceId
  return {
    ...event,
    unsigned: {
      ...objectProperty(event, 'unsigned'),
      age: ageOf(event),
      // Only a room's members get its news this way.
      membership: 'join',
      ...(own ? { transaction_id: transaction.txnId } : {}),
      ...(delayId !== undefined && sender === userId ? { [delayIdField]: delayId } : {}),
    },
  }
}
