// The Hub's tables. Append-only: a change is a new migration at the end.

import type { DurableMigration } from '../storage/durable-migrations.ts'

export const hubMigrations: readonly DurableMigration[] = [
  {
    id: '0001-log',
    sql: `
      -- Room and user ids as integers: the log has a row an event.
      CREATE TABLE rooms (rid INTEGER PRIMARY KEY, room_id TEXT NOT NULL UNIQUE);
      CREATE TABLE users (uid INTEGER PRIMARY KEY, user_id TEXT NOT NULL UNIQUE);

      -- One row an event, however many local users are in the room. from_pos and to_pos are room positions:
      -- the live end of the room before the event, and the event's own. uid, prev and next are set where the
      -- membership of a local user changed in the current state; such a row may carry no event (from_pos = to_pos).
      CREATE TABLE log (
        pos INTEGER PRIMARY KEY,
        rid INTEGER NOT NULL,
        from_pos INTEGER NOT NULL,
        to_pos INTEGER NOT NULL,
        event_id TEXT,
        uid INTEGER,
        prev TEXT,
        next TEXT,
        notify TEXT
      );
      CREATE INDEX log_room ON log (rid, pos);

      CREATE TABLE user_room (
        uid INTEGER NOT NULL,
        rid INTEGER NOT NULL,
        membership TEXT NOT NULL,
        log_pos INTEGER NOT NULL,
        room_pos INTEGER NOT NULL,
        display_name TEXT,
        stripped TEXT,
        forgotten INTEGER NOT NULL DEFAULT 0,
        -- Whether somebody else ended the membership: kicked or banned users are told so also by an initial sync.
        by_other INTEGER NOT NULL DEFAULT 0,
        PRIMARY KEY (uid, rid)
      ) WITHOUT ROWID;
      CREATE INDEX user_room_members ON user_room (rid, membership, uid);

      -- Receipts of local and remote users. thread is '' for unthreaded ones.
      CREATE TABLE receipts (
        rid INTEGER NOT NULL,
        user_id TEXT NOT NULL,
        type TEXT NOT NULL,
        thread TEXT NOT NULL,
        event_id TEXT NOT NULL,
        ts INTEGER NOT NULL,
        room_pos INTEGER NOT NULL,
        pos INTEGER NOT NULL,
        PRIMARY KEY (rid, user_id, type, thread)
      ) WITHOUT ROWID;
      CREATE INDEX receipts_pos ON receipts (pos);

      -- Unread counts behind a read position (of the room), folded up to a log position: what the log has after that is
      -- counted when asked for. Only rooms that are not read for long have a row.
      CREATE TABLE unread (
        uid INTEGER NOT NULL,
        rid INTEGER NOT NULL,
        folded INTEGER NOT NULL,
        read_pos INTEGER NOT NULL,
        notifications INTEGER NOT NULL,
        highlights INTEGER NOT NULL,
        PRIMARY KEY (uid, rid)
      ) WITHOUT ROWID;
    `,
  },
  {
    id: '0002-accounts',
    sql: `
      -- Account data; rid 0 is global. content is the JSON text as it goes out.
      CREATE TABLE account_data (
        uid INTEGER NOT NULL,
        rid INTEGER NOT NULL,
        type TEXT NOT NULL,
        content TEXT NOT NULL,
        pos INTEGER NOT NULL,
        PRIMARY KEY (uid, rid, type)
      ) WITHOUT ROWID;
      CREATE INDEX account_data_pos ON account_data (pos);

      CREATE TABLE filters (
        uid INTEGER NOT NULL,
        filter_id INTEGER NOT NULL,
        json TEXT NOT NULL,
        PRIMARY KEY (uid, filter_id)
      ) WITHOUT ROWID;

      -- A device id may be used again after a logout; its generation then differs, so nothing is inherited.
      CREATE TABLE devices (
        uid INTEGER NOT NULL,
        device_id TEXT NOT NULL,
        generation INTEGER NOT NULL,
        display_name TEXT,
        last_seen_ip TEXT,
        last_seen_ts INTEGER,
        PRIMARY KEY (uid, device_id)
      ) WITHOUT ROWID;

      -- Failed logins since the last success, for the lock-out.
      CREATE TABLE login_failures (
        user_id TEXT PRIMARY KEY,
        failures INTEGER NOT NULL,
        locked_until INTEGER NOT NULL
      ) WITHOUT ROWID;
    `,
  },
  {
    id: '0003-key-backup',
    sql: `
      -- The row of a deleted version stays without an algorithm: numbers are not given out twice.
      CREATE TABLE key_backup_versions (
        uid INTEGER NOT NULL,
        version INTEGER NOT NULL,
        algorithm TEXT,
        auth_data TEXT,
        etag INTEGER NOT NULL DEFAULT 0,
        count INTEGER NOT NULL DEFAULT 0,
        PRIMARY KEY (uid, version)
      ) WITHOUT ROWID;

      CREATE TABLE key_backup_keys (
        uid INTEGER NOT NULL,
        version INTEGER NOT NULL,
        room_id TEXT NOT NULL,
        session_id TEXT NOT NULL,
        first_message_index INTEGER NOT NULL,
        forwarded_count INTEGER NOT NULL,
        is_verified INTEGER NOT NULL,
        session_data TEXT NOT NULL,
        PRIMARY KEY (uid, version, room_id, session_id)
      ) WITHOUT ROWID;
    `,
  },
  {
    id: '0004-to-device',
    sql: `
      -- Messages to devices, with a position of the log. event is JSON text, empty once it is acknowledged.
      CREATE TABLE to_device (
        uid INTEGER NOT NULL,
        device_id TEXT NOT NULL,
        pos INTEGER NOT NULL,
        event TEXT NOT NULL,
        PRIMARY KEY (uid, device_id, pos)
      ) WITHOUT ROWID;

      -- Requests whose messages came: none is taken twice.
      CREATE TABLE to_device_seen (
        sender TEXT NOT NULL,
        message_id TEXT NOT NULL,
        ts INTEGER NOT NULL,
        PRIMARY KEY (sender, message_id)
      ) WITHOUT ROWID;
    `,
  },
  {
    id: '0005-encryption-keys',
    sql: `
      -- Identity keys as uploaded, as canonical JSON, and the signatures that their user made later: a JSON object of
      -- key id → signature. They go with the device.
      ALTER TABLE devices ADD COLUMN keys TEXT;
      ALTER TABLE devices ADD COLUMN key_signatures TEXT;

      -- All one-time and fallback keys of a device: a JSON object, see one-time-keys.ts.
      CREATE TABLE one_time_keys (
        uid INTEGER NOT NULL,
        device_id TEXT NOT NULL,
        json TEXT NOT NULL,
        PRIMARY KEY (uid, device_id)
      ) WITHOUT ROWID;

      -- Cross-signing keys as JSON; master_signatures are those that devices made later.
      CREATE TABLE cross_signing (
        uid INTEGER PRIMARY KEY,
        master TEXT NOT NULL,
        master_signatures TEXT,
        self_signing TEXT,
        user_signing TEXT
      );

      -- What users have signed of others, for themselves alone: the master key signed_key of target.
      CREATE TABLE user_signatures (
        uid INTEGER NOT NULL,
        target TEXT NOT NULL,
        signed_key TEXT NOT NULL,
        signatures TEXT NOT NULL,
        pos INTEGER NOT NULL,
        PRIMARY KEY (uid, target)
      ) WITHOUT ROWID;

      -- The position in the log of the last change of anybody's keys or devices. stream_id: the number of the last update
      -- told to other servers, or by another server; cached: the keys of a user of another server, as JSON.
      CREATE TABLE device_lists (
        user_id TEXT PRIMARY KEY,
        pos INTEGER NOT NULL,
        stream_id INTEGER,
        cached TEXT,
        stale INTEGER NOT NULL DEFAULT 0
      ) WITHOUT ROWID;
      CREATE INDEX device_lists_pos ON device_lists (pos);

      -- Joined users of other servers and other shards.
      CREATE TABLE other_members (
        rid INTEGER NOT NULL,
        user_id TEXT NOT NULL,
        PRIMARY KEY (rid, user_id)
      ) WITHOUT ROWID;

      -- As uid, where the membership of such a user changed.
      ALTER TABLE log ADD COLUMN other TEXT;
    `,
  },
  {
    id: '0006-unread-threads',
    sql: `
      -- Unread counts by thread, as JSON, with the read positions they were counted from. They go up to a log position and
      -- the room position that it stands for. Nothing is lost with the old ones: they are counted again.
      DROP TABLE unread;
      CREATE TABLE unread (
        uid INTEGER NOT NULL,
        rid INTEGER NOT NULL,
        folded INTEGER NOT NULL,
        folded_to INTEGER NOT NULL,
        threads TEXT NOT NULL,
        PRIMARY KEY (uid, rid)
      ) WITHOUT ROWID;
    `,
  },
  {
    id: '0007-sliding-sync',
    sql: `
      -- The position of the room's last event that counts as activity in it, as of this row; 0 where there was none. Rows
      -- that only tell a membership are left empty.
      ALTER TABLE log ADD COLUMN bump INTEGER;
      UPDATE log SET bump = 0;

      -- What lists of rooms are filtered by. Plain rooms have no row. children: the rooms of a space, a JSON list.
      CREATE TABLE room_facts (
        rid INTEGER PRIMARY KEY,
        room_type TEXT,
        encrypted INTEGER NOT NULL,
        children TEXT
      );

      -- What was sent to connections of sliding sync: as of the position that the client has acknowledged, and as of the
      -- answer that is on its way. See sliding-sync-connection.ts.
      CREATE TABLE sliding_connections (
        uid INTEGER NOT NULL,
        device_id TEXT NOT NULL,
        conn_id TEXT NOT NULL,
        generation INTEGER NOT NULL,
        used INTEGER NOT NULL,
        acked INTEGER NOT NULL,
        acked_state TEXT NOT NULL,
        sent INTEGER,
        sent_state TEXT,
        PRIMARY KEY (uid, device_id, conn_id)
      ) WITHOUT ROWID;
    `,
  },
  {
    id: '0008-pushers',
    sql: `
      -- Pushers are few and kept in memory. settings: PusherSettings as JSON; times of pushkeys in seconds, of retries in
      -- milliseconds.
      CREATE TABLE pushers (
        id INTEGER PRIMARY KEY,
        uid INTEGER NOT NULL,
        device_id TEXT NOT NULL,
        settings TEXT NOT NULL,
        pushkey_ts INTEGER NOT NULL,
        failures INTEGER NOT NULL DEFAULT 0,
        retry_at INTEGER NOT NULL DEFAULT 0
      );

      -- Pushes until they are sent, in the order of the log. rid, room_pos and thread of the event, rid 0 for what
      -- nobody reads.
      CREATE TABLE pushes (
        pusher INTEGER NOT NULL,
        pos INTEGER NOT NULL,
        ts INTEGER NOT NULL,
        rid INTEGER NOT NULL,
        room_pos INTEGER NOT NULL,
        thread TEXT,
        notification TEXT NOT NULL,
        PRIMARY KEY (pusher, pos)
      ) WITHOUT ROWID;
    `,
  },
  {
    id: '0009-delayed-rooms',
    sql: `
      -- Rooms in which a user may have delayed events, and when they last scheduled one.
      CREATE TABLE delayed_rooms (uid INTEGER NOT NULL, rid INTEGER NOT NULL, at INTEGER NOT NULL, PRIMARY KEY (uid, rid))
        WITHOUT ROWID;
    `,
  },
  {
    id: '0010-profile-updates',
    sql: `
      -- Users whose rooms do not all know what concerns them. fields, rooms: JSON lists of tasks and of the rooms that are
      -- left, null for all. See across-rooms.ts.
      CREATE TABLE profile_updates (
        uid INTEGER PRIMARY KEY,
        fields TEXT NOT NULL,
        rooms TEXT,
        generation INTEGER NOT NULL,
        attempts INTEGER NOT NULL
      );
    `,
  },
  {
    id: '0011-room-upgrades',
    sql: `
      -- The rooms that a room says to replace, and to be replaced by.
      ALTER TABLE room_facts ADD COLUMN predecessor TEXT;
      ALTER TABLE room_facts ADD COLUMN replacement TEXT;
    `,
  },
  {
    id: '0012-email-pushers',
    sql: `
      -- Of pushers that send mails: what their links carry that end them, and the rooms that are left out for a while, as
      -- JSON. See src/push/email-digest.ts.
      CREATE TABLE email_pushers (pusher INTEGER PRIMARY KEY, secret TEXT NOT NULL, pauses TEXT NOT NULL DEFAULT '[]');
    `,
  },
  {
    id: '0013-names-of-others',
    sql: `
      -- As their member events have it, for searches; null where it was not told.
      ALTER TABLE other_members ADD COLUMN name TEXT;
      ALTER TABLE other_members ADD COLUMN avatar TEXT;
    `,
  },
  {
    id: '0014-locked-users',
    sql: `
      -- Users whose accounts are locked, as far as this shard has to know: nothing is pushed to them.
      CREATE TABLE locked_users (uid INTEGER PRIMARY KEY);
    `,
  },
  {
    id: '0015-dehydrated-devices',
    sql: `
      -- What rehydrates a device that nobody is logged in on, as JSON; null for all others.
      ALTER TABLE devices ADD COLUMN dehydrated TEXT;
    `,
  },
  {
    id: '0016-thread-subscriptions',
    sql: `
      -- Threads by their root. unsubscribed_at: the end of the room when the user unsubscribed.
      CREATE TABLE thread_subscriptions (
        uid INTEGER NOT NULL,
        rid INTEGER NOT NULL,
        root TEXT NOT NULL,
        subscribed INTEGER NOT NULL,
        automatic INTEGER NOT NULL,
        unsubscribed_at INTEGER,
        pos INTEGER NOT NULL,
        PRIMARY KEY (uid, rid, root)
      ) WITHOUT ROWID;
      CREATE INDEX thread_subscriptions_pos ON thread_subscriptions (pos);
    `,
  },
  {
    id: '0017-presence',
    sql: `
      -- How users are shown to others, and since which ephemeral sequence number. Times in milliseconds; devices: those that are
      -- there, as JSON, with what they say and since when they are missing. See kept-presence.ts.
      CREATE TABLE presence (
        uid INTEGER PRIMARY KEY,
        shown TEXT NOT NULL,
        changed INTEGER NOT NULL,
        last_active INTEGER,
        told_at INTEGER,
        status_msg TEXT,
        profile TEXT NOT NULL,
        devices TEXT NOT NULL
      ) WITHOUT ROWID;
    `,
  },
  {
    id: '0018-earlier-memberships',
    sql: `
      -- What the user was before, as JSON: membership-history.ts. Null where nobody has noted it.
      ALTER TABLE user_room ADD COLUMN earlier TEXT;
    `,
  },
  {
    id: '0019-presence-of-others',
    sql: `
      -- A single row: how users of other servers and other shards are shown, as JSON, and the last ephemeral sequence number that was
      -- given for them. See kept-others.ts.
      CREATE TABLE presence_of_others (id INTEGER PRIMARY KEY, changed INTEGER NOT NULL, users TEXT NOT NULL);
    `,
  },
  {
    id: '0020-read-by-sending',
    sql: `
      -- The local user who has read, by sending the event, what was said before it in its thread; null for the main timeline.
      ALTER TABLE log ADD COLUMN reader INTEGER;
      ALTER TABLE log ADD COLUMN reader_thread TEXT;
    `,
  },
]
