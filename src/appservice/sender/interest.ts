// In which rooms the application service is interested: what they say of it when they tell, and when they are asked. For
// what is ephemeral: of events the rooms decide themselves.

import type { RoomId } from '../../matrix/event.ts'
import type { Sender } from './context.ts'

// An alias may come or go without a word to the sender.
const keptMs = 60_000
const rememberedRooms = 10_000

/** Remembers what a room says. */
export function rememberInterest({ deps, interests }: Sender, roomId: RoomId, interested: boolean): void {
  if (interests.size >= rememberedRooms) interests.clear()
  interests.set(roomId, { interested, until: deps.now() + keptMs })
}

/** Whether the application service is interested in a room now. Those who ask at once are answered in their order. */
export async function isInterested(sender: Sender, roomId: RoomId): Promise<boolean> {
  const asking = sender.asking.get(roomId)
  if (asking) return await asking
  const known = sender.interests.get(roomId)
  // A no is asked about again: somebody may have come of whom the room has not told yet.
  if (known?.interested && known.until > sender.deps.now()) return true
  const asked = ask(sender, roomId).finally(() => sender.asking.delete(roomId))
  sender.asking.set(roomId, asked)
  return await asked
}

async function ask(sender: Sender, roomId: RoomId): Promise<boolean> {
  const before = sender.interests.get(roomId)
  const interested = await sender.deps.isInterested(roomId)
  const now = sender.interests.get(roomId)
  // What the room has told meanwhile is newer.
  if (now && now !== before) return now.interested
  rememberInterest(sender, roomId, interested)
  return interested
}
