// What an AppserviceSender is told beside events.
// Specification: application service API, "Pushing ephemeral data"; MSC2409.

import type { Sender } from './context.ts'
import {
  addPresence,
  addReceipt,
  addTyping,
  endTyping,
  type PresenceEdu,
  type ReceiptEdu,
  type TypingEdu,
} from './edus.ts'
import { isInterested } from './interest.ts'
import { pump } from './work.ts'

/** Takes over something that happened in a room. Resolves to whether the application service is interested in the room. */
export async function tellRoomEdu(sender: Sender, edu: TypingEdu | ReceiptEdu): Promise<boolean> {
  // The same rules as for events decide.
  if (!(await isInterested(sender, edu.roomId))) return false
  if (edu.type === 'm.typing') tellTyping(sender, edu)
  else tellReceipt(sender, edu)
  pump(sender)
  return true
}

function tellTyping(sender: Sender, edu: TypingEdu): void {
  const { now, later } = sender.deps
  addTyping(sender.edus, edu, now())
  if (!edu.typing) return
  later(edu.timeout + 1, () => {
    if (endTyping(sender.edus, edu, now())) pump(sender)
  })
}

function tellReceipt(sender: Sender, receipt: ReceiptEdu): void {
  // "Private read receipts MUST only be sent for users matching one of the application service's namespaces."
  if (receipt.receipt === 'm.read.private' && !sender.deps.looksAfter(receipt.userId)) return
  addReceipt(sender.edus, receipt)
}

/** Takes over who users are shown to be, who concern the application service. */
export function tellPresence(sender: Sender, updates: readonly PresenceEdu[]): void {
  for (const update of updates) addPresence(sender.edus, update, sender.deps.now())
  pump(sender)
}
