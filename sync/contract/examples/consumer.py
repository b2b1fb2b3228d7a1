#!/usr/bin/env python3
"""A county that stores what its villages send: the worked consumer of CONTRACT.md. Debian: apt-get install python3-paho-mqtt

    consumer.py BROKER[:PORT] hamlet/v1/430124 county.db [--user NAME --password-file FILE] [--ca FILE --cert FILE --key FILE]

It keeps every message of the lanes once, in SQLite, acknowledges what is stored, finds holes, asks for them to be sent again, and prints
what a page would show. Copy it and put your own tables in the place of `store()`.
"""
import argparse
import gzip
import json
import secrets
import sqlite3
import time

import paho.mqtt.client as mqtt
from paho.mqtt.packettypes import PacketTypes

TABLES = """
CREATE TABLE IF NOT EXISTS message(gw TEXT, epoch TEXT, lane TEXT, seq INTEGER, topic TEXT, payload BLOB,  -- the identity, and what came
    PRIMARY KEY(gw, epoch, lane, seq)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS given_up(gw TEXT, epoch TEXT, lane TEXT, first INTEGER, last INTEGER, reason TEXT);  -- will never come
CREATE TABLE IF NOT EXISTS reading(gw TEXT, point TEXT, t INTEGER, v, q TEXT, tq TEXT);
"""


class Numbers:
    """Which numbers of one lane are dealt with: all up to `prefix`, and those in `beyond`."""

    def __init__(self):
        self.prefix = 0
        self.beyond = set()

    def __contains__(self, seq):
        return seq <= self.prefix or seq in self.beyond

    def add(self, seq):
        self.beyond.add(seq)
        while self.prefix + 1 in self.beyond:
            self.prefix += 1
            self.beyond.remove(self.prefix)


class Consumer:
    def __init__(self, options):
        self.options = options
        self.db = sqlite3.connect(options.store)
        self.db.executescript(TABLES)
        self.numbers = {}  # (gw, epoch, lane) -> Numbers
        for gw, epoch, lane, seq in self.db.execute("SELECT gw, epoch, lane, seq FROM message"):
            self.of(gw, epoch, lane).add(seq)
        for gw, epoch, lane, first, last in self.db.execute("SELECT gw, epoch, lane, first, last FROM given_up"):
            for seq in range(first, last + 1):
                self.of(gw, epoch, lane).add(seq)
        self.base = {}  # gw -> its base topic
        self.state = {}  # gw -> what `state` says
        self.units = {}  # (gw, point) -> unit, from `meta`
        self.shown = {}  # (gw, point) -> value
        self.acked = {}  # gw -> the last `ack`
        self.holes = {}  # (gw, epoch, lane, first, last) -> [since when, asked already]

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
        self.client.connect(host, int(port or (8883 if self.options.ca else 1883)), keepalive=30, clean_start=False, properties=keep)
        due = 0
        while True:
            if self.client.loop(timeout=0.2) != mqtt.MQTT_ERR_SUCCESS:
                time.sleep(1)
                try:
                    self.client.reconnect()
                except OSError as error:
                    self.say("no broker:", error)
                continue
            if time.monotonic() >= due:
                due = time.monotonic() + self.options.every
                self.acknowledge()
                self.look_for_holes()

    def on_connect(self, client, _userdata, _flags, reason, _properties=None):
        if reason != 0:
            self.say("the broker refuses us:", reason)
            return
        client.subscribe(self.options.base + "/#", qos=1)

    # ---- what comes -----------------------------------------------------------------------------------------------------

    def on_message(self, _client, _userdata, message):
        words = message.topic.split("/")  # hamlet v1 county town village gw …
        if len(words) < 7:
            return
        gw, what = words[5], words[6]
        self.base[gw] = "/".join(words[:6])
        if what == "media" and len(words) == 8:
            epoch, _, seq = words[7].partition("-")
            self.store(gw, epoch, "media", int(seq), message.topic, message.payload, None)
        elif what == "alarm" and not message.payload:
            self.say("alarm", gw, words[7], "no longer exists")
        elif what in ("state", "meta", "alarm", "alarmlog", "event", "tele", "reply") and message.payload:
            # With MQTT 5 the user property content-encoding says it; the first bytes do so to everybody.
            payload = gzip.decompress(message.payload) if message.payload[:2] == b"\x1f\x8b" else message.payload
            for line in payload.split(b"\n"):  # of a backlog there may be several in one, a line each
                self.understand(gw, what, message.topic, json.loads(line), line)

    def understand(self, gw, what, topic, body, payload):
        if "lane" in body:
            self.store(gw, body["epoch"], body["lane"], body["seq"], topic, payload, body)
        elif what == "state":
            self.state[gw] = body
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
        numbers = self.of(gw, epoch, lane)
        if seq in numbers:
            self.say("duplicate", gw, lane, seq)
            return
        numbers.add(seq)
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

    def give_up(self, gw, epoch=None, lane=None, reason="", count=0, **detail):
        """These numbers will not come: the box says so. Without numbers (journal-full) there is nothing to wait for."""
        self.say("gap", gw, lane, detail.get("from"), detail.get("to"), reason, count)
        if "from" not in detail:
            return
        self.db.execute("INSERT INTO given_up VALUES(?, ?, ?, ?, ?, ?)", (gw, epoch, lane, detail["from"], detail["to"], reason))
        for seq in range(detail["from"], detail["to"] + 1):
            self.of(gw, epoch, lane).add(seq)

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

    def look_for_holes(self):
        """What is below a lane's `last`, has not come and is not pending: asked for again, and if that brings nothing, lost."""
        found = {}
        for gw, state in self.state.items():
            epochs = [{"epoch": state["epoch"], "lanes": state.get("lanes", {})}] + state.get("older", [])
            for each in epochs:
                for lane, progress in each["lanes"].items():
                    for first, last in self.missing(self.of(gw, each["epoch"], lane), progress):
                        hole = (gw, each["epoch"], lane, first, last)
                        found[hole] = self.holes.get(hole, [time.monotonic(), False])
        self.holes = found
        for hole, (since, asked) in list(found.items()):
            if time.monotonic() - since < self.options.patience:
                continue
            gw, epoch, lane, first, last = hole
            if not asked:
                self.say("hole", gw, lane, first, last, "asking for it")
                command = {"id": secrets.token_hex(8), "epoch": epoch, "lane": lane, "from": first, "to": last}
                self.client.publish(self.base[gw] + "/cmd/replay", json.dumps(command), qos=1)
                found[hole] = [time.monotonic(), True]
            elif self.state[gw]["state"] == "online":
                self.say("LOST", gw, lane, first, last)
                self.give_up(gw, **{"epoch": epoch, "lane": lane, "from": first, "to": last, "reason": "lost", "count": last - first + 1})

    @staticmethod
    def missing(numbers, progress):
        """Ranges up to `last` that are neither there nor pending."""
        out = []
        for seq in range(numbers.prefix + 1, progress["last"] + 1):
            if seq in numbers or any(first <= seq <= last for first, last in progress["pending"]):
                continue
            if out and out[-1][1] == seq - 1:
                out[-1][1] = seq
            else:
                out.append([seq, seq])
        return out


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
    parser.add_argument("--patience", type=float, default=60, help="seconds until a hole is asked for, and until it is lost")
    Consumer(parser.parse_args()).run()


if __name__ == "__main__":
    main()
