// The tables of an AppserviceSender. Append-only: a change is a new migration at the end.
//
// They are made to be written rarely: of an event that finds nothing waiting a row for its room, one for the transaction
// and one when that is acknowledged; of one that has to wait a row for its room, one to wait in, and one when it is
// taken out. The transaction in flight is written over by the next one, which tells that it was acknowledged.

import type { DurableMigration } from '../../storage/durable-migrations.ts'

export const appserviceSenderMigrations: readonly DurableMigration[] = [
  {
    id: '0001-appservice-sender',
    sql: `
      -- How far each room has told: the position of its last event here.
      CREATE TABLE rooms (room_id TEXT PRIMARY KEY, position INTEGER NOT NULL) WITHOUT ROWID;

      -- The last event of each membership in a room of other servers alone.
      CREATE TABLE elsewhere (
        user_id TEXT NOT NULL,
        room_id TEXT NOT NULL,
        event_id TEXT NOT NULL,
        PRIMARY KEY (user_id, room_id)
      ) WITHOUT ROWID;

      -- What waits for the transaction in flight, in order: events is a JSON list of so many events.
      CREATE TABLE outbox (seq INTEGER PRIMARY KEY, events TEXT NOT NULL, count INTEGER NOT NULL);

      -- One row. txn and body: the transaction in flight, as it is sent; null for none. failures: how often it failed in
      -- a row; retry_at: when it is tried again, in milliseconds.
      CREATE TABLE flight (
        id INTEGER PRIMARY KEY CHECK (id = 1),
        txn TEXT,
        body TEXT,
        failures INTEGER NOT NULL DEFAULT 0,
        retry_at INTEGER NOT NULL DEFAULT 0
      );
    `,
  },
]
