#!/usr/bin/env python3
"""A county that stores what its villages send: the worked consumer of CONTRACT.md. Debian: apt-get install python3-paho-mqtt

    consumer.py BROKER[:PORT] hamlet/v1/430124 county.db [--user NAME --password-file FILE] [--ca FILE --cert FILE --key FILE]

It keeps every message of the lanes once, in SQLite, acknowledges what is stored, finds holes, asks for them to be sent again, and prints
what a page would show. Copy it and put your own tables in the place of `store()`.
"""
import argparse
import bisect
import json
import secrets
import sqlite3
import time
import zlib

import paho.mqtt.client as mqtt
from paho.mqtt.packettypes import PacketTypes

TABLES = """
CREATE TABLE IF NOT EXISTS message(gw TEXT, epoch TEXT, lane TEXT, seq INTEGER, topic TEXT, payload BLOB,  -- the identity, and what came
    PRIMARY KEY(gw, epoch, lane, seq)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS given_up(gw TEXT, epoch TEXT, lane TEXT, first INTEGER, last INTEGER, reason TEXT);  -- will never come
CREATE TABLE IF NOT EXISTS reading(gw TEXT, point TEXT, t INTEGER, v, q TEXT, tq TEXT);
"""


MOST = 8 << 20  # bytes of a payload, unpacked: no box sends so much


class Numbers:
    """Which numbers of one lane are dealt with: ranges [first, last], in order, with holes between them."""

    def __init__(self):
        self.ranges = []

    @property
    def prefix(self):
        return self.ranges[0][1] if self.ranges and self.ranges[0][0] == 1 else 0

    def __contains__(self, seq):
        at = bisect.bisect_left(self.ranges, seq, key=lambda each: each[1])
        return at < len(self.ranges) and self.ranges[at][0] <= seq

    def add(self, first, last):
        begin = bisect.bisect_left(self.ranges, first - 1, key=lambda each: each[1])
        end = bisect.bisect_right(self.ranges, last + 1, key=lambda each: each[0])
        touched = self.ranges[begin:end] + [[first, last]]
        self.ranges[begin:end] = [[min(each[0] for each in touched), max(each[1] for each in touched)]]

    def missing(self, last, pending):
        """What of 1 to `last` is neither here nor in the ranges `pending`."""
        out, after = [], 1
        for begin, end in sorted(self.ranges + pending + [[last + 1, last + 1]]):
            if after < min(begin, last + 1):
                out.append((after, min(begin - 1, last)))
            after = max(after, end + 1)
        return out


class Consumer:
    def __init__(self, options):
        self.options = options
        self.db = sqlite3.connect(options.store)
        self.db.executescript(TABLES)
        self.numbers = {}  # (gw, epoch, lane) -> Numbers
        for gw, epoch, lane, seq in self.db.execute("SELECT gw, epoch, lane, seq FROM message"):
            self.of(gw, epoch, lane).add(seq, seq)
        for gw, epoch, lane, first, last in self.db.execute("SELECT gw, epoch, lane, first, last FROM given_up"):
            self.of(gw, epoch, lane).add(first, last)
        self.base = {}  # gw -> its base topic
        self.asked = {}  # gw -> when its `state` was last asked for
        self.state = {}  # gw -> what `state` says: whether it is online, and [(epoch, lane, last, pending)]
        self.units = {}  # (gw, point) -> unit, from `meta`
        self.shown = {}  # (gw, point) -> value
        self.acked = {}  # gw -> the last `ack`
        self.holes = {}  # (gw, epoch, lane, first, last) -> [since when, how often asked]

        self.client = mqtt.Client(options.client_id, protocol=mqtt.MQTTv5)
        if options.user:
            with open(options.password_file, encoding="utf-8") as file:
                self.client.username_pw_set(options.user, file.read().strip())
        if options.ca:
            self.client.tls_set(options.ca, options.cert, options.key)
        self.client.on_connect = self.on_connect
        self.client.on_message = self.on_message

    def of(self, gw, epoch, lane):
        return self.numbers.setdefault((gw, epoch, lane), Numbers())

    def say(self, *words):
        print(*words, flush=True)

    # ---- the session: one that the broker keeps while we are away -------------------------------------------------------

    def run(self):
        keep = mqtt.Properties(PacketTypes.CONNECT)
        keep.SessionExpiryInterval = 14 * 86_400
        host, _, port = self.options.broker.partition(":")
        self.client.connect_async(host, int(port or (8883 if self.options.ca else 1883)), keepalive=30, clean_start=False, properties=keep)
        due = 0
        while True:
            if self.client.loop(timeout=0.2) != mqtt.MQTT_ERR_SUCCESS:
                try:
                    self.client.reconnect()
                except OSError as error:
                    self.say("no broker:", error)
                    time.sleep(1)
                continue
            if time.monotonic() >= due:
                due = time.monotonic() + self.options.every
                self.acknowledge()
                self.look_for_states()
                self.look_for_holes()

    def on_connect(self, client, _userdata, _flags, reason, _properties=None):
        if reason != 0:
            self.say("the broker refuses us:", reason)
            return
        self.state.clear()  # it comes again
        client.subscribe(self.options.base + "/#", qos=1)

    # ---- what comes -----------------------------------------------------------------------------------------------------

    def on_message(self, _client, _userdata, message):
        try:
            self.arrived(message.topic, message.payload)
        except Exception as error:  # one box that sends nonsense must not stop the others
            self.say("not understood", message.topic, repr(error))

    def arrived(self, topic, payload):
        words = topic.split("/")  # hamlet v1 county town village gw …: whose it is says the topic, which the broker guards
        if len(words) < 7:
            return
        gw, what = words[5], words[6]
        self.base[gw] = "/".join(words[:6])
        if what == "media" and len(words) == 8:
            epoch, _, seq = words[7].partition("-")
            self.store(gw, epoch, "media", seq, topic, payload, None)
        elif what == "alarm" and not payload:
            self.say("alarm", gw, words[7], "no longer exists")
        elif what in ("state", "meta", "alarm", "alarmlog", "event", "tele", "reply") and payload:
            # With MQTT 5 the user property content-encoding says it; the first bytes do so to everybody.
            if payload[:2] == b"\x1f\x8b":
                payload = zlib.decompressobj(31).decompress(payload, MOST)
            for line in payload.split(b"\n"):  # of a backlog there may be several in one, a line each
                self.understand(gw, what, topic, json.loads(line), line)

    def understand(self, gw, what, topic, body, payload):
        if "lane" in body:
            self.store(gw, body["epoch"], body["lane"], body["seq"], topic, payload, body)
        elif what == "state":
            lanes = []
            for each in [body] + body.get("older", []):
                for lane, progress in each.get("lanes", {}).items():
                    pending = [[int(first), int(last)] for first, last in progress["pending"]]
                    lanes.append((each["epoch"], lane, int(progress["last"]), pending))
            self.state[gw] = (body["state"] == "online", lanes)
            self.say("state", gw, body["state"])
        elif what == "meta":
            for device in body["devices"]:
                for point in device["points"]:
                    self.units[gw, point["point"]] = point["unit"]
        elif what == "alarm":  # a page is drawn from the snapshots
            self.say("alarm", gw, body["alarm"], body["state"], body["severity"], body["text"]["zh"])
        elif what == "reply":
            self.say("reply", gw, body["id"], "done" if body["ok"] else body["error"]["zh"])

    def store(self, gw, epoch, lane, seq, topic, payload, body):
        seq = int(seq)
        numbers = self.of(gw, epoch, lane)
        if seq in numbers:
            self.say("duplicate", gw, lane, seq)
            return
        # Everything since the last commit is one transaction: acknowledge() ends it.
        self.db.execute("INSERT OR IGNORE INTO message VALUES(?, ?, ?, ?, ?, ?)", (gw, epoch, lane, seq, topic, payload))
        if lane == "tele":
            for r in body["readings"]:
                self.db.execute("INSERT INTO reading VALUES(?, ?, ?, ?, ?, ?)", (gw, r["s"], r["t"], r["v"], r["q"], body["tq"]))
                if not body["hist"] and self.shown.get((gw, r["s"])) != r["v"]:
                    self.shown[gw, r["s"]] = r["v"]
                    self.say("live", gw, r["s"], r["v"], self.units.get((gw, r["s"]), ""), r["q"])
        elif lane == "alarm" and not body["hist"]:
            self.say("ALERT", gw, body["alarm"], body["occurrence"], body["state"])
        elif lane == "event" and body["source"] == "gateway" and body["kind"] == "gap":
            self.give_up(gw, **body["detail"])
        numbers.add(seq, seq)

    def give_up(self, gw, epoch=None, lane=None, reason="", count=0, **detail):
        """These numbers will not come: the box says so. Without numbers (journal-full) there is nothing to wait for."""
        self.say("gap", gw, lane, detail.get("from"), detail.get("to"), reason, count)
        if "from" not in detail:
            return
        first, last = int(detail["from"]), int(detail["to"])
        self.db.execute("INSERT INTO given_up VALUES(?, ?, ?, ?, ?, ?)", (gw, epoch, lane, first, last, reason))
        self.of(gw, epoch, lane).add(first, last)

    # ---- what we say ----------------------------------------------------------------------------------------------------

    def acknowledge(self):
        self.db.commit()
        for gw, base in self.base.items():
            ack = {}
            for (of_gw, epoch, lane), numbers in self.numbers.items():
                if of_gw == gw:
                    ack.setdefault(epoch, {})[lane] = numbers.prefix
            if ack and ack != self.acked.get(gw):
                self.client.publish(base + "/ack", json.dumps(ack), qos=1, retain=True)
                self.acked[gw] = ack

    def look_for_states(self):
        """What is retained does not come where the broker's queue for us was full when we came back: then we ask again."""
        for gw in self.base.keys() - self.state.keys():
            if time.monotonic() - self.asked.setdefault(gw, time.monotonic()) >= self.options.patience:
                self.asked[gw] = time.monotonic()
                self.client.subscribe(self.base[gw] + "/state", qos=1)

    def look_for_holes(self):
        """What is below a lane's `last`, has not come and is not pending: asked for again, and if that brings nothing, lost."""
        found = {}
        waits = set()  # boxes that have something else to send first
        for gw, (online, lanes) in self.state.items():
            for epoch, lane, end, pending in lanes:
                if pending or not online:
                    waits.add(gw)
                for first, last in self.of(gw, epoch, lane).missing(end, pending):
                    hole = (gw, epoch, lane, first, last)
                    found[hole] = self.holes.get(hole, [time.monotonic(), 0])
        self.holes = found
        for hole, (since, asked) in list(found.items()):
            gw, epoch, lane, first, last = hole
            if time.monotonic() - since < self.options.patience or (asked and gw in waits):
                continue
            if asked < 3:  # a restart of the box forgets what it was asked for
                self.say("hole", gw, lane, first, last, "asking for it")
                command = {"id": secrets.token_hex(8), "epoch": epoch, "lane": lane, "from": first, "to": last}
                self.client.publish(self.base[gw] + "/cmd/replay", json.dumps(command), qos=1)
                found[hole] = [time.monotonic(), asked + 1]
            else:
                self.say("LOST", gw, lane, first, last)
                self.give_up(gw, **{"epoch": epoch, "lane": lane, "from": first, "to": last, "reason": "lost", "count": last - first + 1})


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("broker", help="host[:port]")
    parser.add_argument("base", help="hamlet/v1/430124, or with town, village, gw")
    parser.add_argument("store", help="SQLite file")
    parser.add_argument("--client-id", default="county-store")
    parser.add_argument("--user")
    parser.add_argument("--password-file")
    parser.add_argument("--ca", help="who signed the broker's certificate: turns TLS on")
    parser.add_argument("--cert")
    parser.add_argument("--key")
    parser.add_argument("--every", type=float, default=2, help="seconds between acknowledgements")
    parser.add_argument("--patience", type=float, default=60, help="seconds until a hole is asked for, and again")
    Consumer(parser.parse_args()).run()


if __name__ == "__main__":
    main()
