#!/usr/bin/env node
'use strict';
// The same consumer as consumer.py for Node (npm install mqtt), with a file of JSON lines for a store: every message of the lanes once,
// acknowledged when it is on the disk, holes found and asked for. Give it more to do in `show()`.
//
//   consumer.js mqtt[s]://[USER:PASSWORD@]BROKER[:PORT] hamlet/v1/430124 county.jsonl [--ca FILE --cert FILE --key FILE]

const fs = require('node:fs');
const { parseArgs } = require('node:util');
const { randomBytes } = require('node:crypto');
const { gunzipSync } = require('node:zlib');
const mqtt = require('mqtt');

const { positionals, values } = parseArgs({
  allowPositionals: true,
  options: {
    every: { type: 'string', default: '2' }, // seconds between acknowledgements
    patience: { type: 'string', default: '60' }, // seconds until a hole is asked for, and again
    'client-id': { type: 'string', default: 'county-page' },
    ca: { type: 'string' }, // who signed the broker's certificate
    cert: { type: 'string' }, // our own, where the broker asks for one
    key: { type: 'string' },
  },
});
const [broker, base, store] = positionals;
if (!store) {
  console.error('usage: consumer.js mqtt[s]://BROKER[:PORT] hamlet/v1/430124 county.jsonl [--ca FILE --cert FILE --key FILE]');
  process.exit(2);
}
const say = (...words) => console.log(...words);

const MOST = 8 << 20; // bytes of a payload, unpacked: no box sends so much

// Which numbers of one lane are dealt with: ranges [first, last], in order, with holes between them.
class Numbers {
  ranges = [];
  get prefix() {
    return this.ranges[0]?.[0] === 1 ? this.ranges[0][1] : 0;
  }
  // The place of the first range of which `is` holds; it does of all behind.
  place(is) {
    let [low, high] = [0, this.ranges.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (is(this.ranges[middle])) high = middle;
      else low = middle + 1;
    }
    return low;
  }
  has(seq) {
    return this.ranges[this.place(([, last]) => last >= seq)]?.[0] <= seq;
  }
  add(first, last) {
    if (!Number.isSafeInteger(first) || !Number.isSafeInteger(last)) throw new TypeError('no number of a message');
    const begin = this.place((range) => range[1] >= first - 1);
    const touched = this.ranges.slice(begin, this.place((range) => range[0] > last + 1));
    const from = Math.min(first, touched.at(0)?.[0] ?? first);
    this.ranges.splice(begin, touched.length, [from, Math.max(last, touched.at(-1)?.[1] ?? last)]);
  }
  // What of 1 to `last` is neither here nor in the ranges `pending`.
  missing(last, pending) {
    const out = [];
    let after = 1;
    const known = [...this.ranges, ...pending, [last + 1, last + 1]].sort((a, b) => a[0] - b[0]);
    for (const [from, to] of known) {
      if (after < Math.min(from, last + 1)) out.push([after, Math.min(from - 1, last)]);
      after = Math.max(after, to + 1);
    }
    return out;
  }
}

const lanes = new Map(); // "gw epoch lane" -> Numbers
const numbersOf = (gw, epoch, lane) => {
  const key = `${gw} ${epoch} ${lane}`;
  if (!lanes.has(key)) lanes.set(key, new Numbers());
  return lanes.get(key);
};
const bases = new Map(); // gw -> its base topic
const askedFor = new Map(); // gw -> when its `state` was last asked for
const states = new Map(); // gw -> what `state` says: whether it is online, and [{ epoch, lane, last, pending }]
const units = new Map(); // "gw point" -> unit, from `meta`
const shown = new Map(); // "gw point" -> value
const acked = new Map(); // gw -> the last `ack`, as text
let holes = new Map(); // "gw epoch lane first last" -> { since, asked: how often }

// ---- the store -------------------------------------------------------------------------------------------------------

function enter({ gw, epoch, lane, seq, to }) {
  numbersOf(gw, epoch, lane).add(seq, to ?? seq);
}
if (fs.existsSync(store)) {
  const lines = fs.readFileSync(store, 'utf8').split('\n');
  lines.pop(); // empty, or torn by a power cut: it was not acknowledged
  for (const line of lines) enter(JSON.parse(line));
  fs.truncateSync(store, lines.reduce((sum, line) => sum + Buffer.byteLength(line) + 1, 0));
}
const file = fs.openSync(store, 'a');
let unwritten = [];

function keep(gw, epoch, lane, seq, more) {
  if (numbersOf(gw, epoch, lane).has(seq)) {
    say('duplicate', gw, lane, seq);
    return false;
  }
  const entry = { gw, epoch, lane, seq, ...more };
  enter(entry);
  unwritten.push(JSON.stringify(entry) + '\n');
  return true;
}

// ---- what comes ------------------------------------------------------------------------------------------------------

function arrived(topic, payload) {
  try {
    take(topic, payload);
  } catch (error) { // one box that sends nonsense must not stop the others
    say('not understood', topic, error.message);
  }
}

function take(topic, payload) {
  const words = topic.split('/'); // hamlet v1 county town village gw …: whose it is says the topic, which the broker guards
  if (words.length < 7) return;
  const [gw, what] = words.slice(5);
  bases.set(gw, words.slice(0, 6).join('/'));
  if (what === 'media') {
    const [epoch, seq] = words[7].split('-');
    keep(gw, epoch, 'media', Number(seq), { jpeg: payload.toString('base64') });
  } else if (what === 'alarm' && payload.length === 0) {
    say('alarm', gw, words[7], 'no longer exists');
  } else if (['state', 'meta', 'alarm', 'alarmlog', 'event', 'tele', 'reply'].includes(what) && payload.length > 0) {
    // With MQTT 5 the user property content-encoding says it; the first bytes do so to everybody.
    const text = payload[0] === 0x1f && payload[1] === 0x8b ? gunzipSync(payload, { maxOutputLength: MOST }) : payload;
    for (const line of text.toString().split('\n')) { // of a backlog there may be several in one, a line each
      const body = JSON.parse(line);
      if (!body.lane) outside(gw, what, body);
      else if (keep(gw, body.epoch, body.lane, body.seq, { body })) show(gw, body);
    }
  }
}

function outside(gw, what, body) {
  if (what === 'state') {
    const progress = ({ epoch, lanes: by }) =>
      Object.entries(by ?? {}).map(([lane, { last, pending }]) => ({ epoch, lane, last, pending: pending.map(([a, b]) => [a, b]) }));
    states.set(gw, { online: body.state === 'online', lanes: [body, ...(body.older ?? [])].flatMap(progress) });
    say('state', gw, body.state);
  } else if (what === 'meta') {
    for (const device of body.devices) for (const { point, unit } of device.points) units.set(`${gw} ${point}`, unit);
  } else if (what === 'alarm') {
    say('alarm', gw, body.alarm, body.state, body.severity, body.text.zh);
  } else if (what === 'reply') {
    say('reply', gw, body.id, body.ok ? 'done' : body.error.zh);
  }
}

// A message of the lanes that is new.
function show(gw, body) {
  if (body.lane === 'tele' && !body.hist) {
    for (const { s, v, q } of body.readings) {
      const point = `${gw} ${s}`;
      if (shown.get(point) !== v) say('live', point, v, units.get(point) ?? '', q);
      shown.set(point, v);
    }
  } else if (body.lane === 'alarm' && !body.hist) {
    say('ALERT', gw, body.alarm, body.occurrence, body.state);
  } else if (body.lane === 'event' && body.source === 'gateway' && body.kind === 'gap') {
    giveUp(gw, body.detail);
  }
}

// These numbers will not come. Without numbers (journal-full) there is nothing to wait for.
function giveUp(gw, { epoch, lane, from, to, count, reason }) {
  say('gap', gw, lane, from, to, reason, count);
  if (from === undefined) return;
  const entry = { gw, epoch, lane, seq: from, to, reason };
  enter(entry);
  unwritten.push(JSON.stringify(entry) + '\n');
}

// ---- what we say -----------------------------------------------------------------------------------------------------

const client = mqtt.connect(broker, {
  protocolVersion: 5,
  clientId: values['client-id'],
  clean: false, // the broker keeps what comes while we are away
  properties: { sessionExpiryInterval: 14 * 86400 },
  ...Object.fromEntries(['ca', 'cert', 'key'].map((name) => [name, values[name] && fs.readFileSync(values[name])])),
  resubscribe: false,
});
client.on('connect', () => {
  states.clear(); // they come again
  client.subscribe(`${base}/#`, { qos: 1 });
});
client.on('message', arrived);
client.on('error', (error) => say('no broker:', error.message));

function acknowledge() {
  if (unwritten.length > 0) {
    fs.writeSync(file, unwritten.join(''));
    fs.fdatasyncSync(file);
    unwritten = [];
  }
  for (const [gw, topic] of bases) {
    const ack = {};
    for (const [key, numbers] of lanes) {
      const [ofGw, epoch, lane] = key.split(' ');
      if (ofGw === gw) (ack[epoch] ??= {})[lane] = numbers.prefix;
    }
    const text = JSON.stringify(ack);
    if (text === '{}' || text === acked.get(gw)) continue;
    client.publish(`${topic}/ack`, text, { qos: 1, retain: true });
    acked.set(gw, text);
  }
}

// What is retained does not come where the broker's queue for us was full when we came back: then we ask again.
function lookForStates() {
  const now = Date.now() / 1000;
  for (const [gw, topic] of bases) {
    if (states.has(gw)) continue;
    if (!askedFor.has(gw)) askedFor.set(gw, now);
    if (now - askedFor.get(gw) < Number(values.patience)) continue;
    askedFor.set(gw, now);
    client.subscribe(`${topic}/state`, { qos: 1 });
  }
}

// What is below a lane's `last`, has not come and is not pending: asked for again, and if that brings nothing, lost.
function lookForHoles() {
  const now = Date.now() / 1000;
  const found = new Map();
  const waits = new Set(); // boxes that have something else to send first
  for (const [gw, { online, lanes: all }] of states) {
    for (const { epoch, lane, last, pending } of all) {
      if (pending.length > 0 || !online) waits.add(gw);
      for (const [from, to] of numbersOf(gw, epoch, lane).missing(last, pending)) {
        const key = `${gw} ${epoch} ${lane} ${from} ${to}`;
        found.set(key, holes.get(key) ?? { gw, epoch, lane, from, to, since: now, asked: 0 });
      }
    }
  }
  holes = found;
  for (const hole of holes.values()) {
    const { gw, epoch, lane, from, to, since, asked } = hole;
    if (now - since < Number(values.patience) || (asked > 0 && waits.has(gw))) continue;
    if (asked < 3) { // a restart of the box forgets what it was asked for
      say('hole', gw, lane, from, to, 'asking for it');
      const command = { id: randomBytes(8).toString('hex'), epoch, lane, from, to };
      client.publish(`${bases.get(gw)}/cmd/replay`, JSON.stringify(command), { qos: 1 });
      Object.assign(hole, { since: now, asked: asked + 1 });
    } else {
      say('LOST', gw, lane, from, to);
      giveUp(gw, { epoch, lane, from, to, reason: 'lost', count: to - from + 1 });
    }
  }
}

setInterval(() => {
  acknowledge();
  lookForStates();
  lookForHoles();
}, Number(values.every) * 1000);
