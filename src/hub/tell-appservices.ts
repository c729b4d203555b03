// What users of this shard do, for application services that are interested: presence here, typing and receipts by
// `tellRoomEdu`, and their memberships in rooms that live elsewhere, which no room tells of.
// Specification: application service API, "Pushing events", "Pushing ephemeral data"; MSC2409.

import { looksAfterUser } from '../appservice/namespaces.ts'
import { shownState } from '../appservice/shown-state.ts'
import type { Appservice } from '../appservice/registration.ts'
import type { PresenceEdu } from '../appservice/sender/edus.ts'
import { interestMayCome, tellRoomEdu } from '../appservice/tell-room-edu.ts'
import { appserviceSenderStub } from '../env.ts'
import { errorMessage, log } from '../log.ts'
import type { RoomId, UserId } from '../matrix/event.ts'
import { parseUserId } from '../matrix/identifiers.ts'
import { objectProperty } from '../matrix/json.ts'
import type { HubContext } from './context.ts'
import { userIdOf } from './interned.ts'
import { joinedRooms, usersSharing } from './members.ts'
import { roomsOfOther, sharersWithOther } from './other-members.ts'
import { contentOfTold, type OtherPresence } from './others-presence.ts'
import { presenceContent } from './presence.ts'
import { isNews, memberEvent, type RemoteMembership } from './remote-invite.ts'
import type { RoomNews } from './room-news.ts'
import type { ReceiptRequest } from './set-receipt.ts'
import type { TypingRequest } from './set-typing.ts'

// The user's shard says when it ends.
const typingTimeoutMs = 120_000

/** Tells of a user of this shard who types or has stopped. Nobody waits for it. */
export function tellAppservicesTyping(
  { env, waitUntil }: HubContext,
  { userId, roomId, typing }: Omit<TypingRequest, 'timeout'>,
): void {
  waitUntil(tellRoomEdu(env, { type: 'm.typing', roomId, userId, typing, timeout: typingTimeoutMs }))
}

/** Tells how far a user of this shard has read, also of private receipts. Nobody waits for it. */
export function tellAppservicesReceipt({ env, waitUntil }: HubContext, request: ReceiptRequest): void {
  const { roomId, userId, type: receipt, eventId, ts, threadId } = request
  const thread = threadId === undefined ? {} : { threadId }
  waitUntil(tellRoomEdu(env, { type: 'm.receipt', roomId, userId, receipt, eventId, ts, ...thread }))
}

/** Notes by what a room tells that an application service may be interested in it from now on. */
export function noteInterest(hub: HubContext, { roomId, events }: RoomNews): void {
  if (hub.appservices.length === 0) return
  const come = events.flatMap(({ memberships, others = [] }) => [
    ...memberships.filter(({ next }) => next === 'join').map(({ userId }) => userId),
    ...others.filter(({ joined }) => joined).map(({ userId }) => userId),
  ])
  const isOne = (text: string) => {
    const userId = parseUserId(text)
    return userId && hub.appservices.some((appservice) => looksAfterUser(hub.env, appservice, userId))
  }
  if (come.some(isOne)) interestMayCome(hub.env, roomId)
}

/** Who a user is shown to be now, and those of this shard who see it. */
interface ShownPresence extends PresenceEdu {
  readonly sharers: readonly UserId[]
  readonly rooms: () => readonly RoomId[]
}

/** Tells who users of this shard are shown to be now. Nobody waits for it. */
export function tellAppservicesPresence(hub: HubContext, uids: readonly number[]): void {
  tellShown(hub, uids, (uid) => {
    const userId = userIdOf(hub, uid)
    return {
      userId,
      content: presenceContent(hub, uid),
      sharers: [...usersSharing(hub, uid)].map((other) => userIdOf(hub, other)),
      rooms: () => joinedRooms(hub, userId),
    }
  })
}

/** The same of users of other shards and servers. Each shard knows its own users, so that several may tell the same. */
export function tellAppservicesOthers(hub: HubContext, updates: readonly OtherPresence[]): void {
  tellShown(hub, updates, (told) => ({
    userId: told.userId,
    content: contentOfTold(told),
    sharers: sharersWithOther(hub, told.userId).map((uid) => userIdOf(hub, uid)),
    rooms: () => roomsOfOther(hub, told.userId),
  }))
}

function tellShown<T>(hub: HubContext, updates: readonly T[], describe: (update: T) => ShownPresence): void {
  const appservices = hub.appservices.filter(({ receivesEphemeral }) => receivesEphemeral)
  if (appservices.length === 0) return
  const shown = updates.map(describe)
  for (const appservice of appservices) {
    const told = shown
      .filter((update) => isShownTo(hub, appservice, update))
      .map(({ userId, content }) => ({ userId, content }))
    if (told.length > 0) hub.waitUntil(tellPresence(hub, appservice, told))
  }
}

// Those who are looked after, share a room with one who is, or are in a room that is looked after.
function isShownTo(
  hub: HubContext,
  appservice: Appservice,
  { userId, sharers, rooms }: ShownPresence,
): boolean {
  const isLookedAfter = (other: UserId) => looksAfterUser(hub.env, appservice, other)
  if (isLookedAfter(userId) || sharers.some(isLookedAfter)) return true
  return (
    appservice.rooms.length > 0 &&
    rooms().some((roomId) => appservice.rooms.some(({ matches }) => matches(roomId)))
  )
}

async function tellPresence(
  { env }: HubContext,
  { id }: Appservice,
  updates: readonly PresenceEdu[],
): Promise<void> {
  try {
    await appserviceSenderStub(env, id).tellPresence(updates)
  } catch (error) {
    log({ event: 'appservice_not_told', appservice: id, error: errorMessage(error) })
  }
}

/**
 * Tells of a membership in a room that lives elsewhere. Call before it is applied: whoever told of it does so again if this
 * rejects, and after a crash in between, and it is known again here and there.
 */
export async function tellAppservicesElsewhere(hub: HubContext, change: RemoteMembership): Promise<void> {
  const { roomId, userId, eventId } = change
  const concerned = hub.appservices.filter((appservice) => looksAfterUser(hub.env, appservice, userId))
  const known = concerned.length > 0 && isNews(hub, change) ? memberEvent(hub, change) : undefined
  if (!known) return
  const shown = shownState(change.membership, () => change.stripped ?? [])
  const unsigned = { ...objectProperty(known, 'unsigned'), ...shown }
  const event = { ...known, room_id: roomId, unsigned }
  await Promise.all(
    concerned.map(({ id }) =>
      appserviceSenderStub(hub.env, id).tellElsewhere({ roomId, userId, eventId, event }),
    ),
  )
}
