// A room's tables (design section 4). Append-only: a change is a new migration at the end.

import type { DurableMigration } from '../storage/durable-migrations.ts'

export const roomMigrations: readonly DurableMigration[] = [
  {
    id: '0001-room',
    sql: `
      CREATE TABLE meta (key TEXT PRIMARY KEY, value) WITHOUT ROWID;

      -- (type, state_key) as an integer.
      CREATE TABLE slots (
        slot INTEGER PRIMARY KEY,
        type TEXT NOT NULL,
        state_key TEXT NOT NULL,
        UNIQUE (type, state_key)
      );

      -- Every event this server knows of the room. A live event's eid is its position in the room; events from
      -- before our join are negative; outliers (known only as auth events or state) lie far above.
      -- auth, prev and heads are JSON lists of eids. state_before and state_after are state references
      -- (see state-at.ts). heads are the forward extremities after this event.
      CREATE TABLE events (
        eid INTEGER PRIMARY KEY,
        event_id TEXT NOT NULL UNIQUE,
        json TEXT NOT NULL,
        status INTEGER NOT NULL,
        slot INTEGER,
        auth TEXT NOT NULL,
        prev TEXT NOT NULL,
        state_before INTEGER NOT NULL,
        state_after INTEGER NOT NULL,
        heads TEXT NOT NULL,
        txn TEXT,
        redacted_by INTEGER
      );
      CREATE UNIQUE INDEX events_txn ON events (txn) WHERE txn IS NOT NULL;

      -- The resolved current state over time: from position pos on, the slot holds event eid (0: nothing).
      -- membership repeats content.membership of member events, so that member lists read no JSON.
      CREATE TABLE state (
        slot INTEGER NOT NULL,
        pos INTEGER NOT NULL,
        eid INTEGER NOT NULL,
        membership TEXT,
        PRIMARY KEY (slot, pos)
      ) WITHOUT ROWID;
      CREATE INDEX state_pos ON state (pos);

      -- State off the line, at forks: the current state at position base, with the changes of delta
      -- (a JSON list of [slot, eid] pairs) laid over.
      CREATE TABLE state_groups (id INTEGER PRIMARY KEY, base INTEGER NOT NULL, delta TEXT NOT NULL);

      -- Redactions whose target has not arrived yet.
      CREATE TABLE pending_redactions (target TEXT NOT NULL, redaction INTEGER NOT NULL, PRIMARY KEY (target, redaction))
        WITHOUT ROWID;

      -- How far each sink (hub shards, directory index) has been told about the live events.
      CREATE TABLE sinks (name TEXT PRIMARY KEY, pos INTEGER NOT NULL) WITHOUT ROWID;

      -- Positions of events that had come as outliers before they got their place in the timeline. An event that is
      -- back-filled for the first time has its position as its eid, like a live one.
      CREATE TABLE history (pos INTEGER PRIMARY KEY, eid INTEGER NOT NULL);

      -- Where the timeline is not complete: below position pos, events build upon others (prevs, a JSON list of
      -- event ids) that are not here. servers is a JSON list of those to ask.
      CREATE TABLE gaps (pos INTEGER PRIMARY KEY, prevs TEXT NOT NULL, servers TEXT NOT NULL);

      -- Events of other servers that this one has to send on: they joined, left or knocked through it.
      CREATE TABLE relayed (eid INTEGER PRIMARY KEY);

      -- The Hub shards of the local users that were ever in this room.
      CREATE TABLE local_users (user_id TEXT PRIMARY KEY, shard INTEGER NOT NULL) WITHOUT ROWID;
    `,
  },
  {
    id: '0002-told',
    // How far each sink had been told when the event was appended: a JSON object of positions. It goes along with the
    // row, so that cursors cost none of their own.
    sql: 'ALTER TABLE events ADD COLUMN told TEXT',
  },
  {
    id: '0003-pending-pdus',
    sql: `
      -- Events of other servers that cannot be judged yet: they lack others, or the room is being joined. Something is
      -- fetched for them from the time due on, in milliseconds.
      CREATE TABLE pending_pdus (
        n INTEGER PRIMARY KEY,
        event_id TEXT NOT NULL UNIQUE,
        origin TEXT NOT NULL,
        json TEXT NOT NULL,
        attempts INTEGER NOT NULL,
        due INTEGER NOT NULL
      );
    `,
  },
  {
    id: '0004-history-state',
    sql: `
      -- State within back-filled history: from position pos on the slot holds event eid, before that it held prior (0:
      -- nothing, null: not known).
      CREATE TABLE history_state (
        slot INTEGER NOT NULL,
        pos INTEGER NOT NULL,
        eid INTEGER NOT NULL,
        prior INTEGER,
        PRIMARY KEY (slot, pos)
      ) WITHOUT ROWID;

      -- The gaps that history was filled into from above: the state above position top; complete if it goes down to the
      -- create event.
      CREATE TABLE history_tops (top INTEGER PRIMARY KEY, state INTEGER NOT NULL, complete INTEGER NOT NULL);
    `,
  },
  {
    id: '0005-relations',
    sql: `
      -- The events that relate to others, by the parent's event id. Threads stand apart, so that they can be listed.
      CREATE TABLE relations (
        threaded INTEGER NOT NULL,
        parent TEXT NOT NULL,
        pos INTEGER NOT NULL,
        eid INTEGER NOT NULL,
        rel_type TEXT NOT NULL,
        type TEXT NOT NULL,
        sender TEXT NOT NULL,
        PRIMARY KEY (threaded, parent, pos)
      ) WITHOUT ROWID;
      INSERT INTO relations (threaded, parent, pos, eid, rel_type, type, sender)
        SELECT json_extract(json, '$.content."m.relates_to".rel_type') = 'm.thread',
          json_extract(json, '$.content."m.relates_to".event_id'), ifnull(history.pos, events.eid), events.eid,
          json_extract(json, '$.content."m.relates_to".rel_type'), json_extract(json, '$.type'),
          json_extract(json, '$.sender')
        FROM events LEFT JOIN history ON history.eid = events.eid
        WHERE events.status = 0 AND (events.eid < 1125899906842624 OR history.pos IS NOT NULL)
          AND json_type(json, '$.content."m.relates_to".rel_type') = 'text'
          AND json_type(json, '$.content."m.relates_to".event_id') = 'text';
    `,
  },
  {
    id: '0006-delayed-events',
    sql: `
      -- Events to be sent at the time due, in milliseconds, unless they are restarted or cancelled. finalised: when they
      -- were, with event_id for those that were sent and error for those that could not be; kept for some days.
      CREATE TABLE delayed_events (
        delay_id TEXT PRIMARY KEY,
        sender TEXT NOT NULL,
        type TEXT NOT NULL,
        state_key TEXT,
        content TEXT NOT NULL,
        delay INTEGER NOT NULL,
        since INTEGER NOT NULL,
        due INTEGER NOT NULL,
        txn TEXT,
        finalised INTEGER,
        event_id TEXT,
        error TEXT
      ) WITHOUT ROWID;
      CREATE UNIQUE INDEX delayed_events_txn ON delayed_events (txn) WHERE txn IS NOT NULL;
      CREATE INDEX delayed_events_due ON delayed_events (due) WHERE finalised IS NULL;
      CREATE INDEX delayed_events_finalised ON delayed_events (finalised) WHERE finalised IS NOT NULL;
    `,
  },
]
