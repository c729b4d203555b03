// The consumers of the sender's queue: each fetches what to send in one call, sends it, and reports in one call.

import { type Env, federationSenderStub } from '../../env.ts'
import type { JsonObject } from '../../matrix/json.ts'
import type { QueuedWork } from './context.ts'
import { outcomeOf } from './outcome.ts'
import type { QueuedOutcome, QueuedTransaction } from './queued.ts'
import { sendTransaction } from './send-transaction.ts'

// Workers have six connections.
const atOnce = 6

/** Does the work of some messages. Those whose work is done already cost a call and nothing else. */
export async function sendQueued(batch: MessageBatch<QueuedWork>, env: Env): Promise<void> {
  for (const { body } of batch.messages) {
    const waiting: QueuedTransaction[] = await federationSenderStub(env).pull(body.lease)
    if (waiting.length === 0) continue
    const outcomes: QueuedOutcome[] = []
    const work = async () => {
      for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
        outcomes.push(await sendOne(env, next))
      }
    }
    await Promise.all(Array.from({ length: atOnce }, work))
    await federationSenderStub(env).report(body.lease, outcomes)
  }
}

async function sendOne(env: Env, { destination, txnId, content }: QueuedTransaction): Promise<QueuedOutcome> {
  // Written by the sender alone.
  const parsed = JSON.parse(content) as JsonObject
  return { destination, outcome: await outcomeOf(() => sendTransaction(env, destination, txnId, parsed)) }
}
