-- The rooms that application services publish for networks that they reach, beside the directory of the server. `appservice` is the
-- id of the application service, `network` what it calls the network.
CREATE TABLE appservice_directory (
  appservice TEXT NOT NULL,
  network TEXT NOT NULL,
  room_id TEXT NOT NULL,
  PRIMARY KEY (appservice, network, room_id)
) WITHOUT ROWID;
