// A room's part of sliding sync from the newest events in the Hub's memory, without asking the room.

import { memberToAsk, type SeenNews } from '../hub/seen-news.ts'
import type { SlidingRoom } from '../hub/sliding-sync-room.ts'
import { stringProperty, type JsonObject } from '../matrix/json.ts'
import { loadsMembersLazily, type RequiredState, stateMatch } from '../matrix/required-state.ts'
import { sendersMember, withViewer } from './sync-news.ts'

export interface NewsView {
  readonly userId: string
  readonly deviceId: string
  readonly required: readonly RequiredState[]
  readonly ignored: readonly string[]
}

const naming: ReadonlySet<unknown> = new Set(['m.room.name', 'm.room.avatar'])

/**
 * The members of the room's result as JSON text without braces, empty where there is nothing to show, or undefined where
 * the room must be asked: no events in memory, or more of them than the timeline takes.
 */
export function slidingNews(view: NewsView, { part }: SlidingRoom): string | undefined {
  if (!part?.news) return undefined
  const { news, liveAfter } = part
  // What the room is called, it says itself: heroes may go with it.
  if (news.some(({ event }) => naming.has(event['type']))) return undefined
  const shown = news.filter(({ event, sender }) => 'state_key' in event || !view.ignored.includes(sender))
  if (shown.length > part.timelineLimit) return undefined
  if (shown.length === 0) return ''
  const lazy = loadsMembersLazily(view.required)
  if (lazy && shown.some(({ senderMember }) => senderMember === memberToAsk)) return undefined
  const state = requiredState(view, shown)
  const live = liveAfter === undefined ? 0 : shown.filter(({ to }) => to > liveAfter).length
  return [
    ...(state.length > 0 ? [`"required_state":${JSON.stringify(state)}`] : []),
    `"timeline":${JSON.stringify(shown.map((item) => withViewer(view, item)))}`,
    `"prev_batch":"t${part.from ?? 0}"`,
    '"limited":false',
    `"num_live":${live}`,
  ].join()
}

function requiredState(view: NewsView, news: readonly SeenNews[]): JsonObject[] {
  const { required } = view
  const wanted = stateMatch(required)
  const slots = new Map<string, JsonObject>()
  const note = (event: JsonObject) => slots.set(JSON.stringify([event['type'], event['state_key']]), event)
  for (const item of news) {
    const { event } = item
    if (loadsMembersLazily(required)) sendersMember(item).forEach(note)
    const key = stringProperty(event, 'state_key')
    if (key !== undefined && wanted(stringProperty(event, 'type') ?? '', key)) note(withViewer(view, item))
  }
  return [...slots.values()]
}
