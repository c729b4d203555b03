-- What users reported: an event of a room, a room, or a user. Times are milliseconds since the epoch.
CREATE TABLE reports (
  id INTEGER PRIMARY KEY NOT NULL,
  reporter TEXT NOT NULL,
  room_id TEXT,
  event_id TEXT,
  user_id TEXT,
  -- Empty where none was given.
  reason TEXT NOT NULL,
  -- -100 for the worst to 0, from clients that still send one.
  score INTEGER,
  created_at INTEGER NOT NULL
);
