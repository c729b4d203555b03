// The children of spaces: what of an m.space.child event counts, and in which order they come.
// Specification: client-server API, "Spaces", m.space.child, "Ordering of children within a space".

import type { RoomId, ServerName } from './event.ts'
import { parseRoomId, parseServerName } from './identifiers.ts'
import { type JsonObject, objectProperty, property, stringProperty } from './json.ts'

export const spaceChildType = 'm.space.child'
/** The room type of spaces. */
export const spaceType = 'm.space'

export interface SpaceChild {
  readonly roomId: RoomId
  /** Servers that may know the room. */
  readonly via: readonly ServerName[]
  readonly suggested: boolean
  readonly order: string | undefined
  /** When the child was added, in milliseconds. */
  readonly timestamp: number
}

const orderShape = /^[\x20-\x7e]{1,50}$/

/** A child as its event says, undefined for an event that makes no room a child. */
export function parseSpaceChild(event: JsonObject): SpaceChild | undefined {
  if (property(event, 'type') !== spaceChildType) return undefined
  const roomId = parseRoomId(stringProperty(event, 'state_key') ?? '')
  const content = objectProperty(event, 'content')
  const via = property(content, 'via')
  // Without servers to join through, or with something else in their place, the room is no child (any more).
  if (roomId === undefined || !Array.isArray(via) || via.length === 0) return undefined
  if (!via.every((name) => typeof name === 'string')) return undefined
  const order = stringProperty(content, 'order')
  const timestamp = property(event, 'origin_server_ts')
  return {
    roomId,
    via: via.map(parseServerName).filter((name) => name !== undefined),
    suggested: property(content, 'suggested') === true,
    // An order that is none is as if it were not there.
    order: order !== undefined && orderShape.test(order) ? order : undefined,
    timestamp: typeof timestamp === 'number' ? timestamp : 0,
  }
}

/** The order of the children of a space: by `order`, those without one last, then by age, then by room id. */
export function compareChildren(a: SpaceChild, b: SpaceChild): number {
  if (a.order !== b.order) {
    if (a.order === undefined) return 1
    if (b.order === undefined) return -1
    return a.order < b.order ? -1 : 1
  }
  if (a.timestamp !== b.timestamp) return a.timestamp - b.timestamp
  if (a.roomId === b.roomId) return 0
  return a.roomId < b.roomId ? -1 : 1
}
