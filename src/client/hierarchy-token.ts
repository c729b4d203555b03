// Where a page of a space ended: what `from` says. Nothing is kept on the server: the token names the way from the root to
// the last room looked at, and the rooms that came before, so that none comes twice. It grants nothing: each page checks
// anew what the user may see.

import { createHash } from 'node:crypto'
import type { RoomId } from '../matrix/event.ts'

export interface HierarchyPlace {
  /** From the root to the last room that was looked at, as keys. */
  readonly path: readonly string[]
  /** Whether that room has children, which come next. */
  readonly parent: boolean
  /** What was looked at so far, as keys. */
  readonly seen: readonly string[]
}

/** What cannot change from page to page. */
export interface HierarchyQuestion {
  readonly suggestedOnly: boolean
  readonly maxDepth: number
}

const keyLength = 8
const tokenShape = /^([sa])(\d{1,3})\.([pc])\.((?:[\w-]{8}){1,100})\.((?:[\w-]{8})*)$/
// Keeps the token within what a URL may hold. In spaces with more rooms than that one may come twice.
const mostSeen = 1000

/** A short name for a room: 48 bits of its hash. */
export function roomKey(roomId: RoomId): string {
  return createHash('sha256').update(roomId).digest('base64url').slice(0, keyLength)
}

/** The token for a place. */
export function formatHierarchyToken(
  question: HierarchyQuestion,
  { path, parent, seen }: HierarchyPlace,
): string {
  return [prefix(question), parent ? 'p' : 'c', path.join(''), seen.slice(-mostSeen).join('')].join('.')
}

/** The place that a token names; undefined where it is no token, or one of another room or another question. */
export function parseHierarchyToken(
  token: string,
  roomId: RoomId,
  question: HierarchyQuestion,
): HierarchyPlace | undefined {
  const [, flag, depth, parent, path = '', seen = ''] = tokenShape.exec(token) ?? []
  if (`${flag}${depth}` !== prefix(question)) return undefined
  const place = { path: keys(path), parent: parent === 'p', seen: keys(seen) }
  return place.path[0] === roomKey(roomId) ? place : undefined
}

function prefix({ suggestedOnly, maxDepth }: HierarchyQuestion): string {
  return `${suggestedOnly ? 's' : 'a'}${maxDepth}`
}

function keys(text: string): string[] {
  return text.match(/.{8}/g) ?? []
}
