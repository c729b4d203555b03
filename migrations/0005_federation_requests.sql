-- What other servers ask for without naming its room, and the tokens by which users prove to others who they are.

-- One row an event of a room that has other servers in it.
CREATE TABLE event_rooms (
  event_id TEXT NOT NULL PRIMARY KEY,
  room_id TEXT NOT NULL
) WITHOUT ROWID;

-- Tokens are stored as SHA-256. Times are milliseconds since the epoch.
CREATE TABLE openid_tokens (
  token_hash TEXT NOT NULL PRIMARY KEY,
  user_id TEXT NOT NULL,
  expires_at INTEGER NOT NULL
) WITHOUT ROWID;
