-- What a session of interactive authentication offers, and what its stages keep meanwhile.

-- A JSON object: the flows and params that its client was told.
ALTER TABLE interactive_auth_sessions ADD COLUMN offer TEXT NOT NULL DEFAULT '{"flows":[],"params":{}}';
-- A JSON object, by stage.
ALTER TABLE interactive_auth_sessions ADD COLUMN data TEXT NOT NULL DEFAULT '{}';
