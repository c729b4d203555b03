// A sync plan as the answer of /sync. Rooms give finished JSON text; what is left is to put it together.
// Specification: client-server API, "Syncing", 200 response.

import { roomStub, type Env } from '../env.ts'
import type { DeviceLists } from '../hub/device-lists.ts'
import type { KeyCounts } from '../hub/one-time-keys.ts'
import type { PresenceEvent } from '../hub/presence.ts'
import type { JoinedRoom, LeftRoom, OfferedRoom, SyncPlan } from '../hub/sync.ts'
import type { Counts, UnreadCounts } from '../hub/unread.ts'
import { allowsRoom, compileEventFilter } from '../matrix/filter-match.ts'
import { eventLimit, type Filter, syncTimelineBounds } from '../matrix/filter.ts'
import type { JsonObject, JsonValue } from '../matrix/json.ts'
import type { RoomSyncRequest, StateSection } from '../room/sync-room.ts'
import { renderNews } from './sync-news.ts'

export interface SyncView {
  readonly userId: string
  /** Undefined for an application service that acts as none. */
  readonly deviceId?: string | undefined
  readonly filter: Filter
  /** Whether the client syncs on from a token. */
  readonly incremental: boolean
  readonly fullState: boolean
  readonly stateSection: StateSection
}

export interface RenderedSync {
  /** Whether there is anything in it: a client that waits goes on waiting otherwise. */
  readonly content: boolean
  /** Members of the answer as JSON text, each with a comma before it. */
  readonly text: string
}

/** Renders a plan. Asks the rooms that the plan has no events of, all at once. */
export async function renderSync(env: Env, view: SyncView, plan: SyncPlan): Promise<RenderedSync> {
  const allowed = <T extends { roomId: string }>(rooms: readonly T[]) =>
    rooms.filter((room) => allowsRoom(view.filter.room, room.roomId))
  const [join, leave] = await Promise.all([
    renderEach(allowed(plan.join), (room) => joinedRoom(env, view, plan, room)),
    renderEach(allowed(plan.leave), (room) => leftRoom(env, view, plan, room)),
  ])
  const rooms = [
    section('join', join),
    section(
      'invite',
      allowed(plan.invite).map((room) => offeredRoom(room, 'invite_state')),
    ),
    section(
      'knock',
      allowed(plan.knock).map((room) => offeredRoom(room, 'knock_state')),
    ),
    section('leave', leave),
  ].filter(Boolean)
  const accountData = matchingAccountData(view.filter.account_data, plan.accountData)
  const presence = matchingPresence(view.filter.presence, plan.presence)
  const parts = [
    ...(rooms.length > 0 ? [`"rooms":{${rooms.join()}}`] : []),
    ...(accountData.length > 0 ? [`"account_data":{"events":[${accountData.join()}]}`] : []),
    ...(presence.length > 0 ? [`"presence":{"events":[${presence.join()}]}`] : []),
    ...(plan.toDevice.length > 0 ? [`"to_device":{"events":[${plan.toDevice.join()}]}`] : []),
    ...deviceLists(plan.deviceLists),
  ]
  return { content: parts.length > 0, text: parts.map((part) => `,${part}`).join('') }
}

/** How many keys the device has, which goes with every answer. Members as JSON text, each with a comma before it. */
export function renderKeyCounts({ oneTime, unusedFallback }: KeyCounts): string {
  const counts = `"device_one_time_keys_count":${JSON.stringify(oneTime)}`
  return `,${counts},"device_unused_fallback_key_types":${JSON.stringify(unusedFallback)}`
}

function deviceLists({ changed, left }: DeviceLists): string[] {
  return changed.length + left.length === 0 ? [] : [`"device_lists":${JSON.stringify({ changed, left })}`]
}

async function renderEach<T>(rooms: readonly T[], render: (room: T) => Promise<string>): Promise<string[]> {
  const rendered = await Promise.all(rooms.map(render))
  return rendered.filter(Boolean)
}

function section(name: string, rooms: readonly string[]): string {
  return rooms.length === 0 ? '' : `"${name}":{${rooms.join()}}`
}

function matchingAccountData(
  filter: Parameters<typeof compileEventFilter>[0],
  data: readonly { type: string; content: string }[],
): string[] {
  const matches = compileEventFilter(filter)
  return data
    .filter(({ type }) => matches({ type, sender: '', content: {} }))
    .map(({ type, content }) => `{"type":${JSON.stringify(type)},"content":${content}}`)
}

function matchingPresence(filter: Filter['presence'], events: readonly PresenceEvent[]): string[] {
  const matches = compileEventFilter(filter)
  const type = 'm.presence'
  return events
    .filter(({ sender, content }) => matches({ type, sender, content: { ...content } }))
    .map((event) => JSON.stringify({ type, ...event }))
}

async function joinedRoom(env: Env, view: SyncView, plan: SyncPlan, room: JoinedRoom): Promise<string> {
  const { filter } = view
  const quiet = room.from === room.to && !view.fullState
  const news = quiet ? '' : (renderNews(view, plan, room) ?? (await askRoom(env, view, plan, room, true)))
  const ephemeral = matchingEphemeral(view, room)
  const accountData = matchingAccountData(filter.room?.account_data, room.accountData)
  if (news === '' && ephemeral.length === 0 && accountData.length === 0) return ''
  const parts = [
    ...(news === '' ? noState(view) : [news]),
    `"ephemeral":{"events":[${ephemeral.join()}]}`,
    `"account_data":{"events":[${accountData.join()}]}`,
    ...unreadCounts(view, room.unread),
  ]
  return `${JSON.stringify(room.roomId)}:{${parts.join()}}`
}

// Clients see by the section that state comes in it.
function noState({ stateSection }: SyncView): string[] {
  return stateSection === 'state' ? [] : [`"${stateSection}":{"events":[]}`]
}

// Threads are counted apart for clients that ask for it.
function unreadCounts({ filter }: SyncView, unread: UnreadCounts): string[] {
  if (filter.room?.timeline?.unread_thread_notifications !== true) {
    return [`"unread_notifications":${countsText(unread)}`]
  }
  const threads = Object.entries(unread.threads)
  const sum = (pick: (counts: Counts) => number) =>
    threads.reduce((total, [, counts]) => total + pick(counts), 0)
  const main = {
    notifications: unread.notifications - sum(({ notifications }) => notifications),
    highlights: unread.highlights - sum(({ highlights }) => highlights),
  }
  const byThread = threads.map(([root, counts]) => `${JSON.stringify(root)}:${countsText(counts)}`)
  return [
    `"unread_notifications":${countsText(main)}`,
    ...(threads.length > 0 ? [`"unread_thread_notifications":{${byThread.join()}}`] : []),
  ]
}

function countsText({ notifications, highlights }: Counts): string {
  return `{"notification_count":${notifications},"highlight_count":${highlights}}`
}

function matchingEphemeral({ filter }: SyncView, { typing, receipts }: JoinedRoom): string[] {
  const matches = compileEventFilter(filter.room?.ephemeral)
  const events: [string, JsonValue][] = []
  if (typing) events.push(['m.typing', { user_ids: [...typing] }])
  if (receipts) events.push(['m.receipt', receipts])
  return events
    .filter(([type]) => matches({ type, sender: '', content: {} }))
    .map(([type, content]) => JSON.stringify({ type, content }))
}

async function leftRoom(env: Env, view: SyncView, plan: SyncPlan, room: LeftRoom): Promise<string> {
  if (room.event) {
    const event = JSON.stringify(room.event)
    const timeline = `"timeline":{"events":[${event}],"limited":false,"prev_batch":"t${room.to}"}`
    const state = view.stateSection === 'state' ? '' : event
    const parts = [timeline, `"${view.stateSection}":{"events":[${state}]}`, '"account_data":{"events":[]}']
    return `${JSON.stringify(room.roomId)}:{${parts.join()}}`
  }
  // Who only turned down an invite is told of the leaving alone.
  const range = room.wasJoined ? room : { ...room, from: room.to - 1 }
  const text = await askRoom(env, view, plan, range, false)
  return `${JSON.stringify(room.roomId)}:{${text},"account_data":{"events":[]}}`
}

function askRoom(
  env: Env,
  view: SyncView,
  plan: SyncPlan,
  room: JoinedRoom | LeftRoom,
  joined: boolean,
): Promise<string> {
  const { filter } = view
  const request: RoomSyncRequest = {
    userId: view.userId,
    deviceId: view.deviceId,
    ...(room.from === undefined ? {} : { from: room.from }),
    to: room.to,
    joined,
    joinedThroughout: joined && room.from !== undefined,
    newlyJoined: joined && room.from === undefined && view.incremental,
    fullState: view.fullState,
    stateSection: view.stateSection,
    limit: eventLimit(filter.room?.timeline, syncTimelineBounds),
    ...(filter.room?.timeline ? { timeline: filter.room.timeline } : {}),
    ...(filter.room?.state ? { state: filter.room.state } : {}),
    lazyLoadMembers: filter.room?.state?.lazy_load_members ?? false,
    ...(filter.event_fields ? { eventFields: filter.event_fields } : {}),
    federationFormat: filter.event_format === 'federation',
    ignored: plan.ignored,
  }
  return roomStub(env, room.roomId).syncRoom(request)
}

function offeredRoom({ roomId, stripped }: OfferedRoom, key: 'invite_state' | 'knock_state'): string {
  const events: readonly JsonObject[] = stripped
  return `${JSON.stringify(roomId)}:{"${key}":{"events":${JSON.stringify(events)}}}`
}
