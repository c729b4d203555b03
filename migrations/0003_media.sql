-- Media of local users. The content is in R2 under `object`, which is NULL while an id that was created ahead of its
-- upload waits for it, until `expires_at`. Times are in milliseconds.
CREATE TABLE media (
  media_id TEXT PRIMARY KEY,
  user_id TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  expires_at INTEGER,
  object TEXT,
  content_type TEXT,
  filename TEXT,
  size INTEGER
) WITHOUT ROWID;

-- Only ids without content are counted by user.
CREATE INDEX media_pending ON media (user_id) WHERE object IS NULL;
