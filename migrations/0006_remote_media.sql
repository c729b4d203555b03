-- Media of other servers that is kept here. The content is in R2 under `object`; NULL says that it was larger than `size`
-- bytes, which was the limit then. `variant` is empty for the content itself, and names the thumbnail where the other
-- server made one. `used_at` is written once a day at most. Times are in milliseconds.
CREATE TABLE remote_media (
  server_name TEXT NOT NULL,
  media_id TEXT NOT NULL,
  variant TEXT NOT NULL,
  object TEXT,
  content_type TEXT NOT NULL,
  filename TEXT,
  size INTEGER NOT NULL,
  used_at INTEGER NOT NULL,
  PRIMARY KEY (server_name, media_id, variant)
) WITHOUT ROWID;
