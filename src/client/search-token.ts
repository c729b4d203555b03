// The `next_batch` tokens of /search: how many rooms were searched to their end, and the last result given.

import { isJsonObject, objectProperty, property, stringProperty } from '../matrix/json.ts'
import type { SearchPlace } from '../room/search-room.ts'

export interface SearchToken {
  /** How many rooms have nothing more to give. */
  readonly skip: number
  readonly after?: SearchPlace
}

/** A place in the results as a token. */
export function formatSearchToken(token: SearchToken): string {
  return Buffer.from(JSON.stringify(token)).toString('base64url')
}

/** The place behind a token, undefined for what is no such token. */
export function parseSearchToken(text: string): SearchToken | undefined {
  const value = parsed(text)
  const skip = property(value, 'skip')
  if (typeof skip !== 'number' || !Number.isSafeInteger(skip) || skip < 0) return undefined
  const after = objectProperty(value, 'after')
  if (!after) return { skip }
  const eventId = stringProperty(after, 'eventId')
  const [rank, ts, pos] = ['rank', 'ts', 'pos'].map((name) => property(after, name))
  if (eventId === undefined || typeof rank !== 'number' || typeof ts !== 'number') return undefined
  return typeof pos === 'number' ? { skip, after: { eventId, rank, ts, pos } } : undefined
}

function parsed(text: string): Parameters<typeof property>[0] {
  try {
    const value: unknown = JSON.parse(Buffer.from(text, 'base64url').toString())
    return isJsonObject(value) ? value : undefined
  } catch {
    // Whatever it is, it is none of ours.
    return undefined
  }
}
