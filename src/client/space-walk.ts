// Walking through a space, depth first, room by room: our own copy of a room where this server is in it, other servers
// where it is not. Bounded by what one request may ask, which is 50 on the free plan: a page that would need more ends early.
// Specification: client-server API, "Spaces", "Discovering rooms within spaces".

import { type Env, roomStub } from '../env.ts'
import { mostServersAsked, remoteHierarchy, type RemoteHierarchy } from '../federation/client/hierarchy.ts'
import { candidates } from '../federation/remote-join/servers.ts'
import { config } from '../config.ts'
import type { RoomId, ServerName, UserId } from '../matrix/event.ts'
import { isJsonObject, type JsonObject, property } from '../matrix/json.ts'
import { compareChildren, parseSpaceChild, type SpaceChild, spaceType } from '../matrix/space-child.ts'
import type { SummaryAnswer } from '../room/summary-for.ts'
import { type HierarchyPlace, type HierarchyQuestion, roomKey } from './hierarchy-token.ts'
import { mayPreview, type UserRooms } from './preview-access.ts'

export interface WalkRequest extends HierarchyQuestion {
  readonly env: Env
  readonly userId: UserId
  readonly root: RoomId
  /** Finds out who may know the root, where this server does not. */
  readonly rootVia: () => Promise<readonly ServerName[]>
  /** The most rooms to give. */
  readonly limit: number
  /** Where the page before ended. */
  readonly after?: HierarchyPlace
  /** The user's memberships. */
  readonly userRooms: UserRooms
}

export interface WalkedPage {
  /** As clients are shown them: summaries with `children_state`. */
  readonly rooms: readonly JsonObject[]
  /** Where to go on; undefined where nothing is left. */
  readonly end: HierarchyPlace | undefined
}

/** A place in the tree that is still to be looked at. */
interface Entry {
  readonly roomId: RoomId
  readonly via: readonly ServerName[]
  /** From the root to here, as keys. */
  readonly path: readonly string[]
  /** What the server said that told of the parent. */
  readonly told?: RemoteHierarchy
}

interface Found {
  readonly summary: JsonObject
  readonly told?: RemoteHierarchy
}

/** `closed`: not for this user. `unknown`: nobody who could be asked knows. `later`: this page has asked enough. */
type Look = Found | 'closed' | 'unknown' | 'later'

interface Walk {
  readonly request: WalkRequest
  readonly here: Map<RoomId, SummaryAnswer>
  asked: number
}

// Of the 50: the session, the user's memberships, our signing key and something to spare.
const mostAsked = 45
// The request to another server, and finding out where it is: a well-known document and two DNS look-ups.
const costOfServer = 4
// Rooms asked for at once, as many as the platform has connections.
const atOnce = 6

/** A page of the space, undefined if the user may not see the root, or nobody knows it. */
export async function walkSpace(request: WalkRequest): Promise<WalkedPage | undefined> {
  const walk: Walk = { request, here: new Map(), asked: 0 }
  const seen = new Set(request.after?.seen)
  const root: Entry = { roomId: request.root, via: [], path: [roomKey(request.root)] }
  const stack = request.after ? await stackAfter(walk, root, request.after) : [root]
  if (!stack) return undefined
  const rooms: JsonObject[] = []
  let last: { readonly path: readonly string[]; readonly parent: boolean } | undefined
  for (let entry = next(stack, seen); entry && rooms.length < request.limit; entry = next(stack, seen)) {
    const ahead = stack.filter(({ path }) => !seen.has(keyOf(path))).slice(-(request.limit - rooms.length))
    // The first one always: each page gets further.
    const look = await lookAt(walk, entry, ahead, last === undefined)
    if (look === 'later') break
    stack.pop()
    // Another way to the room may lead past somebody who knows it.
    if (look !== 'unknown') seen.add(keyOf(entry.path))
    if (typeof look === 'string' && entry === root) return undefined
    const below = typeof look === 'string' ? [] : childrenOf(walk, entry, look)
    if (typeof look !== 'string') rooms.push(look.summary)
    stack.push(...below)
    last = { path: entry.path, parent: below.length > 0 }
  }
  const more = next(stack, seen) !== undefined
  return { rooms, end: more && last ? { ...last, seen: [...seen] } : undefined }
}

function next(stack: Entry[], seen: ReadonlySet<string>): Entry | undefined {
  for (let top = stack.at(-1); top; top = stack.at(-1)) {
    if (!seen.has(keyOf(top.path))) return top
    // Loops end here, and rooms that are in several spaces come once.
    stack.pop()
  }
  return undefined
}

function keyOf(path: readonly string[]): string {
  return path.at(-1) ?? ''
}

/** What was left when a page ended: the siblings that follow at each step of the way, and the children at its end. */
async function stackAfter(
  walk: Walk,
  root: Entry,
  { path, parent }: HierarchyPlace,
): Promise<Entry[] | undefined> {
  const stack: Entry[] = []
  let entry = root
  for (let depth = 1; ; depth++) {
    const look = await lookAt(walk, entry, [entry], true)
    if (typeof look === 'string') return entry === root ? undefined : stack
    const children = childrenOf(walk, entry, look)
    const at = children.findIndex((child) => keyOf(child.path) === path[depth])
    // The stack is taken from its end. A child that has gone meanwhile leaves its siblings, those seen among them.
    stack.push(...(at === -1 ? children : children.slice(0, at)))
    const child = children[at]
    if (!child || (depth === path.length - 1 && !parent)) return stack
    entry = child
  }
}

/** The children to be looked at, the last of them first. */
function childrenOf({ request }: Walk, { roomId, path }: Entry, { summary, told }: Found): Entry[] {
  // Rooms that are no spaces have none, and beyond the deepest level none is asked for.
  if (property(summary, 'room_type') !== spaceType || path.length > request.maxDepth) return []
  return children(summary)
    .filter((child) => child.roomId !== roomId)
    .toReversed()
    .map((child) => ({
      roomId: child.roomId,
      via: child.via,
      path: [...path, roomKey(child.roomId)],
      ...(told ? { told } : {}),
    }))
}

function children(summary: JsonObject): SpaceChild[] {
  const events = property(summary, 'children_state')
  return (Array.isArray(events) ? events : [])
    .map((event) => (isJsonObject(event) ? parseSpaceChild(event) : undefined))
    .filter((child) => child !== undefined)
    .toSorted(compareChildren)
}

async function lookAt(walk: Walk, entry: Entry, ahead: readonly Entry[], must: boolean): Promise<Look> {
  const { userRooms } = walk.request
  const answer = await answerHere(walk, entry, ahead, must)
  if (!answer) return 'later'
  // What this server knows itself counts, whatever others say.
  if (answer.standing === 'closed') return 'closed'
  if (answer.standing === 'elsewhere') return await lookElsewhere(walk, entry, must)
  const { membersOf } = answer
  if (membersOf && !(await userRooms.joinedToAny(membersOf))) return 'closed'
  const summary: unknown = JSON.parse(answer.summary)
  return isJsonObject(summary) ? { summary } : 'unknown'
}

/** The room's own answer; asks the rooms that come next as well, while it is at it. Undefined where that would be too much. */
async function answerHere(
  walk: Walk,
  { roomId }: Entry,
  ahead: readonly Entry[],
  must: boolean,
): Promise<SummaryAnswer | undefined> {
  const known = walk.here.get(roomId)
  if (known) return known
  const { env, userId, suggestedOnly } = walk.request
  const left = Math.max(must ? 1 : 0, mostAsked - walk.asked)
  const others = ahead.map((entry) => entry.roomId).toReversed()
  const wanted = [...new Set([roomId, ...others])].filter((id) => !walk.here.has(id))
  const chosen = wanted.slice(0, Math.min(atOnce, left))
  walk.asked += chosen.length
  const request = { requester: { userId }, children: suggestedOnly ? 'suggested' : 'all' } as const
  const answers = await Promise.all(
    chosen.map(async (id): Promise<SummaryAnswer> => await roomStub(env, id).summaryFor(request)),
  )
  answers.forEach((answer, i) => {
    const id = chosen[i]
    if (id !== undefined) walk.here.set(id, answer)
  })
  return walk.here.get(roomId)
}

async function lookElsewhere(walk: Walk, { roomId, via, told, path }: Entry, must: boolean): Promise<Look> {
  const { env, suggestedOnly, userRooms } = walk.request
  // Nobody else would show it either.
  if (told?.inaccessible.has(roomId)) return 'closed'
  const summary = told?.children.get(roomId)
  if (summary && property(summary, 'room_type') !== spaceType) {
    const found = { summary: { ...summary, children_state: [] } }
    return (await mayPreview(userRooms, roomId, summary)) ? found : 'closed'
  }
  if (!must && walk.asked + mostServersAsked * costOfServer > mostAsked) return 'later'
  const given = path.length === 1 ? await walk.request.rootVia() : via
  const query = { roomId, suggestedOnly, servers: candidates(config(env).serverName, roomId, given) }
  const hierarchy = await remoteHierarchy(env, query, () => (walk.asked += costOfServer))
  if (!hierarchy) return 'unknown'
  return (await mayPreview(userRooms, roomId, hierarchy.room))
    ? { summary: hierarchy.room, told: hierarchy }
    : 'closed'
}
