-- Rooms as the directory and searches need to find them, and the aliases this server hosts.

CREATE TABLE room_aliases (
  alias TEXT NOT NULL PRIMARY KEY,
  room_id TEXT NOT NULL,
  -- Who may remove the alias besides those with the power to.
  creator TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX room_aliases_room ON room_aliases (room_id);

-- One row a room that this server is in, written by the room itself.
CREATE TABLE rooms (
  room_id TEXT NOT NULL PRIMARY KEY,
  version TEXT NOT NULL,
  type TEXT,
  name TEXT,
  topic TEXT,
  canonical_alias TEXT,
  avatar_url TEXT,
  join_rule TEXT NOT NULL,
  guest_can_join INTEGER NOT NULL,
  world_readable INTEGER NOT NULL,
  -- The algorithm, null where the room is not encrypted.
  encryption TEXT,
  joined_members INTEGER NOT NULL,
  -- Whether the room is in the published room directory.
  published INTEGER NOT NULL,
  -- What the search term of the directory is looked for in, in lower case.
  search TEXT NOT NULL,
  -- The position in the room that the row tells of.
  position INTEGER NOT NULL
) WITHOUT ROWID;
-- Not by the number of members: a join would then write more than its row.
CREATE INDEX rooms_published ON rooms (room_id) WHERE published = 1;
