-- Signing keys of other servers. Times are milliseconds since the epoch.

-- One row a key. Keys are never forgotten: old events stay to be checked.
CREATE TABLE remote_keys (
  server_name TEXT NOT NULL,
  key_id TEXT NOT NULL,
  -- Unpadded base64.
  public_key TEXT NOT NULL,
  -- Until when the key may sign: at most 7 days after it was fetched, or when it expired.
  valid_until_ts INTEGER NOT NULL,
  -- Whether its server has stopped using it.
  old INTEGER NOT NULL,
  fetched_at INTEGER NOT NULL,
  -- The signed answer that named it as a key in use, for those who ask this server as a notary; null for a key that was
  -- old when it was first seen.
  response TEXT,
  PRIMARY KEY (server_name, key_id)
) WITHOUT ROWID;
