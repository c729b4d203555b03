-- Accounts: users, sessions, profiles, registration tokens, interactive authentication.
-- Times are milliseconds since the epoch. Tokens are stored as SHA-256 only, except those an operator hands out.

CREATE TABLE users (
  user_id TEXT NOT NULL PRIMARY KEY,
  -- The Hub shard that holds the user's log and devices.
  shard INTEGER NOT NULL,
  -- A PHC string, null for guests and deactivated users: no password fits.
  password_hash TEXT,
  admin INTEGER NOT NULL DEFAULT 0,
  guest INTEGER NOT NULL DEFAULT 0,
  locked INTEGER NOT NULL DEFAULT 0,
  suspended INTEGER NOT NULL DEFAULT 0,
  -- Whether a deactivated user asked for their content to be erased.
  erased INTEGER NOT NULL DEFAULT 0,
  created_at INTEGER NOT NULL,
  deactivated_at INTEGER
) WITHOUT ROWID;

CREATE TABLE sessions (
  token_hash TEXT NOT NULL PRIMARY KEY,
  user_id TEXT NOT NULL,
  device_id TEXT NOT NULL,
  -- The generation of the device the session was made for.
  generation INTEGER NOT NULL,
  created_at INTEGER NOT NULL,
  expires_at INTEGER,
  -- The refresh token that this session replaces: invalidated when the session is used for the first time.
  supersedes TEXT
) WITHOUT ROWID;
CREATE INDEX sessions_device ON sessions (user_id, device_id);

CREATE TABLE refresh_tokens (
  token_hash TEXT NOT NULL PRIMARY KEY,
  user_id TEXT NOT NULL,
  device_id TEXT NOT NULL,
  generation INTEGER NOT NULL,
  created_at INTEGER NOT NULL,
  supersedes TEXT,
  -- Set once a successor was used. Presenting the token again then ends all sessions of the device.
  invalidated_at INTEGER
) WITHOUT ROWID;
CREATE INDEX refresh_tokens_device ON refresh_tokens (user_id, device_id);

CREATE TABLE login_tokens (
  token_hash TEXT NOT NULL PRIMARY KEY,
  user_id TEXT NOT NULL,
  expires_at INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE profiles (
  user_id TEXT NOT NULL PRIMARY KEY,
  displayname TEXT,
  avatar_url TEXT,
  -- All other fields, as a JSON object.
  fields TEXT NOT NULL DEFAULT '{}'
) WITHOUT ROWID;

CREATE TABLE registration_tokens (
  token TEXT NOT NULL PRIMARY KEY,
  -- Null: any number.
  uses_allowed INTEGER,
  completed INTEGER NOT NULL DEFAULT 0,
  expires_at INTEGER,
  -- Whether the account becomes an administrator. Such a token only works while there is none.
  makes_admin INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;

CREATE TABLE interactive_auth_sessions (
  session_id TEXT NOT NULL PRIMARY KEY,
  -- Method and path of the request, and a hash of its body without auth.
  operation TEXT NOT NULL,
  body_hash TEXT NOT NULL,
  -- Who must authenticate, null where the request carried no access token.
  user_id TEXT,
  -- A JSON list of stages.
  completed TEXT NOT NULL DEFAULT '[]',
  -- The registration token in use: the live sessions that name one are its pending uses.
  registration_token TEXT,
  expires_at INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX interactive_auth_expiry ON interactive_auth_sessions (expires_at);

CREATE TABLE shared_secret_nonces (
  nonce TEXT NOT NULL PRIMARY KEY,
  expires_at INTEGER NOT NULL
) WITHOUT ROWID;
