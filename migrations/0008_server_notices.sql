-- The room in which each user gets notices of the server: exactly one.
CREATE TABLE server_notice_rooms (
  user_id TEXT PRIMARY KEY NOT NULL,
  room_id TEXT NOT NULL
) WITHOUT ROWID;
