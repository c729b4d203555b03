-- Single sign-on: who of the identity providers' users is which account, and sign-ins on their way. Times are milliseconds since the
-- epoch.

CREATE TABLE sso_links (
  -- The `id` of the provider in SSO_PROVIDERS, and what it knows its user by for good.
  provider TEXT NOT NULL,
  subject TEXT NOT NULL,
  user_id TEXT NOT NULL,
  linked_at INTEGER NOT NULL,
  PRIMARY KEY (provider, subject)
) WITHOUT ROWID;
-- An account is no more than one user of each provider.
CREATE UNIQUE INDEX sso_links_user ON sso_links (user_id, provider);

CREATE TABLE sso_attempts (
  -- SHA-256 of the `state` that the provider hands back, and of the cookie of the browser that began.
  id TEXT PRIMARY KEY NOT NULL,
  browser TEXT NOT NULL,
  provider TEXT NOT NULL,
  nonce TEXT NOT NULL,
  code_verifier TEXT NOT NULL,
  -- A login: where its token goes, and what the client said that the user wants.
  redirect_url TEXT,
  action TEXT,
  -- Interactive authentication: its session.
  auth_session TEXT,
  -- Whether the provider's answer has been taken: it is once.
  answered INTEGER NOT NULL DEFAULT 0,
  -- What the answer said: who it is of those who have an account, or a JSON object with what a new account is made of.
  user_id TEXT,
  identity TEXT,
  expires_at INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX sso_attempts_expiry ON sso_attempts (expires_at);
