// What a filter lets through, and which fields of it. Specification: client-server API, "Filtering".

import type { EventFilter, RoomEventFilter } from './filter.ts'
import { compileGlob, type Glob, matchesGlob } from './glob.ts'
import { isJsonObject, type JsonObject, type JsonValue, objectProperty, stringProperty } from './json.ts'
import { parsePropertyPath } from './property-path.ts'

/** What filters look at. Account data and ephemeral events have no sender, presence has no room. */
export interface FilterableEvent {
  readonly type: string
  readonly sender?: string
  readonly room_id?: string
  readonly content: JsonObject
}

/** Whether a filter lets an event through. Limits are not looked at. */
export function matchesEvent(filter: RoomEventFilter | undefined, event: FilterableEvent): boolean {
  return compileEventFilter(filter)(event)
}

/** `matchesEvent` for many events: the lists are compiled once. No filter lets everything through. */
export function compileEventFilter(filter: RoomEventFilter | undefined): (event: FilterableEvent) => boolean {
  if (filter === undefined) return () => true
  const allowsSender = listed(filter.senders, filter.not_senders)
  const allowsRoomId = listed(filter.rooms, filter.not_rooms)
  const allowsType = typesListed(filter)
  const allowsRelation = listed(
    filter['org.matrix.msc3874.rel_types'],
    filter['org.matrix.msc3874.not_rel_types'],
  )
  return (event) =>
    allowsType(event.type) &&
    allowsSender(event.sender) &&
    allowsRoomId(event.room_id) &&
    allowsRelation(relTypeOf(event)) &&
    (filter.contains_url === undefined || filter.contains_url === Object.hasOwn(event.content, 'url'))
}

function relTypeOf({ content }: FilterableEvent): string | undefined {
  return stringProperty(objectProperty(content, 'm.relates_to'), 'rel_type')
}

/** Whether the `rooms` and `not_rooms` of a filter let a room through. */
export function allowsRoom(
  filter: Pick<RoomEventFilter, 'rooms' | 'not_rooms'> | undefined,
  roomId: string,
): boolean {
  return listed(filter?.rooms, filter?.not_rooms)(roomId)
}

/** Whether a value is in the list, where there is one, and not in the other. An absent value is in no list. */
function listed(
  included: readonly string[] | undefined,
  excluded: readonly string[] | undefined,
): (value: string | undefined) => boolean {
  const wanted = included && new Set<string | undefined>(included)
  const unwanted = new Set<string | undefined>(excluded)
  return (value) => !unwanted.has(value) && (wanted === undefined || wanted.has(value))
}

function typesListed({ types, not_types: notTypes }: EventFilter): (type: string) => boolean {
  const wanted = types?.map(compileType)
  const unwanted = (notTypes ?? []).map(compileType)
  return (type) => {
    const matches = (glob: Glob) => matchesGlob(glob, type)
    return !unwanted.some(matches) && (wanted === undefined || wanted.some(matches))
  }
}

function compileType(pattern: string): Glob {
  return compileGlob(pattern, { starOnly: true })
}

/** The wanted properties: `'whole'`, or those wanted of an object. */
type Wanted = 'whole' | Map<string, Wanted>

/** The parts of an event that `event_fields` names. Paths that lead nowhere are ignored. */
export function projectFields(event: JsonObject, fields: readonly string[]): JsonObject {
  const wanted = new Map<string, Wanted>()
  for (const field of fields) addWanted(wanted, parsePropertyPath(field))
  return project(event, wanted)
}

function addWanted(wanted: Map<string, Wanted>, names: readonly string[]): void {
  let level = wanted
  for (const name of names.slice(0, -1)) {
    const known = level.get(name)
    if (known === 'whole') return
    const inner = known ?? new Map<string, Wanted>()
    level.set(name, inner)
    level = inner
  }
  level.set(names.at(-1) ?? '', 'whole')
}

function project(object: JsonObject, wanted: Map<string, Wanted>): JsonObject {
  const kept: [string, JsonValue][] = []
  for (const [key, value] of Object.entries(object)) {
    const inner = wanted.get(key)
    if (inner === 'whole') kept.push([key, value])
    else if (inner !== undefined && isJsonObject(value)) {
      const part = project(value, inner)
      if (Object.keys(part).length > 0) kept.push([key, part])
    }
  }
  // fromEntries defines own properties, so that a key "__proto__" stays a plain key.
  return Object.fromEntries(kept)
}
