-- The journal, version 2. One file, journal.db, in WAL mode; opened by `hamletd` alone for writing and by the group `hamlet` for
-- reading. Times: "mono" is milliseconds of CLOCK_BOOTTIME within a boot; boots maps them to wall time. Every row has its own
-- checksum, since SQLite's pages have none: crc is CRC-32 (IEEE) of the row, as a signed 32-bit number.
--
-- The four lanes are four tables, alike, so that each has numbers and pages of its own. A row is a block: the records of one lane
-- that were committed together (sync/journal/block.hpp). Its key is the rowid: a commit is an append to one B-tree, and there is no
-- other index to write. Rows are never changed. Pages are of 1 KiB: a commit then costs the card one or two of its own, not four.

CREATE TABLE alarm (           -- lane 0: transitions of alarms
  key     INTEGER PRIMARY KEY, -- epoch.generation * 2^40 + seq of the block's last record; seq counts from 1 in each epoch and has no holes
  count   INTEGER NOT NULL,    -- of records in the block: they are numbered up to the key's seq
  boot    INTEGER NOT NULL,    -- boots.boot in which they were appended
  mono    INTEGER NOT NULL,    -- time of the last of them, ms in that boot
  packing INTEGER NOT NULL,    -- 0 plain, 1 zstd with the contract's dictionary 1; frozen
  data    BLOB    NOT NULL,    -- time, revision of `meta`, topic and message of each record; the message without its envelope
  crc     INTEGER NOT NULL     -- of epoch.id, lane and all of the above
);

CREATE TABLE event (           -- lane 1: what happened
  key     INTEGER PRIMARY KEY, -- as above
  count   INTEGER NOT NULL,    -- as above
  boot    INTEGER NOT NULL,    -- as above
  mono    INTEGER NOT NULL,    -- as above
  packing INTEGER NOT NULL,    -- as above
  data    BLOB    NOT NULL,    -- as above
  crc     INTEGER NOT NULL     -- as above
);

CREATE TABLE tele (            -- lane 2: batches of readings
  key     INTEGER PRIMARY KEY, -- as above
  count   INTEGER NOT NULL,    -- as above; of batches
  boot    INTEGER NOT NULL,    -- as above
  mono    INTEGER NOT NULL,    -- as above; not before any reading in the batch
  packing INTEGER NOT NULL,    -- as above
  data    BLOB    NOT NULL,    -- as above; a batch is packed (sync/contract/packed.hpp) and has no topic
  crc     INTEGER NOT NULL     -- as above
);

CREATE TABLE media (           -- lane 3: pictures
  key     INTEGER PRIMARY KEY, -- as above
  count   INTEGER NOT NULL,    -- as above
  boot    INTEGER NOT NULL,    -- as above
  mono    INTEGER NOT NULL,    -- as above
  packing INTEGER NOT NULL,    -- as above
  data    BLOB    NOT NULL,    -- as above; the message is the name of the JPEG in the folder media/, durable before this row is
  crc     INTEGER NOT NULL     -- as above
);

CREATE TABLE epoch (           -- the epochs whose records may still be here; the newest is the one that goes on
  generation INTEGER PRIMARY KEY, -- 0, 1, 2 ...
  id         TEXT    NOT NULL, -- 16 hex digits, random
  reason     TEXT    NOT NULL, -- why it was made: "new", "moved", "restored", "behind", "salvaged"
  alarm      INTEGER NOT NULL, -- a number that is used up although no row may have it any more: trimming writes it
  event      INTEGER NOT NULL, -- as above
  tele       INTEGER NOT NULL, -- as above
  media      INTEGER NOT NULL, -- as above
  crc        INTEGER NOT NULL
);

CREATE TABLE position (        -- how far each uplink has come in each lane; may lag behind
  uplink     TEXT    NOT NULL, -- the uplink's id
  generation INTEGER NOT NULL, -- of the epoch
  lane       INTEGER NOT NULL, -- 0 alarm, 1 event, 2 tele, 3 media; frozen
  prefix     INTEGER NOT NULL, -- everything up to this number is sent
  beyond     TEXT    NOT NULL, -- what is sent beyond it: "12-14,20-20", sorted, at most 64 ranges
  stored     INTEGER NOT NULL, -- everything up to this number is stored by the county: it may be forgotten
  crc        INTEGER NOT NULL,
  PRIMARY KEY (uplink, generation, lane)
) WITHOUT ROWID;

CREATE TABLE state (           -- small things that must be as durable as the records they belong to
  key   TEXT NOT NULL PRIMARY KEY,  -- "alarm/{id}", "detect/...", "command/{id}"
  value TEXT NOT NULL,              -- up to 64 KiB; "alarm/{id}": the contract's alarm object, `since` as {"boot","mono"}
  crc   INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE boots (           -- stretches of each boot of the kernel and the wall time they map to
  boot      INTEGER NOT NULL,  -- number of the boot, from 1
  from_mono INTEGER NOT NULL,  -- the stretch begins here, ms in that boot, and lasts until the next one
  boot_id   TEXT    NOT NULL,  -- the kernel's id of the boot, 32 hex digits
  offset    INTEGER NOT NULL,  -- add it to mono: UTC in ms since 1970
  quality   INTEGER NOT NULL,  -- 0 unsynced, 1 synced, 2 holdover, 3 repaired; frozen
  error     INTEGER,           -- how far the time may be off, ms; null: nobody knows
  until     INTEGER,           -- of a boot that is over: the last that is known of it, ms in that boot; null while it runs
  crc       INTEGER NOT NULL,
  PRIMARY KEY (boot, from_mono)
) WITHOUT ROWID;

CREATE TABLE name (            -- what packed readings say by number: points, and reasons of a quality
  id   INTEGER PRIMARY KEY,    -- from 1; never given to another name
  name TEXT    NOT NULL,
  crc  INTEGER NOT NULL
);

CREATE TABLE meta (            -- single facts
  key   TEXT NOT NULL PRIMARY KEY,  -- "machine_id": machine-id(5) of the machine that writes it
                                    -- "salvage": name of a damaged journal from which records are still being taken over
                                    -- "hole/{lane}/{key}": numbers up to this key have no rows and were declared lost; value: from which key on
                                    -- "waiting/{lane}": on a full disk, the first key whose number is used and whose record is not here yet
                                    -- "written/{hour}": bytes written to disk in an hour since 1970 of this journal's wall time
  value TEXT NOT NULL
) WITHOUT ROWID;
