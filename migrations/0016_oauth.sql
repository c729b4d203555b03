-- The OAuth 2.0 API: clients, browsers that are signed in, and grants on their way. Times are milliseconds since the epoch; tokens and
-- codes are stored as SHA-256 only.

CREATE TABLE oauth_clients (
  -- Follows from the metadata, so that clients with the same metadata are one.
  client_id TEXT NOT NULL PRIMARY KEY,
  -- What was registered, as a JSON object.
  metadata TEXT NOT NULL,
  -- When somebody last registered it.
  registered_at INTEGER NOT NULL
) WITHOUT ROWID;
-- Old ones are found without reading all: anybody may register any number.
CREATE INDEX oauth_clients_registration ON oauth_clients (registered_at);

-- Sessions that a client got by the OAuth 2.0 API are its own, and bound to the scope that was agreed to.
ALTER TABLE sessions ADD COLUMN client_id TEXT;
ALTER TABLE refresh_tokens ADD COLUMN client_id TEXT;
ALTER TABLE refresh_tokens ADD COLUMN scope TEXT;
-- Which clients have sessions: a client that has one is kept. Nothing is written here for other sessions.
CREATE INDEX refresh_tokens_client ON refresh_tokens (client_id) WHERE client_id IS NOT NULL;

CREATE TABLE oauth_browser_sessions (
  cookie_hash TEXT NOT NULL PRIMARY KEY,
  user_id TEXT NOT NULL,
  expires_at INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX oauth_browser_sessions_user ON oauth_browser_sessions (user_id);

CREATE TABLE oauth_codes (
  code_hash TEXT NOT NULL PRIMARY KEY,
  client_id TEXT NOT NULL,
  user_id TEXT NOT NULL,
  redirect_uri TEXT NOT NULL,
  code_challenge TEXT NOT NULL,
  scope TEXT NOT NULL,
  device_id TEXT NOT NULL,
  expires_at INTEGER NOT NULL,
  -- A code is taken once. Who takes it again ends what was made of it: the device in this generation.
  taken INTEGER NOT NULL DEFAULT 0,
  replayed INTEGER NOT NULL DEFAULT 0,
  generation INTEGER
) WITHOUT ROWID;
CREATE INDEX oauth_codes_expiry ON oauth_codes (expires_at);

CREATE TABLE oauth_device_codes (
  code_hash TEXT NOT NULL PRIMARY KEY,
  -- What somebody types in on another device.
  user_code TEXT NOT NULL UNIQUE,
  client_id TEXT NOT NULL,
  scope TEXT NOT NULL,
  device_id TEXT NOT NULL,
  expires_at INTEGER NOT NULL,
  -- When the client may ask next, and how long it waits in between, in milliseconds.
  next_poll_at INTEGER NOT NULL,
  interval_ms INTEGER NOT NULL,
  denied INTEGER NOT NULL DEFAULT 0,
  -- Who has agreed.
  user_id TEXT
) WITHOUT ROWID;
CREATE INDEX oauth_device_codes_expiry ON oauth_device_codes (expires_at);

-- Users who have agreed on the account page that a client replaces their cross-signing keys.
CREATE TABLE cross_signing_resets (
  user_id TEXT NOT NULL PRIMARY KEY,
  expires_at INTEGER NOT NULL
) WITHOUT ROWID;
