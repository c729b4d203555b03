// What an AppserviceSender knows at the start of its life, from disk.

import type { Sender, SenderDeps } from './context.ts'
import { newEduQueue } from './edus.ts'
import { pump } from './work.ts'

/** Opens the sender over a migrated database and goes on where it ended. `alarmAt`: when the pending alarm comes, if any. */
export function openSender(deps: SenderDeps, alarmAt: number | undefined): Sender {
  const flight = deps.sql
    .exec<{ txn: string | null; body: string | null; failures: number; retry_at: number }>(
      'SELECT txn, body, failures, retry_at FROM flight',
    )
    .toArray()[0]
  const last = deps.sql.exec<{ seq: number | null }>('SELECT max(seq) AS seq FROM outbox').toArray()[0]?.seq
  const inFlight =
    flight && flight.txn !== null && flight.body !== null
      ? { txnId: flight.txn, body: flight.body, kept: true }
      : undefined
  const sender: Sender = {
    deps,
    flight: inFlight,
    flightOnDisk: inFlight !== undefined,
    waiting: typeof last === 'number',
    seq: last ?? 0,
    transactions: 0,
    failures: flight?.failures ?? 0,
    retryAt: flight?.retry_at ?? 0,
    toldUpTo: new Map(),
    interests: new Map(),
    asking: new Map(),
    edus: newEduQueue(),
    sent: 0,
    serving: undefined,
    alarmAt,
  }
  pump(sender)
  return sender
}
