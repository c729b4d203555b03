// What the sender knows at the start of its life, from disk.

import type { ServerName } from '../../matrix/event.ts'
import type { Destination, Sender, SenderDeps } from './context.ts'
import type { KeptEdu } from './edus.ts'
import { loadOutbox } from './outbox.ts'
import { markReady, pump } from './work.ts'

interface DestinationRow {
  readonly id: number
  readonly name: string
  readonly cursor: number
  readonly txn: number | null
  readonly up_to: number | null
  readonly mark: number
  readonly failures: number
  readonly failing_since: number
  readonly retry_at: number
  readonly last_error: string | null
  readonly last_success: number
  readonly catching_up: number
  readonly [column: string]: SqlStorageValue
}

/**
 * Opens the sender over a migrated database and goes on where it ended. `alarmAt`: the pending alarm's time, 'now' when
 * this is the alarm, undefined if there is none, by which it is known that nothing was left to do.
 */
export function openSender(deps: SenderDeps, alarmAt: number | 'now' | undefined): Sender {
  const sender: Sender = {
    deps,
    destinations: new Map(),
    byId: new Map(),
    spareSlots: [],
    restingSlots: new Map(),
    newestRows: new Map(),
    slots: 0,
    seq: 0,
    txn: 0,
    toldUpTo: new Map(),
    ready: new Set(),
    active: 0,
    served: 0,
    lease: 0,
    queueAgainAt: 0,
    unacknowledged: new Set(),
    idleWaiters: [],
    alarmAt: alarmAt === 'now' ? undefined : alarmAt,
    writtenMark: 0,
    textLength: 0,
    serversOf: new Map(),
  }
  const rows = deps.sql
    .exec<DestinationRow>(
      `SELECT id, name, cursor, txn, up_to, mark, failures, failing_since, retry_at, last_error, last_success, catching_up
       FROM destinations ORDER BY txn`,
    )
    .toArray()
  sender.writtenMark = rows.reduce((highest, { mark }) => Math.max(highest, mark), writtenMark(deps))
  for (const row of rows) loadDestination(sender, row, alarmAt === undefined)
  loadOutbox(sender)
  loadKept(sender)
  for (const destination of sender.byId.values()) markReady(sender, destination)
  pump(sender)
  return sender
}

function loadKept(sender: Sender): void {
  const rows = sender.deps.sql.exec<{ destination: number; key: string; json: string }>(
    'SELECT destination, key, json FROM kept_edus ORDER BY destination, seq',
  )
  for (const { destination: id, key, json } of rows) {
    const destination = sender.byId.get(id)
    // Written by `writeKept` alone.
    destination?.kept.set(key, JSON.parse(json) as KeptEdu)
    destination?.keptOnDisk.add(key)
  }
}

function writtenMark({ sql }: SenderDeps): number {
  return sql.exec<{ value: number }>("SELECT value FROM meta WHERE name = 'mark'").toArray()[0]?.value ?? 0
}

function loadDestination(sender: Sender, row: DestinationRow, nothingLeft: boolean): void {
  const { txn, up_to: upTo, failures } = row
  const acknowledged = failures === 0 && (nothingLeft || (txn ?? 0) <= sender.writtenMark)
  const isFlying = txn !== null && !acknowledged
  const destination: Destination = {
    // Written by `newDestination` alone.
    ...blank(row.id, row.name as ServerName, acknowledged ? (upTo ?? row.cursor) : row.cursor),
    flight: isFlying ? { txn, upTo: upTo ?? row.cursor, body: undefined, durable: true } : undefined,
    failures,
    failingSince: row.failing_since,
    retryAt: row.retry_at,
    lastError: row.last_error ?? undefined,
    lastSuccess: row.last_success,
    catchingUp: row.catching_up === 1,
  }
  sender.byId.set(destination.id, destination)
  sender.destinations.set(destination.name, destination)
  if (isFlying && failures === 0) sender.unacknowledged.add(destination)
  sender.txn = Math.max(sender.txn, txn ?? 0)
  sender.seq = Math.max(sender.seq, row.cursor, upTo ?? 0)
}

/** A destination that was never sent anything: it gets what comes from now on. */
export function newDestination(sender: Sender, name: ServerName): Destination {
  const { id } = sender.deps.sql
    .exec<{ id: number }>(
      'INSERT INTO destinations (name, cursor) VALUES (?, ?) RETURNING id',
      name,
      sender.seq,
    )
    .one()
  const destination = blank(id, name, sender.seq)
  sender.byId.set(id, destination)
  sender.destinations.set(name, destination)
  return destination
}

function blank(id: number, name: ServerName, cursor: number): Destination {
  return {
    id,
    name,
    cursor,
    flight: undefined,
    queue: [],
    edus: new Map(),
    kept: new Map(),
    keptOnDisk: new Set(),
    failures: 0,
    quickRetries: 0,
    failingSince: 0,
    retryAt: 0,
    lastError: undefined,
    lastSuccess: 0,
    lastTry: 0,
    catchingUp: false,
    missed: undefined,
    fetching: new Set(),
    busy: false,
    lease: undefined,
  }
}
