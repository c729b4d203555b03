-- What pages said of themselves, for clients that show links. `page` is a hash of the URL and of the languages asked for, `answer`
-- what clients are told, as JSON. Times are in milliseconds.
CREATE TABLE url_previews (
  page TEXT NOT NULL,
  fetched_at INTEGER NOT NULL,
  expires_at INTEGER NOT NULL,
  answer TEXT NOT NULL,
  PRIMARY KEY (page, fetched_at)
) WITHOUT ROWID;
