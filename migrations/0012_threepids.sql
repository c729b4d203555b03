-- Third-party identifiers: addresses that people can be reached by. In canonical form; times are milliseconds since the epoch.

-- Those that users have added to their accounts, each to one.
CREATE TABLE threepids (
  medium TEXT NOT NULL,
  address TEXT NOT NULL,
  user_id TEXT NOT NULL,
  validated_at INTEGER NOT NULL,
  added_at INTEGER NOT NULL,
  PRIMARY KEY (medium, address)
) WITHOUT ROWID;
CREATE INDEX threepids_user ON threepids (user_id);

-- Attempts to show that an address is one's own: what the client was told, and the hash of what the address was.
CREATE TABLE threepid_validations (
  sid TEXT PRIMARY KEY NOT NULL,
  -- register, password or add.
  purpose TEXT NOT NULL,
  medium TEXT NOT NULL,
  address TEXT NOT NULL,
  -- Null where the mail said that nothing can come of it.
  token_hash TEXT,
  -- The number of the last mail.
  send_attempt INTEGER NOT NULL,
  next_link TEXT,
  expires_at INTEGER NOT NULL,
  validated_at INTEGER,
  -- For whom it has served its purpose, which it does once.
  used_by TEXT
) WITHOUT ROWID;
CREATE INDEX threepid_validations_expiry ON threepid_validations (expires_at);

-- How many mails an address got since a time, so that nobody floods it.
CREATE TABLE validation_mails (
  -- SHA-256.
  address_hash TEXT PRIMARY KEY NOT NULL,
  since INTEGER NOT NULL,
  mails INTEGER NOT NULL
) WITHOUT ROWID;
