-- A journal of version 1, as the first release wrote it: two boots, 24 batches of readings, events with pictures, an alarm
-- with its state, positions of one uplink. Made by that release and dumped by sqlite3(1); never changed. The pictures'
-- files are not part of it.
PRAGMA page_size = 4096;
PRAGMA journal_mode = WAL;
PRAGMA foreign_keys=OFF;
BEGIN TRANSACTION;
CREATE TABLE alarm (           -- lane 0: transitions of alarms
  seq   INTEGER PRIMARY KEY,   -- number of the record in its lane and epoch, from 1, without holes
  boot  INTEGER NOT NULL,      -- boots.boot in which it was appended
  mono  INTEGER NOT NULL,      -- its time, ms in that boot
  rev   INTEGER NOT NULL,      -- revision of the contract's `meta` that it speaks of
  topic TEXT    NOT NULL,      -- below the base: "alarmlog/river-level-high"
  body  TEXT    NOT NULL,      -- the message without its envelope; times are marks (sync/contract/contract.hpp)
  crc   INTEGER NOT NULL       -- CRC-32 (IEEE) of epoch, lane and all of the above, as a signed 32-bit number
);
INSERT INTO alarm VALUES(1,1,110000,7,'alarmlog/level-1','{"alarm":"level-1","occurrence":1,"state":"unacked","severity":"critical","since":0,"value":3.5,"limit":3,"text":{"zh":"水位高","en":"level high"},"sources":["dev-1.level"]}',-1086468460);
INSERT INTO alarm VALUES(2,1,150000,7,'alarmlog/level-1','{"alarm":"level-1","occurrence":5,"state":"normal","severity":"critical","since":0,"value":3.5,"limit":3,"text":{"zh":"水位高","en":"level high"},"sources":["dev-1.level"]}',224296399);
INSERT INTO alarm VALUES(3,1,190000,7,'alarmlog/level-1','{"alarm":"level-1","occurrence":9,"state":"unacked","severity":"critical","since":0,"value":3.5,"limit":3,"text":{"zh":"水位高","en":"level high"},"sources":["dev-1.level"]}',287923791);
INSERT INTO alarm VALUES(4,2,15000,8,'alarmlog/level-1','{"alarm":"level-1","occurrence":1,"state":"unacked","severity":"critical","since":0,"value":3.5,"limit":3,"text":{"zh":"水位高","en":"level high"},"sources":["dev-1.level"]}',-1396882892);
INSERT INTO alarm VALUES(5,2,55000,8,'alarmlog/level-1','{"alarm":"level-1","occurrence":5,"state":"normal","severity":"critical","since":0,"value":3.5,"limit":3,"text":{"zh":"水位高","en":"level high"},"sources":["dev-1.level"]}',-1605905719);
INSERT INTO alarm VALUES(6,2,95000,8,'alarmlog/level-1','{"alarm":"level-1","occurrence":9,"state":"unacked","severity":"critical","since":0,"value":3.5,"limit":3,"text":{"zh":"水位高","en":"level high"},"sources":["dev-1.level"]}',-1833443578);
CREATE TABLE event (           -- lane 1: what happened
  seq   INTEGER PRIMARY KEY,   -- as above
  boot  INTEGER NOT NULL,      -- as above
  mono  INTEGER NOT NULL,      -- as above
  rev   INTEGER NOT NULL,      -- as above
  topic TEXT    NOT NULL,      -- below the base: "event/cam-ford/motion"
  body  TEXT    NOT NULL,      -- as above
  crc   INTEGER NOT NULL       -- as above
);
INSERT INTO event VALUES(1,1,110000,7,'event/cam-ford/motion','{"source":"cam-ford","kind":"motion","phase":"start","event":"00000000000000e0","detail":{"zone":"渡口 ''ford''"},"media":["93a42a54fe73b70a-1"]}',1495088380);
INSERT INTO event VALUES(2,1,140000,7,'event/cam-ford/motion','{"source":"cam-ford","kind":"motion","phase":"start","event":"00000000000000e3","detail":{"zone":"渡口 ''ford''"},"media":["93a42a54fe73b70a-2"]}',-1331898904);
INSERT INTO event VALUES(3,1,170000,7,'event/cam-ford/motion','{"source":"cam-ford","kind":"motion","phase":"start","event":"00000000000000e6","detail":{"zone":"渡口 ''ford''"},"media":["93a42a54fe73b70a-3"]}',-2037831345);
INSERT INTO event VALUES(4,1,200000,7,'event/cam-ford/motion','{"source":"cam-ford","kind":"motion","phase":"start","event":"00000000000000e9","detail":{"zone":"渡口 ''ford''"},"media":["93a42a54fe73b70a-4"]}',-2039357933);
INSERT INTO event VALUES(5,2,15000,8,'event/cam-ford/motion','{"source":"cam-ford","kind":"motion","phase":"start","event":"00000000000000e0","detail":{"zone":"渡口 ''ford''"},"media":["93a42a54fe73b70a-5"]}',732087996);
INSERT INTO event VALUES(6,2,45000,8,'event/cam-ford/motion','{"source":"cam-ford","kind":"motion","phase":"start","event":"00000000000000e3","detail":{"zone":"渡口 ''ford''"},"media":["93a42a54fe73b70a-6"]}',1088144761);
INSERT INTO event VALUES(7,2,75000,8,'event/cam-ford/motion','{"source":"cam-ford","kind":"motion","phase":"start","event":"00000000000000e6","detail":{"zone":"渡口 ''ford''"},"media":["93a42a54fe73b70a-7"]}',-1647592051);
INSERT INTO event VALUES(8,2,105000,8,'event/cam-ford/motion','{"source":"cam-ford","kind":"motion","phase":"start","event":"00000000000000e9","detail":{"zone":"渡口 ''ford''"},"media":["93a42a54fe73b70a-8"]}',1724121239);
CREATE TABLE tele (            -- lane 2: batches of readings
  seq   INTEGER PRIMARY KEY,   -- as above
  boot  INTEGER NOT NULL,      -- as above
  mono  INTEGER NOT NULL,      -- as above; not before any reading in the batch
  rev   INTEGER NOT NULL,      -- as above
  topic TEXT,                  -- null: the lane has one topic, "tele"
  body  TEXT    NOT NULL,      -- as above
  crc   INTEGER NOT NULL       -- as above
);
INSERT INTO tele VALUES(1,1,110000,7,NULL,'{"readings":[{"s":"dev-0.level","t":0,"v":2,"q":"good"},{"s":"dev-1.level","t":-100,"v":3,"q":"suspect","why":"spike"},{"s":"dev-2.level","t":-200,"v":"open","q":"good"},{"s":"dev-3.level","t":-300,"v":true,"q":"good"}]}',-161270048);
INSERT INTO tele VALUES(2,1,120000,7,NULL,'{"readings":[{"s":"dev-0.level","t":0,"v":2.25,"q":"good"},{"s":"dev-1.level","t":-100,"v":3.25,"q":"suspect","why":"spike"},{"s":"dev-2.level","t":-200,"v":"open","q":"good"},{"s":"dev-3.level","t":-300,"v":true,"q":"good"}]}',1723060574);
INSERT INTO tele VALUES(3,1,130000,7,NULL,'{"readings":[{"s":"dev-0.level","t":0,"v":2.5,"q":"good"},{"s":"dev-1.level","t":-100,"v":3.5,"q":"suspect","why":"spike"},{"s":"dev-2.level","t":-200,"v":"open","q":"good"},{"s":"dev-3.level","t":-300,"v":true,"q":"good"}]}',1477148100);
INSERT INTO tele VALUES(4,1,140000,7,NULL,'{"readings":[{"s":"dev-0.level","t":0,"v":2.75,"q":"good"},{"s":"dev-1.level","t":-100,"v":3.75,"q":"suspect","why":"spike"},{"s":"dev-2.level","t":-200,"v":"open","q":"good"},{"s":"dev-3.level","t":-300,"v":true,"q":"good"}]}',1034462768);
INSERT INTO tele VALUES(5,1,150000,7,NULL,'{"readings":[{"s":"dev-0.level","t":0,"v":3,"q":"good"},{"s":"dev-1.level","t":-100,"v":4,"q":"suspect","why":"spike"},{"s":"dev-2.level","t":-200,"v":"open","q":"good"},{"s":"dev-3.level","t":-300,"v":true,"q":"good"}]}',-1132174529);
INSERT INTO tele VALUES(6,1,160000,7,NULL,'{"readings":[{"s":"dev-0.level","t":0,"v":3.25,"q":"good"},{"s":"dev-1.level","t":-100,"v":4.25,"q":"suspect","why":"spike"},{"s":"dev-2.level","t":-200,"v":"open","q":"good"},{"s":"dev-3.level","t":-300,"v":true,"q":"good"}]}',712345626);
INSERT INTO tele VALUES(7,1,170000,7,NULL,'{"readings":[{"s":"dev-0.level","t":0,"v":3.5,"q":"good"},{"s":"dev-1.level","t":-100,"v":4.5,"q":"suspect","why":"spike"},{"s":"dev-2.level","t":-200,"v":"open","q":"good"},{"s":"dev-3.level","t":-300,"v":true,"q":"good"}]}',327042410);
INSERT INTO tele VALUES(8,1,180000,7,NULL,'{"readings":[{"s":"dev-0.level","t":0,"v":3.75,"q":"good"},{"s":"dev-1.level","t":-100,"v":4.75,"q":"suspect","why":"spike"},{"s":"dev-2.level","t":-200,"v":"open","q":"good"},{"s":"dev-3.level","t":-300,"v":true,"q":"good"}]}',885850126);
INSERT INTO tele VALUES(9,1,190000,7,NULL,'{"readings":[{"s":"dev-0.level","t":0,"v":4,"q":"good"},{"s":"dev-1.level","t":-100,"v":5,"q":"suspect","why":"spike"},{"s":"dev-2.level","t":-200,"v":"open","q":"good"},{"s":"dev-3.level","t":-300,"v":true,"q":"good"}]}',-2118847789);
INSERT INTO tele VALUES(10,1,200000,7,NULL,'{"readings":[{"s":"dev-0.level","t":0,"v":4.25,"q":"good"},{"s":"dev-1.level","t":-100,"v":5.25,"q":"suspect","why":"spike"},{"s":"dev-2.level","t":-200,"v":"open","q":"good"},{"s":"dev-3.level","t":-300,"v":true,"q":"good"}]}',-704837441);
INSERT INTO tele VALUES(11,1,210000,7,NULL,'{"readings":[{"s":"dev-0.level","t":0,"v":4.5,"q":"good"},{"s":"dev-1.level","t":-100,"v":5.5,"q":"suspect","why":"spike"},{"s":"dev-2.level","t":-200,"v":"open","q":"good"},{"s":"dev-3.level","t":-300,"v":true,"q":"good"}]}',125716184);
INSERT INTO tele VALUES(12,1,220000,7,NULL,'{"readings":[{"s":"dev-0.level","t":0,"v":4.75,"q":"good"},{"s":"dev-1.level","t":-100,"v":5.75,"q":"suspect","why":"spike"},{"s":"dev-2.level","t":-200,"v":"open","q":"good"},{"s":"dev-3.level","t":-300,"v":true,"q":"good"}]}',-456908389);
INSERT INTO tele VALUES(13,2,15000,8,NULL,'{"readings":[{"s":"dev-0.level","t":0,"v":2,"q":"good"},{"s":"dev-1.level","t":-100,"v":3,"q":"suspect","why":"spike"},{"s":"dev-2.level","t":-200,"v":"open","q":"good"},{"s":"dev-3.level","t":-300,"v":true,"q":"good"}]}',711704129);
INSERT INTO tele VALUES(14,2,25000,8,NULL,'{"readings":[{"s":"dev-0.level","t":0,"v":2.25,"q":"good"},{"s":"dev-1.level","t":-100,"v":3.25,"q":"suspect","why":"spike"},{"s":"dev-2.level","t":-200,"v":"open","q":"good"},{"s":"dev-3.level","t":-300,"v":true,"q":"good"}]}',-994805951);
INSERT INTO tele VALUES(15,2,35000,8,NULL,'{"readings":[{"s":"dev-0.level","t":0,"v":2.5,"q":"good"},{"s":"dev-1.level","t":-100,"v":3.5,"q":"suspect","why":"spike"},{"s":"dev-2.level","t":-200,"v":"open","q":"good"},{"s":"dev-3.level","t":-300,"v":true,"q":"good"}]}',1599719294);
INSERT INTO tele VALUES(16,2,45000,8,NULL,'{"readings":[{"s":"dev-0.level","t":0,"v":2.75,"q":"good"},{"s":"dev-1.level","t":-100,"v":3.75,"q":"suspect","why":"spike"},{"s":"dev-2.level","t":-200,"v":"open","q":"good"},{"s":"dev-3.level","t":-300,"v":true,"q":"good"}]}',-1306720082);
INSERT INTO tele VALUES(17,2,55000,8,NULL,'{"readings":[{"s":"dev-0.level","t":0,"v":3,"q":"good"},{"s":"dev-1.level","t":-100,"v":4,"q":"suspect","why":"spike"},{"s":"dev-2.level","t":-200,"v":"open","q":"good"},{"s":"dev-3.level","t":-300,"v":true,"q":"good"}]}',-222489833);
INSERT INTO tele VALUES(18,2,65000,8,NULL,'{"readings":[{"s":"dev-0.level","t":0,"v":3.25,"q":"good"},{"s":"dev-1.level","t":-100,"v":4.25,"q":"suspect","why":"spike"},{"s":"dev-2.level","t":-200,"v":"open","q":"good"},{"s":"dev-3.level","t":-300,"v":true,"q":"good"}]}',749972792);
INSERT INTO tele VALUES(19,2,75000,8,NULL,'{"readings":[{"s":"dev-0.level","t":0,"v":3.5,"q":"good"},{"s":"dev-1.level","t":-100,"v":4.5,"q":"suspect","why":"spike"},{"s":"dev-2.level","t":-200,"v":"open","q":"good"},{"s":"dev-3.level","t":-300,"v":true,"q":"good"}]}',-436595266);
INSERT INTO tele VALUES(20,2,85000,8,NULL,'{"readings":[{"s":"dev-0.level","t":0,"v":3.75,"q":"good"},{"s":"dev-1.level","t":-100,"v":4.75,"q":"suspect","why":"spike"},{"s":"dev-2.level","t":-200,"v":"open","q":"good"},{"s":"dev-3.level","t":-300,"v":true,"q":"good"}]}',505955256);
INSERT INTO tele VALUES(21,2,95000,8,NULL,'{"readings":[{"s":"dev-0.level","t":0,"v":4,"q":"good"},{"s":"dev-1.level","t":-100,"v":5,"q":"suspect","why":"spike"},{"s":"dev-2.level","t":-200,"v":"open","q":"good"},{"s":"dev-3.level","t":-300,"v":true,"q":"good"}]}',991697996);
INSERT INTO tele VALUES(22,2,105000,8,NULL,'{"readings":[{"s":"dev-0.level","t":0,"v":4.25,"q":"good"},{"s":"dev-1.level","t":-100,"v":5.25,"q":"suspect","why":"spike"},{"s":"dev-2.level","t":-200,"v":"open","q":"good"},{"s":"dev-3.level","t":-300,"v":true,"q":"good"}]}',1132533234);
INSERT INTO tele VALUES(23,2,115000,8,NULL,'{"readings":[{"s":"dev-0.level","t":0,"v":4.5,"q":"good"},{"s":"dev-1.level","t":-100,"v":5.5,"q":"suspect","why":"spike"},{"s":"dev-2.level","t":-200,"v":"open","q":"good"},{"s":"dev-3.level","t":-300,"v":true,"q":"good"}]}',-429041240);
INSERT INTO tele VALUES(24,2,125000,8,NULL,'{"readings":[{"s":"dev-0.level","t":0,"v":4.75,"q":"good"},{"s":"dev-1.level","t":-100,"v":5.75,"q":"suspect","why":"spike"},{"s":"dev-2.level","t":-200,"v":"open","q":"good"},{"s":"dev-3.level","t":-300,"v":true,"q":"good"}]}',-1637263898);
CREATE TABLE media (           -- lane 3: pictures
  seq   INTEGER PRIMARY KEY,   -- as above
  boot  INTEGER NOT NULL,      -- as above
  mono  INTEGER NOT NULL,      -- as above
  rev   INTEGER NOT NULL,      -- as above
  topic TEXT    NOT NULL,      -- below the base: "media/{epoch}-{seq}"
  body  TEXT    NOT NULL,      -- name of the JPEG in the folder media/, durable before this row is
  crc   INTEGER NOT NULL       -- as above
);
INSERT INTO media VALUES(1,1,110000,7,'media/93a42a54fe73b70a-1','93a42a54fe73b70a-1.jpg',-1031895260);
INSERT INTO media VALUES(2,1,140000,7,'media/93a42a54fe73b70a-2','93a42a54fe73b70a-2.jpg',-255695820);
INSERT INTO media VALUES(3,1,170000,7,'media/93a42a54fe73b70a-3','93a42a54fe73b70a-3.jpg',-1386426456);
INSERT INTO media VALUES(4,1,200000,7,'media/93a42a54fe73b70a-4','93a42a54fe73b70a-4.jpg',-444921100);
INSERT INTO media VALUES(5,2,15000,8,'media/93a42a54fe73b70a-5','93a42a54fe73b70a-5.jpg',-503143029);
INSERT INTO media VALUES(6,2,45000,8,'media/93a42a54fe73b70a-6','93a42a54fe73b70a-6.jpg',-796523245);
INSERT INTO media VALUES(7,2,75000,8,'media/93a42a54fe73b70a-7','93a42a54fe73b70a-7.jpg',1573119548);
INSERT INTO media VALUES(8,2,105000,8,'media/93a42a54fe73b70a-8','93a42a54fe73b70a-8.jpg',1673528843);
CREATE TABLE position (        -- how far each uplink has come in each lane; may lag behind by one commit window
  uplink TEXT    NOT NULL,     -- the uplink's id
  lane   INTEGER NOT NULL,     -- 0 alarm, 1 event, 2 tele, 3 media; frozen
  prefix INTEGER NOT NULL,     -- everything up to this number is done
  beyond TEXT    NOT NULL,     -- what is done beyond it: "12-14,20-20", sorted, at most 64 ranges
  PRIMARY KEY (uplink, lane)
) WITHOUT ROWID;
INSERT INTO position VALUES('county',1,7,'');
INSERT INTO position VALUES('county',2,19,'');
CREATE TABLE state (           -- small things that must be as durable as the records they belong to
  key   TEXT NOT NULL PRIMARY KEY,  -- "alarm/{id}", "detect/…", "command/{id}"
  value TEXT NOT NULL               -- up to 64 KiB; "alarm/{id}": the contract's alarm object, `since` as {"boot","mono"}
) WITHOUT ROWID;
INSERT INTO state VALUES('alarm/level-1','{"alarm":"level-1","since":{"boot":2,"mono":95000}}');
INSERT INTO state VALUES('detect/dev-1.level','{"n":11}');
CREATE TABLE boots (           -- stretches of each boot of the kernel and the wall time they map to
  boot      INTEGER NOT NULL,  -- number of the boot, from 1
  from_mono INTEGER NOT NULL,  -- the stretch begins here, ms in that boot, and lasts until the next one
  boot_id   TEXT    NOT NULL,  -- the kernel's id of the boot, 32 hex digits
  offset    INTEGER NOT NULL,  -- add it to mono: UTC in ms since 1970
  quality   INTEGER NOT NULL,  -- 0 unsynced, 1 synced, 2 holdover, 3 repaired; frozen
  error     INTEGER,           -- how far the time may be off, ms; null: nobody knows
  PRIMARY KEY (boot, from_mono)
) WITHOUT ROWID;
INSERT INTO boots VALUES(1,0,'00000000000000000000000000000b01',1795411760000,1,1000);
INSERT INTO boots VALUES(1,160000,'00000000000000000000000000000b01',1795411760000,2,NULL);
INSERT INTO boots VALUES(2,0,'00000000000000000000000000000b02',1795412054000,1,1000);
INSERT INTO boots VALUES(2,65000,'00000000000000000000000000000b02',1795412054000,2,NULL);
CREATE TABLE meta (            -- single facts
  key   TEXT NOT NULL PRIMARY KEY,  -- "epoch": 16 hex digits, made with the file
                                    -- "machine_id": machine-id(5) of the machine that writes it
                                    -- "high/alarm", "high/event", "high/tele", "high/media": a number that is used up although no
                                    --   row has it any more; whoever trims a lane writes it in the same transaction
  value TEXT NOT NULL               -- numbers as decimals
) WITHOUT ROWID;
INSERT INTO meta VALUES('epoch','93a42a54fe73b70a');
INSERT INTO meta VALUES('machine_id','machine-a');
COMMIT;
PRAGMA user_version = 1;
