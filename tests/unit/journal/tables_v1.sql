-- The journal, version 1. One file, journal.db, in WAL mode; opened by `hamletd` alone for writing and by the group `hamlet` for
-- reading. Times: "mono" is milliseconds of CLOCK_BOOTTIME within a boot; boots maps them to wall time.
--
-- The four lanes are four tables, alike, so that each has numbers and pages of its own. seq is the rowid: a new record is an
-- append to one B-tree, and there is no other index to write. Rows are never changed.

CREATE TABLE alarm (           -- lane 0: transitions of alarms
  seq   INTEGER PRIMARY KEY,   -- number of the record in its lane and epoch, from 1, without holes
  boot  INTEGER NOT NULL,      -- boots.boot in which it was appended
  mono  INTEGER NOT NULL,      -- its time, ms in that boot
  rev   INTEGER NOT NULL,      -- revision of the contract's `meta` that it speaks of
  topic TEXT    NOT NULL,      -- below the base: "alarmlog/river-level-high"
  body  TEXT    NOT NULL,      -- the message without its envelope; times are marks (sync/contract/contract.hpp)
  crc   INTEGER NOT NULL       -- CRC-32 (IEEE) of epoch, lane and all of the above, as a signed 32-bit number
);

CREATE TABLE event (           -- lane 1: what happened
  seq   INTEGER PRIMARY KEY,   -- as above
  boot  INTEGER NOT NULL,      -- as above
  mono  INTEGER NOT NULL,      -- as above
  rev   INTEGER NOT NULL,      -- as above
  topic TEXT    NOT NULL,      -- below the base: "event/cam-ford/motion"
  body  TEXT    NOT NULL,      -- as above
  crc   INTEGER NOT NULL       -- as above
);

CREATE TABLE tele (            -- lane 2: batches of readings
  seq   INTEGER PRIMARY KEY,   -- as above
  boot  INTEGER NOT NULL,      -- as above
  mono  INTEGER NOT NULL,      -- as above; not before any reading in the batch
  rev   INTEGER NOT NULL,      -- as above
  topic TEXT,                  -- null: the lane has one topic, "tele"
  body  TEXT    NOT NULL,      -- as above
  crc   INTEGER NOT NULL       -- as above
);

CREATE TABLE media (           -- lane 3: pictures
  seq   INTEGER PRIMARY KEY,   -- as above
  boot  INTEGER NOT NULL,      -- as above
  mono  INTEGER NOT NULL,      -- as above
  rev   INTEGER NOT NULL,      -- as above
  topic TEXT    NOT NULL,      -- below the base: "media/{epoch}-{seq}"
  body  TEXT    NOT NULL,      -- name of the JPEG in the folder media/, durable before this row is
  crc   INTEGER NOT NULL       -- as above
);

CREATE TABLE position (        -- how far each uplink has come in each lane; may lag behind by one commit window
  uplink TEXT    NOT NULL,     -- the uplink's id
  lane   INTEGER NOT NULL,     -- 0 alarm, 1 event, 2 tele, 3 media; frozen
  prefix INTEGER NOT NULL,     -- everything up to this number is done
  beyond TEXT    NOT NULL,     -- what is done beyond it: "12-14,20-20", sorted, at most 64 ranges
  PRIMARY KEY (uplink, lane)
) WITHOUT ROWID;

CREATE TABLE state (           -- small things that must be as durable as the records they belong to
  key   TEXT NOT NULL PRIMARY KEY,  -- "alarm/{id}", "detect/…", "command/{id}"
  value TEXT NOT NULL               -- up to 64 KiB; "alarm/{id}": the contract's alarm object, `since` as {"boot","mono"}
) WITHOUT ROWID;

CREATE TABLE boots (           -- stretches of each boot of the kernel and the wall time they map to
  boot      INTEGER NOT NULL,  -- number of the boot, from 1
  from_mono INTEGER NOT NULL,  -- the stretch begins here, ms in that boot, and lasts until the next one
  boot_id   TEXT    NOT NULL,  -- the kernel's id of the boot, 32 hex digits
  offset    INTEGER NOT NULL,  -- add it to mono: UTC in ms since 1970
  quality   INTEGER NOT NULL,  -- 0 unsynced, 1 synced, 2 holdover, 3 repaired; frozen
  error     INTEGER,           -- how far the time may be off, ms; null: nobody knows
  PRIMARY KEY (boot, from_mono)
) WITHOUT ROWID;

CREATE TABLE meta (            -- single facts
  key   TEXT NOT NULL PRIMARY KEY,  -- "epoch": 16 hex digits, made with the file
                                    -- "machine_id": machine-id(5) of the machine that writes it
                                    -- "high/alarm", "high/event", "high/tele", "high/media": a number that is used up although no
                                    --   row has it any more; whoever trims a lane writes it in the same transaction
  value TEXT NOT NULL               -- numbers as decimals
) WITHOUT ROWID;
