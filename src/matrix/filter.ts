// Filters of events. Specification: client-server API, "Filtering" and the filter endpoints.

import { isJsonObject, type JsonValue, property } from './json.ts'

/** Selects events by sender and type. An absent list lets everything through; the `not_` lists win. */
export interface EventFilter {
  /** At most this many events; see `eventLimit`. */
  readonly limit?: number
  readonly senders?: readonly string[]
  readonly not_senders?: readonly string[]
  /** Event types, in which `*` stands for any run of characters. */
  readonly types?: readonly string[]
  readonly not_types?: readonly string[]
}

export interface RoomEventFilter extends EventFilter {
  readonly rooms?: readonly string[]
  readonly not_rooms?: readonly string[]
  /** true: only events with a `url` in their content; false: only those without. */
  readonly contains_url?: boolean
  readonly lazy_load_members?: boolean
  readonly include_redundant_members?: boolean
  readonly unread_thread_notifications?: boolean
  /** MSC3874: only events that relate to others in one of these ways, or in none of these. */
  readonly 'org.matrix.msc3874.rel_types'?: readonly string[]
  readonly 'org.matrix.msc3874.not_rel_types'?: readonly string[]
}

export type StateFilter = RoomEventFilter

export interface RoomFilter {
  readonly rooms?: readonly string[]
  readonly not_rooms?: readonly string[]
  readonly include_leave?: boolean
  readonly state?: StateFilter
  readonly timeline?: RoomEventFilter
  readonly ephemeral?: RoomEventFilter
  readonly account_data?: RoomEventFilter
}

/** A filter as uploaded; keys that are not known are kept but mean nothing. */
export interface Filter {
  /** Dot-separated paths of the event properties to send; see `projectFields`. */
  readonly event_fields?: readonly string[]
  readonly event_format?: 'client' | 'federation'
  readonly presence?: EventFilter
  readonly account_data?: EventFilter
  readonly room?: RoomFilter
}

/** A filter that cannot be used. `field` is the path of the offending field, empty for the filter itself. */
export class FilterError extends Error {
  readonly field: string

  constructor(field: string, message: string) {
    super(message)
    this.name = 'FilterError'
    this.field = field
  }
}

/** Throws a FilterError naming `field` if the value cannot be used. */
type Check = (value: JsonValue, field: string) => void

const eventFilter: Readonly<Record<keyof EventFilter, Check>> = {
  // The specification asks for more than 0, but many clients send 0 to be spared the timeline.
  limit: ensure(
    (value) => Number.isSafeInteger(value) && Number(value) >= 0,
    'must be an integer, 0 or more',
  ),
  senders: listOf(isStartingWith('@'), 'user ids'),
  not_senders: listOf(isStartingWith('@'), 'user ids'),
  types: listOf(isString, 'strings'),
  not_types: listOf(isString, 'strings'),
}
const roomEventFilter: Readonly<Record<keyof RoomEventFilter, Check>> = {
  ...eventFilter,
  rooms: listOf(isStartingWith('!'), 'room ids'),
  not_rooms: listOf(isStartingWith('!'), 'room ids'),
  contains_url: ensure(isBoolean, 'must be a boolean'),
  lazy_load_members: ensure(isBoolean, 'must be a boolean'),
  include_redundant_members: ensure(isBoolean, 'must be a boolean'),
  unread_thread_notifications: ensure(isBoolean, 'must be a boolean'),
  'org.matrix.msc3874.rel_types': listOf(isString, 'strings'),
  'org.matrix.msc3874.not_rel_types': listOf(isString, 'strings'),
}
const roomFilter: Readonly<Record<keyof RoomFilter, Check>> = {
  rooms: roomEventFilter.rooms,
  not_rooms: roomEventFilter.not_rooms,
  include_leave: ensure(isBoolean, 'must be a boolean'),
  state: objectOf(roomEventFilter),
  timeline: objectOf(roomEventFilter),
  ephemeral: objectOf(roomEventFilter),
  account_data: objectOf(roomEventFilter),
}
const filter: Readonly<Record<keyof Filter, Check>> = {
  event_fields: listOf(isString, 'strings'),
  event_format: ensure(
    (value) => value === 'client' || value === 'federation',
    'must be "client" or "federation"',
  ),
  presence: objectOf(eventFilter),
  account_data: objectOf(eventFilter),
  room: objectOf(roomFilter),
}

/** Checks an uploaded or inline filter. Throws FilterError. */
export function parseFilter(json: unknown): Filter {
  objectOf(filter)(json as JsonValue, '')
  return json as Filter
}

/** Checks the filter that /messages, /context and /search take. Throws FilterError. */
export function parseRoomEventFilter(json: unknown): RoomEventFilter {
  objectOf(roomEventFilter)(json as JsonValue, '')
  return json as RoomEventFilter
}

/** How many events an endpoint gives: what the filter asks for, within the endpoint's own default and maximum. */
export function eventLimit(
  wanted: EventFilter | undefined,
  bounds: { readonly default: number; readonly max: number },
): number {
  return Math.min(wanted?.limit ?? bounds.default, bounds.max)
}

/** The bounds of the timeline of one room in a sync. */
export const syncTimelineBounds = { default: 10, max: 100 } as const

function objectOf(checks: Readonly<Record<string, Check>>): Check {
  return (value, field) => {
    if (!isJsonObject(value)) throw new FilterError(field, `${field || 'filter'} must be an object`)
    for (const [key, check] of Object.entries(checks)) {
      const inner: JsonValue | undefined = property(value, key)
      if (inner !== undefined) check(inner, field === '' ? key : `${field}.${key}`)
    }
  }
}

function listOf(isEntry: (value: unknown) => boolean, entries: string): Check {
  return ensure((value) => Array.isArray(value) && value.every(isEntry), `must be a list of ${entries}`)
}

function ensure(isValid: (value: JsonValue) => boolean, demand: string): Check {
  return (value, field) => {
    if (!isValid(value)) throw new FilterError(field, `${field} ${demand}`)
  }
}

function isString(value: unknown): value is string {
  return typeof value === 'string'
}

function isBoolean(value: unknown): value is boolean {
  return typeof value === 'boolean'
}

function isStartingWith(sigil: string): (value: unknown) => boolean {
  return (value) => isString(value) && value.startsWith(sigil)
}
