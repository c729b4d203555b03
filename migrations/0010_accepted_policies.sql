-- Which documents users were shown and accepted when they registered. Kept when an account is deactivated.
CREATE TABLE accepted_policies (
  user_id TEXT NOT NULL,
  policy_id TEXT NOT NULL,
  version TEXT NOT NULL,
  accepted_at INTEGER NOT NULL,
  PRIMARY KEY (user_id, policy_id, version)
) WITHOUT ROWID;
