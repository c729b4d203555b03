// The tables of the FederationSender (design sections 7 and 8). Append-only: a change is a new migration at the end.
//
// They are made to be written rarely. A row of `outbox` is written when a room tells about events, and overwritten by the
// room's next when nobody needs them any more: deleting would cost a row again, and what a room repeats is known by it. A destination's row is written when a transaction is about
// to be sent; that it was acknowledged is remembered in memory, and follows on disk from two things that cost nothing:
// - no alarm is pending: then nothing is left to do, so all transactions were acknowledged, or
// - `mark`, which goes along with later writes: all transactions up to it were acknowledged, unless their destination
//   fails.
// What is acknowledged without either is sent again after a crash, identically, and dropped by its receiver.

import type { DurableMigration } from '../../storage/durable-migrations.ts'

export const senderMigrations: readonly DurableMigration[] = [
  {
    id: '0001-sender',
    sql: `
      -- What a room told in one call: events are [event id, position, index of sets], sets are lists of destination
      -- ids. Events have consecutive numbers, first_seq being the number of the first.
      CREATE TABLE outbox (
        slot INTEGER PRIMARY KEY,
        first_seq INTEGER NOT NULL,
        room_id TEXT NOT NULL,
        sets TEXT NOT NULL,
        events TEXT NOT NULL
      );

      -- cursor: the number of the last event that was acknowledged. txn and body: the transaction in flight, with the
      -- exact text that is sent; up_to: the cursor once it is acknowledged. Times are in milliseconds, 0 for never.
      CREATE TABLE destinations (
        id INTEGER PRIMARY KEY,
        name TEXT NOT NULL UNIQUE,
        cursor INTEGER NOT NULL,
        txn INTEGER,
        up_to INTEGER,
        body TEXT,
        mark INTEGER NOT NULL DEFAULT 0,
        failures INTEGER NOT NULL DEFAULT 0,
        failing_since INTEGER NOT NULL DEFAULT 0,
        retry_at INTEGER NOT NULL DEFAULT 0,
        last_error TEXT,
        last_success INTEGER NOT NULL DEFAULT 0,
        catching_up INTEGER NOT NULL DEFAULT 0
      );

      -- The rooms in which a destination has missed events, the first at this position.
      CREATE TABLE catch_up (
        destination INTEGER NOT NULL,
        room_id TEXT NOT NULL,
        position INTEGER NOT NULL,
        PRIMARY KEY (destination, room_id)
      ) WITHOUT ROWID;

      -- name 'mark': as the column of destinations, written when work is left at the end of a burst.
      CREATE TABLE meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
    `,
  },
  {
    id: '0002-kept-edus',
    sql: `
      -- EDUs that must not be lost, of destinations that are busy or fail. json is a KeptEdu.
      CREATE TABLE kept_edus (
        destination INTEGER NOT NULL,
        key TEXT NOT NULL,
        seq INTEGER NOT NULL,
        json TEXT NOT NULL,
        PRIMARY KEY (destination, key)
      ) WITHOUT ROWID;
    `,
  },
]
