// The request of a sliding sync in its two forms: as accepted, and as clients have sent it while it was a proposal.
// Specification: MSC4186 (simplified sliding sync), "Request Body", and its list of changes from the deployed form.

import * as v from 'valibot'
import { MatrixError } from '../errors.ts'
import { checked } from '../http/json-body.ts'
import type {
  ExtensionRooms,
  RoomConfig,
  RoomListFilters,
  SlidingExtensions,
  SlidingSyncRequest,
} from '../hub/sliding-sync-request.ts'
import { syncTimelineBounds } from '../matrix/filter.ts'
import { isOpaqueId, parseRoomId } from '../matrix/identifiers.ts'
import type { JsonObject } from '../matrix/json.ts'
import type { RequiredState, StatePattern } from '../matrix/required-state.ts'
import { threadSubscriptionCounts } from './thread-subscriptions.ts'

/** What a client wishes, in the form that the Hub takes. */
export type SlidingWishes = Pick<SlidingSyncRequest, 'required' | 'lists' | 'subscriptions' | 'extensions'>

const mostLists = 100
const mostSubscriptions = 100
// A request that waits goes to the Hub in a header.
const longestWishes = 96 * 1024

const whole = v.pipe(v.number(), v.integer(), v.minValue(0))
const strings = v.nullish(v.array(v.string()))
const flag = v.nullish(v.boolean())
const range = v.tuple([whole, whole])
const types = v.nullish(v.array(v.nullable(v.string())))

const filters = {
  is_dm: flag,
  spaces: strings,
  is_encrypted: flag,
  room_types: types,
  not_room_types: types,
  tags: strings,
  not_tags: strings,
}

const extensionRooms = v.nullish(v.object({ enabled: flag, lists: strings, rooms: strings }))
const extensions = v.nullish(
  v.object({
    to_device: v.nullish(
      v.object({
        enabled: flag,
        limit: v.nullish(v.pipe(v.number(), v.integer(), v.minValue(1))),
        since: v.nullish(v.pipe(v.string(), v.regex(/^\d{1,15}$/, 'not a token of this server'))),
      }),
    ),
    e2ee: v.nullish(v.object({ enabled: flag })),
    account_data: extensionRooms,
    receipts: extensionRooms,
    typing: extensionRooms,
    // MSC4308, which has this name in both forms.
    'io.element.msc4308.thread_subscriptions': v.nullish(
      v.object({ enabled: flag, limit: v.nullish(v.pipe(v.number(), v.integer(), v.minValue(1))) }),
    ),
  }),
)

const deployedConfig = {
  timeline_limit: whole,
  required_state: v.nullish(v.array(v.tuple([v.string(), v.string()]))),
}
const deployedSchema = v.object({
  conn_id: v.nullish(v.pipe(v.string(), v.maxLength(255))),
  txn_id: v.nullish(v.string()),
  pos: v.nullish(v.string()),
  lists: v.nullish(
    v.record(
      v.string(),
      v.object({
        ...deployedConfig,
        ranges: v.nullish(v.array(range)),
        filters: v.nullish(v.object({ ...filters, is_invite: flag })),
      }),
    ),
  ),
  room_subscriptions: v.nullish(v.record(v.string(), v.object(deployedConfig))),
  extensions,
})

const pattern = v.object({ type: v.nullish(v.string()), state_key: v.nullish(v.string()) })
const acceptedConfig = {
  timeline_limit: whole,
  required_state: v.object({
    include: v.nullish(v.array(pattern)),
    exclude: v.nullish(v.array(pattern)),
    lazy_members: flag,
  }),
}
const acceptedSchema = v.object({
  conn_id: v.nullish(v.pipe(v.string(), v.maxLength(255))),
  pos: v.nullish(v.string()),
  timeout: v.nullish(whole),
  set_presence: v.nullish(v.picklist(['offline', 'online', 'unavailable'])),
  lists: v.nullish(
    v.record(
      v.string(),
      v.object({
        ...acceptedConfig,
        range: v.nullish(range),
        filters: v.nullish(v.object({ ...filters, is_invited: flag })),
      }),
    ),
  ),
  room_subscriptions: v.nullish(v.record(v.string(), v.object(acceptedConfig))),
  extensions,
})

/** The body as accepted by the proposal. M_INVALID_PARAM and M_MISSING_PARAM name the field. */
export function acceptedBody(body: JsonObject) {
  return checked(acceptedSchema, body, 'M_INVALID_PARAM')
}

/** The body as deployed clients send it. M_INVALID_PARAM and M_MISSING_PARAM name the field. */
export function deployedBody(body: JsonObject) {
  return checked(deployedSchema, body, 'M_INVALID_PARAM')
}

/** The wishes of an accepted body. M_INVALID_PARAM, M_TOO_LARGE. */
export function acceptedWishes(body: ReturnType<typeof acceptedBody>): SlidingWishes {
  const required = stateWishes()
  const config = (one: v.InferOutput<v.ObjectSchema<typeof acceptedConfig, undefined>>): RoomConfig => ({
    timelineLimit: Math.min(one.timeline_limit, syncTimelineBounds.max),
    required: required.place({
      include: (one.required_state.include ?? []).map(statePattern),
      exclude: (one.required_state.exclude ?? []).map(statePattern),
      lazyMembers: one.required_state.lazy_members ?? false,
    }),
  })
  if (Object.keys(body.room_subscriptions ?? {}).length > mostSubscriptions) {
    throw new MatrixError('M_INVALID_PARAM', 400, 'room_subscriptions has too many rooms')
  }
  const lists = Object.entries(body.lists ?? {}).map(([name, list]) => {
    if (!isOpaqueId(name)) {
      throw new MatrixError('M_INVALID_PARAM', 400, 'lists has a key that is not an opaque identifier')
    }
    return {
      name,
      ...config(list),
      ...(list.range ? { ranges: [list.range] } : {}),
      ...listFilters(list.filters, list.filters?.is_invited),
    }
  })
  return bounded({
    lists,
    subscriptions: subscriptions(body.room_subscriptions, config),
    extensions: extensionWishes(body.extensions),
    required: required.all,
  })
}

/** The wishes of a deployed body of a user. M_INVALID_PARAM, M_TOO_LARGE. */
export function deployedWishes(body: ReturnType<typeof deployedBody>, userId: string): SlidingWishes {
  const required = stateWishes()
  const config = (one: v.InferOutput<v.ObjectSchema<typeof deployedConfig, undefined>>): RoomConfig => ({
    timelineLimit: Math.min(one.timeline_limit, syncTimelineBounds.max),
    required: required.place(deployedState(one.required_state ?? [], userId)),
  })
  const lists = Object.entries(body.lists ?? {}).map(([name, list]) => ({
    name,
    ...config(list),
    ...(list.ranges ? { ranges: list.ranges } : {}),
    ...listFilters(list.filters, list.filters?.is_invite),
  }))
  return bounded({
    lists,
    subscriptions: subscriptions(body.room_subscriptions, config),
    extensions: extensionWishes(body.extensions),
    required: required.all,
  })
}

// Pairs of type and state key in which `*` stands for any, `$ME` for the user, and `$LAZY` for the members that the
// timeline needs.
function deployedState(pairs: readonly (readonly [string, string])[], userId: string): RequiredState {
  const isLazy = ([type, key]: readonly [string, string]) => type === 'm.room.member' && key === '$LAZY'
  const allMembers = pairs.some(([type, key]) => type === 'm.room.member' && key === '*')
  return {
    include: pairs
      .filter((pair) => !isLazy(pair))
      .map(([type, key]) => ({
        ...(type === '*' ? {} : { type }),
        ...(key === '*' ? {} : { stateKey: key === '$ME' ? userId : key }),
      })),
    exclude: [],
    lazyMembers: !allMembers && pairs.some(isLazy),
  }
}

function statePattern({ type, state_key: stateKey }: v.InferOutput<typeof pattern>): StatePattern {
  return {
    ...(typeof type === 'string' ? { type } : {}),
    ...(typeof stateKey === 'string' ? { stateKey } : {}),
  }
}

/** Keeps equal wishes for state once: lists and subscriptions mostly ask for the same. */
function stateWishes() {
  const all: RequiredState[] = []
  const places = new Map<string, number>()
  const place = (wish: RequiredState): number => {
    const key = JSON.stringify(wish)
    const known = places.get(key) ?? all.push(wish) - 1
    places.set(key, known)
    return known
  }
  return { all, place }
}

function listFilters(
  given: v.InferOutput<v.NullishSchema<v.ObjectSchema<typeof filters, undefined>, undefined>>,
  isInvited: boolean | null | undefined,
): { filters?: RoomListFilters } {
  if (!given) return {}
  const all = {
    isDm: given.is_dm,
    spaces: given.spaces,
    isEncrypted: given.is_encrypted,
    isInvited,
    roomTypes: given.room_types,
    notRoomTypes: given.not_room_types,
    tags: given.tags,
    notTags: given.not_tags,
  }
  const set = Object.entries(all).filter(([, value]) => value !== undefined && value !== null)
  // What is left has the types of the fields.
  return { filters: Object.fromEntries(set) as RoomListFilters }
}

function subscriptions<T>(
  given: Record<string, T> | null | undefined,
  config: (one: T) => RoomConfig,
): SlidingWishes['subscriptions'] {
  return Object.entries(given ?? {}).flatMap(([id, one]) => {
    const roomId = parseRoomId(id)
    return roomId ? [{ roomId, ...config(one) }] : []
  })
}

function extensionWishes(given: v.InferOutput<typeof extensions>): SlidingExtensions {
  const { to_device: toDevice, e2ee } = given ?? {}
  const since = toDevice?.since ?? undefined
  const limit = toDevice?.limit ?? undefined
  const threads = given?.['io.element.msc4308.thread_subscriptions']
  const { usual, most } = threadSubscriptionCounts
  return {
    ...(toDevice?.enabled
      ? {
          toDevice: {
            ...(since === undefined ? {} : { since: Number(since) }),
            ...(limit === undefined ? {} : { limit }),
          },
        }
      : {}),
    ...(e2ee?.enabled ? { e2ee: true } : {}),
    ...roomExtension('accountData', given?.account_data),
    ...roomExtension('receipts', given?.receipts),
    ...roomExtension('typing', given?.typing),
    ...(threads?.enabled ? { threadSubscriptions: { limit: Math.min(threads.limit ?? usual, most) } } : {}),
  }
}

function roomExtension<K extends 'accountData' | 'receipts' | 'typing'>(
  name: K,
  given: v.InferOutput<typeof extensionRooms>,
): { [P in K]?: ExtensionRooms } {
  if (!given?.enabled) return {}
  const rooms: ExtensionRooms = {
    ...(given.lists ? { lists: given.lists } : {}),
    ...(given.rooms ? { rooms: given.rooms } : {}),
  }
  return { [name]: rooms } as { [P in K]: ExtensionRooms }
}

function bounded(wishes: SlidingWishes): SlidingWishes {
  if (wishes.lists.length > mostLists)
    throw new MatrixError('M_INVALID_PARAM', 400, 'lists has too many lists')
  if (encodeURIComponent(JSON.stringify(wishes)).length > longestWishes) {
    throw new MatrixError('M_TOO_LARGE', 413, 'lists and room_subscriptions ask for too much')
  }
  return wishes
}
