-- The ledger's tables, format 5. `events` is the authoritative record. Every other table but `messages`
-- follows from it: guardedit/ledger/events/projection.py writes them in the same transaction as the event, and
-- `verify` replays all events into an empty database and compares. `verify` also compares the text of each
-- statement, from CREATE to the semicolon, comments included. So that text can only change together with
-- the format and a migration (migrating.py).

CREATE TABLE IF NOT EXISTS events (
  seq       INTEGER PRIMARY KEY,
  at_s      REAL NOT NULL,
  kind      TEXT NOT NULL,
  body      TEXT NOT NULL,  -- JSON
  prev_hash TEXT NOT NULL,  -- hash of event seq - 1, '' for the first
  hash      TEXT NOT NULL   -- sha256 over prev_hash and this row
) STRICT;
CREATE INDEX IF NOT EXISTS events_by_kind ON events (kind, seq);

-- An insert trigger as well, because INSERT OR REPLACE deletes without firing the delete trigger.
CREATE TRIGGER IF NOT EXISTS events_append BEFORE INSERT ON events
WHEN NEW.seq <> (SELECT coalesce(max(seq), 0) + 1 FROM events)
  OR NEW.prev_hash <> coalesce((SELECT hash FROM events ORDER BY seq DESC LIMIT 1), '')
BEGIN SELECT RAISE(ABORT, 'events is append-only: the row does not follow the last one'); END;
CREATE TRIGGER IF NOT EXISTS events_no_update BEFORE UPDATE ON events
BEGIN SELECT RAISE(ABORT, 'events is append-only: no UPDATE'); END;
CREATE TRIGGER IF NOT EXISTS events_no_delete BEFORE DELETE ON events
BEGIN SELECT RAISE(ABORT, 'events is append-only: no DELETE'); END;

-- The original bytes of every delivery by their digest.
CREATE TABLE IF NOT EXISTS messages (
  sha256 TEXT PRIMARY KEY,
  raw    BLOB NOT NULL
) STRICT;
CREATE TRIGGER IF NOT EXISTS messages_no_update BEFORE UPDATE ON messages
BEGIN SELECT RAISE(ABORT, 'messages is append-only: no UPDATE'); END;
CREATE TRIGGER IF NOT EXISTS messages_no_delete BEFORE DELETE ON messages
BEGIN SELECT RAISE(ABORT, 'messages is append-only: no DELETE'); END;

CREATE TABLE IF NOT EXISTS epochs (
  number         INTEGER PRIMARY KEY,
  kind           TEXT NOT NULL,
  reason         TEXT NOT NULL,
  base_sha256    TEXT NOT NULL,
  policy_sha256  TEXT NOT NULL,
  weights_sha256 TEXT NOT NULL,
  state_sha256   TEXT NOT NULL,
  created_at_s   REAL NOT NULL
) STRICT;

CREATE TABLE IF NOT EXISTS refs (
  name  TEXT PRIMARY KEY,
  epoch INTEGER NOT NULL REFERENCES epochs (number)
) STRICT;

-- The present state of each message. `fate` is `received` while it waits.
CREATE TABLE IF NOT EXISTS inbox (
  seq            INTEGER PRIMARY KEY,
  source         TEXT NOT NULL,
  position       TEXT NOT NULL,
  raw_sha256     TEXT NOT NULL REFERENCES messages (sha256),
  received_at_s  REAL NOT NULL,
  fate           TEXT NOT NULL DEFAULT 'received',
  reason         TEXT NOT NULL DEFAULT '',
  correction_id  TEXT,
  content_sha256 TEXT,
  settled_at_s   REAL,
  epoch          INTEGER REFERENCES epochs (number),
  released       INTEGER NOT NULL DEFAULT 0,
  dropped        INTEGER NOT NULL DEFAULT 0,
  -- The digest belongs to the key: a file that was edited and sent again is not a redelivery.
  UNIQUE (source, position, raw_sha256)
) STRICT;
CREATE INDEX IF NOT EXISTS inbox_by_fate ON inbox (fate, seq);
CREATE INDEX IF NOT EXISTS inbox_by_id ON inbox (correction_id);
CREATE UNIQUE INDEX IF NOT EXISTS inbox_one_decided_row_an_id ON inbox (correction_id)
  WHERE fate IN ('accepted', 'unchanged', 'held', 'rejected', 'superseded');

-- One row for each settlement; a message that was held and released has two.
CREATE TABLE IF NOT EXISTS decisions (
  event_seq     INTEGER PRIMARY KEY REFERENCES events (seq),
  inbox_seq     INTEGER NOT NULL REFERENCES inbox (seq),
  source        TEXT NOT NULL,
  at_s          REAL NOT NULL,
  fate          TEXT NOT NULL,
  reason        TEXT NOT NULL,
  correction_id TEXT,
  route         TEXT NOT NULL,  -- '' where the policy was not asked
  rule          TEXT NOT NULL,
  method        TEXT NOT NULL,
  policy_sha256 TEXT NOT NULL,
  body          TEXT            -- the whole decision with its trace, JSON
) STRICT;
CREATE INDEX IF NOT EXISTS decisions_by_inbox ON decisions (inbox_seq);
CREATE INDEX IF NOT EXISTS decisions_by_correction ON decisions (correction_id);
CREATE INDEX IF NOT EXISTS decisions_by_label ON decisions (source, route, fate);
CREATE UNIQUE INDEX IF NOT EXISTS decisions_accept_an_id_once ON decisions (correction_id)
  WHERE fate = 'accepted';

-- Names (folded) whose answers a settled correction can change.
CREATE TABLE IF NOT EXISTS reach (
  event_seq INTEGER NOT NULL REFERENCES decisions (event_seq),
  name      TEXT NOT NULL,
  PRIMARY KEY (event_seq, name)
) STRICT;
CREATE INDEX IF NOT EXISTS reach_by_name ON reach (name, event_seq);

-- What each epoch changed, in order. `fact` NULL: the key has no fact any more. The names are subject,
-- relation and target in their comparable form, as guardedit.naming folded them when the change was made.
CREATE TABLE IF NOT EXISTS changes (
  epoch         INTEGER NOT NULL REFERENCES epochs (number),
  n             INTEGER NOT NULL,
  subject       TEXT NOT NULL,
  relation      TEXT NOT NULL,
  tenant        TEXT NOT NULL,
  target        TEXT NOT NULL,  -- '' but for a key of a many-valued relation
  subject_name  TEXT NOT NULL,
  relation_name TEXT NOT NULL,
  target_name   TEXT NOT NULL,
  correction_id TEXT NOT NULL,  -- '' where no correction asked for it, as with an expiry
  reported_at_s REAL,           -- when the source said so; NULL: it did not say when
  fact_id       TEXT,
  version       INTEGER,
  placement     TEXT,
  fact          TEXT,           -- JSON
  PRIMARY KEY (epoch, n)
) STRICT;
CREATE INDEX IF NOT EXISTS changes_by_key ON changes (subject, relation, tenant, target, epoch, n);
CREATE INDEX IF NOT EXISTS changes_by_name ON changes (subject_name, relation_name, target_name, tenant, epoch, n);
CREATE INDEX IF NOT EXISTS changes_by_fact ON changes (fact_id);
CREATE INDEX IF NOT EXISTS changes_by_correction ON changes (correction_id);

CREATE VIEW IF NOT EXISTS live_facts AS
SELECT * FROM changes c
WHERE fact IS NOT NULL AND NOT EXISTS (
  SELECT 1 FROM changes later
  WHERE (later.subject, later.relation, later.tenant, later.target) = (c.subject, c.relation, c.tenant, c.target)
    AND (later.epoch, later.n) > (c.epoch, c.n)
);

-- A weight edit: its payload (the blob `digest`) and the facts in it.
CREATE TABLE IF NOT EXISTS edits (
  digest      TEXT NOT NULL,
  facts       TEXT NOT NULL,  -- JSON list of fact ids
  subject     TEXT NOT NULL,
  method      TEXT NOT NULL,
  diagnostics TEXT NOT NULL,  -- JSON
  PRIMARY KEY (digest, facts)
) STRICT;

-- Edits that became live with an epoch or, where `facts` is NULL, were removed with it.
CREATE TABLE IF NOT EXISTS epoch_edits (
  epoch  INTEGER NOT NULL REFERENCES epochs (number),
  digest TEXT NOT NULL,
  facts  TEXT,
  PRIMARY KEY (epoch, digest),
  FOREIGN KEY (digest, facts) REFERENCES edits (digest, facts)
) STRICT;
CREATE INDEX IF NOT EXISTS epoch_edits_by_digest ON epoch_edits (digest, epoch);

-- Edits kept for reuse. `content_key` covers everything that the optimisation depended on; `group_key` only
-- what the edit is for, not the edits that it was optimised together with. The latest row of a content key
-- counts.
CREATE TABLE IF NOT EXISTS edit_cache (
  event_seq   INTEGER NOT NULL REFERENCES events (seq),
  n           INTEGER NOT NULL,
  content_key TEXT NOT NULL,
  group_key   TEXT NOT NULL,
  digest      TEXT NOT NULL,
  facts       TEXT NOT NULL,
  PRIMARY KEY (event_seq, n),
  FOREIGN KEY (digest, facts) REFERENCES edits (digest, facts)
) STRICT;
CREATE INDEX IF NOT EXISTS edit_cache_by_content ON edit_cache (content_key, event_seq, n);
CREATE INDEX IF NOT EXISTS edit_cache_by_group ON edit_cache (group_key);

CREATE TABLE IF NOT EXISTS verdicts (
  event_seq INTEGER PRIMARY KEY REFERENCES events (seq),
  epoch     INTEGER REFERENCES epochs (number),  -- NULL: a trial that became no epoch
  outcome   TEXT NOT NULL,
  body      TEXT NOT NULL  -- JSON
) STRICT;
CREATE INDEX IF NOT EXISTS verdicts_by_epoch ON verdicts (epoch);

CREATE TABLE IF NOT EXISTS gates (
  event_seq  INTEGER NOT NULL REFERENCES verdicts (event_seq),
  n          INTEGER NOT NULL,
  gate       TEXT NOT NULL,
  outcome    TEXT NOT NULL,
  value      REAL,  -- NULL: undefined
  gate_limit REAL,
  PRIMARY KEY (event_seq, n)
) STRICT;
CREATE INDEX IF NOT EXISTS gates_by_label ON gates (gate, outcome);

CREATE TABLE IF NOT EXISTS rollbacks (
  epoch   INTEGER PRIMARY KEY REFERENCES epochs (number),
  trigger TEXT NOT NULL
) STRICT;

-- What each replica of a destination has, by name: a folder, a group of objects or an adapter. `replica` is ''
-- where the destination has no replicas.
CREATE TABLE IF NOT EXISTS publications (
  destination  TEXT NOT NULL,
  replica      TEXT NOT NULL,
  name         TEXT NOT NULL,
  epoch        INTEGER NOT NULL REFERENCES epochs (number),  -- the one that it was made for
  phase        TEXT NOT NULL,                                -- preparing, prepared or confirmed
  changed_at_s REAL NOT NULL,
  PRIMARY KEY (destination, replica, name)
) STRICT;

-- What a destination answers from, and what it answered from before and still has.
CREATE TABLE IF NOT EXISTS activations (
  destination   TEXT NOT NULL,
  name          TEXT NOT NULL,
  epoch         INTEGER NOT NULL REFERENCES epochs (number),  -- the last one that it stood for
  at_s          REAL NOT NULL,                                -- since when it stood for that one
  replaced_at_s REAL,  -- when the destination switched to another name; NULL while this one is active
  PRIMARY KEY (destination, name)
) STRICT;

-- What keeps a replica of a destination from going on.
CREATE TABLE IF NOT EXISTS publish_problems (
  destination TEXT NOT NULL,
  replica     TEXT NOT NULL,
  problem     TEXT NOT NULL,
  since_s     REAL NOT NULL,
  PRIMARY KEY (destination, replica)
) STRICT;
