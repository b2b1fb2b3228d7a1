#!/usr/bin/env node
'use strict';
// The same consumer as consumer.py for Node (npm install mqtt), with a file of JSON lines for a store: every message of the lanes once,
// acknowledged when it is on the disk, holes found and asked for. Give it more to do in `show()`.
//
//   consumer.js mqtt[s]://[USER:PASSWORD@]BROKER[:PORT] hamlet/v1/430124 county.jsonl [--every 2] [--patience 60]

const fs = require('node:fs');
const { parseArgs } = require('node:util');
const { randomBytes } = require('node:crypto');
const { gunzipSync } = require('node:zlib');
const mqtt = require('mqtt');

const { positionals, values } = parseArgs({
  allowPositionals: true,
  options: {
    every: { type: 'string', default: '2' }, // seconds between acknowledgements
    patience: { type: 'string', default: '60' }, // seconds until a hole is asked for, and until it is lost
    'client-id': { type: 'string', default: 'county-page' },
    ca: { type: 'string' }, // who signed the broker's certificate
  },
});
const [broker, base, store] = positionals;
if (!store) {
  console.error('usage: consumer.js mqtt://BROKER[:PORT] hamlet/v1/430124 county.jsonl [--every S] [--patience S] [--ca FILE]');
  process.exit(2);
}
const say = (...words) => console.log(...words);

// Which numbers of one lane are dealt with: all up to `prefix`, and those in `beyond`.
class Numbers {
  prefix = 0;
  beyond = new Set();
  has(seq) {
    return seq <= this.prefix || this.beyond.has(seq);
  }
  add(seq) {
    this.beyond.add(seq);
    while (this.beyond.delete(this.prefix + 1)) this.prefix += 1;
  }
}

const lanes = new Map(); // "gw epoch lane" -> Numbers
const numbersOf = (gw, epoch, lane) => {
  const key = `${gw} ${epoch} ${lane}`;
  if (!lanes.has(key)) lanes.set(key, new Numbers());
  return lanes.get(key);
};
const bases = new Map(); // gw -> its base topic
const states = new Map(); // gw -> what `state` says
const units = new Map(); // "gw point" -> unit, from `meta`
const shown = new Map(); // "gw point" -> value
const acked = new Map(); // gw -> the last `ack`, as text
let holes = new Map(); // "gw epoch lane first last" -> { since, asked }

// ---- the store -------------------------------------------------------------------------------------------------------

function enter({ gw, epoch, lane, seq, to }) {
  const numbers = numbersOf(gw, epoch, lane);
  for (let n = seq; n <= (to ?? seq); n += 1) numbers.add(n);
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
  const words = topic.split('/'); // hamlet v1 county town village gw …
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
    const text = payload[0] === 0x1f && payload[1] === 0x8b ? gunzipSync(payload) : payload;
    for (const line of text.toString().split('\n')) { // of a backlog there may be several in one, a line each
      const body = JSON.parse(line);
      if (!body.lane) outside(gw, what, body);
      else if (keep(gw, body.epoch, body.lane, body.seq, { body })) show(gw, body);
    }
  }
}

function outside(gw, what, body) {
  if (what === 'state') {
    states.set(gw, body);
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
  ca: values.ca && fs.readFileSync(values.ca),
  resubscribe: false,
});
client.on('connect', () => client.subscribe(`${base}/#`, { qos: 1 }));
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

// Ranges up to `last` that are neither there nor pending.
function missing(numbers, { last, pending }) {
  const out = [];
  for (let seq = numbers.prefix + 1; seq <= last; seq += 1) {
    if (numbers.has(seq) || pending.some(([from, to]) => from <= seq && seq <= to)) continue;
    if (out.length > 0 && out.at(-1)[1] === seq - 1) out.at(-1)[1] = seq;
    else out.push([seq, seq]);
  }
  return out;
}

// What is below a lane's `last`, has not come and is not pending: asked for again, and if that brings nothing, lost.
function lookForHoles() {
  const now = Date.now() / 1000;
  const found = new Map();
  for (const [gw, state] of states) {
    for (const each of [state, ...(state.older ?? [])]) {
      for (const [lane, progress] of Object.entries(each.lanes ?? {})) {
        for (const [from, to] of missing(numbersOf(gw, each.epoch, lane), progress)) {
          const key = `${gw} ${each.epoch} ${lane} ${from} ${to}`;
          found.set(key, holes.get(key) ?? { gw, epoch: each.epoch, lane, from, to, since: now, asked: false });
        }
      }
    }
  }
  holes = found;
  for (const hole of holes.values()) {
    if (now - hole.since < Number(values.patience)) continue;
    const { gw, epoch, lane, from, to } = hole;
    if (!hole.asked) {
      say('hole', gw, lane, from, to, 'asking for it');
      const command = { id: randomBytes(8).toString('hex'), epoch, lane, from, to };
      client.publish(`${bases.get(gw)}/cmd/replay`, JSON.stringify(command), { qos: 1 });
      Object.assign(hole, { since: now, asked: true });
    } else if (states.get(gw).state === 'online') {
      say('LOST', gw, lane, from, to);
      giveUp(gw, { epoch, lane, from, to, reason: 'lost', count: to - from + 1 });
    }
  }
}

setInterval(() => {
  acknowledge();
  lookForHoles();
}, Number(values.every) * 1000);
