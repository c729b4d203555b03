// A plan as the answer of sliding sync. Rooms give finished JSON text; what is left is to put it together.
// Specification: MSC4186 (simplified sliding sync), "Response Body", and its list of changes from the deployed form.

import { roomStub, type Env } from '../env.ts'
import type { KeyCounts } from '../hub/one-time-keys.ts'
import type { ExtensionNews } from '../hub/sliding-sync-extensions.ts'
import type { SlidingSyncRequest } from '../hub/sliding-sync-request.ts'
import type { SlidingRoom } from '../hub/sliding-sync-room.ts'
import type { SlidingPlan } from '../hub/sliding-sync.ts'
import type { JsonObject } from '../matrix/json.ts'
import type { RequiredState } from '../matrix/required-state.ts'
import { slidingNews } from './sliding-sync-news.ts'
import { subscriptionsByRoom } from './thread-subscriptions.ts'

/** As accepted, or as clients have used it while it was a proposal. */
export type SlidingForm = 'accepted' | 'deployed'

export interface RenderedRooms {
  /** Whether there is anything to tell in them. */
  readonly content: boolean
  /** Members of `rooms` as JSON text. */
  readonly text: string
}

/** Renders the rooms of a plan. Asks those that the plan has no events of, all at once. */
export async function renderSlidingRooms(
  env: Env,
  form: SlidingForm,
  request: SlidingSyncRequest,
  plan: SlidingPlan,
): Promise<RenderedRooms> {
  const rooms = await Promise.all(plan.rooms.map((room) => renderRoom(env, form, request, plan, room)))
  const told = rooms.filter((text) => text !== '')
  return { content: told.length > 0, text: told.join() }
}

async function renderRoom(
  env: Env,
  form: SlidingForm,
  request: SlidingSyncRequest,
  plan: SlidingPlan,
  room: SlidingRoom,
): Promise<string> {
  const required = (room.part?.required ?? []).flatMap((place) => request.required[place] ?? [])
  const text = room.part ? await renderPart(env, form, request, plan, room, required) : ''
  if (text === '' && !room.telling) return ''
  const parts = [
    ...(room.initial ? ['"initial":true'] : []),
    ...common(form, room),
    ...(room.stripped ? [strippedState(form, room, room.stripped)] : []),
    ...(text === '' ? [] : [text]),
  ]
  return `${JSON.stringify(room.roomId)}:{${parts.join()}}`
}

function common(form: SlidingForm, room: SlidingRoom): string[] {
  const parts = [`"bump_stamp":${room.bumpStamp}`]
  if (room.isDm || room.telling) parts.push(`"is_dm":${room.isDm}`)
  if (form === 'accepted') {
    parts.push(`"membership":${JSON.stringify(room.membership)}`)
    if (room.lists.length > 0) parts.push(`"lists":${JSON.stringify(room.lists)}`)
  } else if (room.unread) {
    const { notifications, highlights } = room.unread
    parts.push(`"notification_count":${notifications}`, `"highlight_count":${highlights}`)
  }
  return parts
}

// Deployed clients take rooms with stripped state for invites: the end of one is the one event that they see of the room.
function strippedState(
  form: SlidingForm,
  { membership }: SlidingRoom,
  stripped: readonly JsonObject[],
): string {
  const events = JSON.stringify(stripped)
  if (form === 'accepted') return `"stripped_state":${events}`
  const offered = membership === 'invite' || membership === 'knock'
  return offered
    ? `"invite_state":${events}`
    : `"required_state":${events},"timeline":${events},"limited":false,"num_live":0`
}

async function renderPart(
  env: Env,
  form: SlidingForm,
  { userId, deviceId }: SlidingSyncRequest,
  { ignored }: SlidingPlan,
  room: SlidingRoom,
  required: readonly RequiredState[],
): Promise<string> {
  const { part } = room
  if (!part) return ''
  const remembered = slidingNews({ userId, deviceId, required, ignored }, room)
  if (remembered !== undefined) return remembered
  const { news: _, ...range } = part
  return await roomStub(env, room.roomId).slidingSyncRoom({
    ...range,
    userId,
    deviceId,
    joined: room.membership === 'join',
    required,
    ignored,
    form,
  })
}

/** The extensions of a plan as JSON text; with key counts, which go with every answer where they are asked for. */
export function renderExtensions(
  { extensions: asked }: SlidingSyncRequest,
  news: ExtensionNews,
  keyCounts: KeyCounts | undefined,
): string {
  const parts = {
    to_device: news.toDevice && {
      next_batch: `${news.toDevice.nextBatch}`,
      events: news.toDevice.events.map(parsed),
    },
    e2ee: asked.e2ee && encryption(news, keyCounts),
    account_data: news.accountData && {
      global: news.accountData.global.map(accountDataEvent),
      rooms: Object.fromEntries(
        [...Map.groupBy(news.accountData.rooms, ({ roomId }) => roomId)].map(([roomId, data]) => [
          roomId,
          data.map(accountDataEvent),
        ]),
      ),
    },
    receipts: news.receipts && {
      rooms: Object.fromEntries(
        news.receipts.map(({ roomId, content }) => [roomId, { type: 'm.receipt', content }]),
      ),
    },
    typing: news.typing && {
      rooms: Object.fromEntries(
        news.typing.map(({ roomId, userIds }) => [
          roomId,
          { type: 'm.typing', content: { user_ids: userIds } },
        ]),
      ),
    },
  }
  return JSON.stringify({ ...parts, ...threadSubscriptions(news) })
}

function threadSubscriptions({ threadSubscriptions: news }: ExtensionNews): JsonObject {
  if (!news || news.changes.length === 0) return {}
  const { before } = news
  const more = before === undefined ? {} : { prev_batch: `${before}` }
  return { 'io.element.msc4308.thread_subscriptions': { ...subscriptionsByRoom(news), ...more } }
}

function encryption({ deviceLists }: ExtensionNews, keyCounts: KeyCounts | undefined) {
  const lists = deviceLists && deviceLists.changed.length + deviceLists.left.length > 0
  return {
    ...(lists ? { device_lists: deviceLists } : {}),
    ...(keyCounts
      ? {
          device_one_time_keys_count: keyCounts.oneTime,
          device_unused_fallback_key_types: keyCounts.unusedFallback,
        }
      : {}),
  }
}

// Written by this server's own Hub as JSON text.
function parsed(text: string): unknown {
  return JSON.parse(text)
}

function accountDataEvent({ type, content }: { readonly type: string; readonly content: string }) {
  return { type, content: parsed(content) }
}
