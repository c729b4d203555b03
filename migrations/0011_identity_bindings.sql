-- Which identifiers users have bound through this server, and at which identity servers: that is where they are unbound.
CREATE TABLE identity_bindings (
  user_id TEXT NOT NULL,
  medium TEXT NOT NULL,
  address TEXT NOT NULL,
  id_server TEXT NOT NULL,
  PRIMARY KEY (user_id, medium, address, id_server)
) WITHOUT ROWID;
