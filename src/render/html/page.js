"use strict";
// The state of a run after its first n events is what those events change, added up from the start. So it is the same
// whichever way the reader came; nothing is kept from one step to the next but n.

const data = JSON.parse(document.getElementById("data").textContent);
const $ = (id) => document.getElementById(id);

/** An element with a class, attributes (as properties) and children. */
function el(tag, cls, ...children) {
  const node = document.createElement(tag);
  if (cls) node.className = cls;
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

function svg(tag, attributes, text) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  if (text !== undefined) node.textContent = text;
  return node;
}

/** A text whose long words, such as the bytes of a message, have lost their middle. */
const short = (text, most = 160) => text.replace(/\S+/g, (word) => (word.length <= most ? word : ends(word, most)));

/** The beginning and the end of a long word, cut behind a NUL or another escape; all of it, if that is not shorter. */
function ends(word, most) {
  const end = 30;
  const parts = word.match(/[^\\]*\\(?:x..|.)|[^\\]+/g);
  const fitting = (parts, room, join) => parts.reduce((text, part) => {
    room -= part.length;
    return room < 0 ? text : join(text, part);
  }, "");
  const head = fitting(parts, most - end, (text, part) => text + part) || word.slice(0, most - end);
  const tail = fitting(parts.reverse(), end, (text, part) => part + text) || word.slice(-end);
  const left = word.length - head.length - tail.length;
  const note = ` …${left} more… `;
  return left > note.length ? head + note + tail : word;
}

const plural = (n, word) => `${n} ${word}${n === 1 ? "" : "s"}`;

// ---------------------------------------------------------------- the state

/** What is so after the first n events. */
function stateAt(run, n) {
  const state = {
    lanes: run.lanes.map(() => ({ stack: [], locks: [], waits: null, cpu: null, ended: false, begun: false })),
    blocks: new Map(), sent: [], socks: new Map(), tasks: new Map(), broken: [], last: null,
  };
  for (const sock of run.socks) state.socks.set(sock.number, { queue: [], read: [], told: [], arrived: 0 });
  for (let i = 0; i < n; i++) {
    const frame = run.frames[i];
    state.last = frame;
    const lane = frame.lane === null ? null : state.lanes[frame.lane];
    if (lane) follow(lane, frame);
    for (const change of frame.changes || []) apply(state, lane, frame, change, i);
  }
  return state;
}

/** Where a lane is. */
function follow(lane, frame) {
  lane.begun = true;
  lane.cpu = frame.cpu;
  lane.waits = frame.kind === "wait" ? frame.text.replace("waits for ", "") : null;
  if (frame.kind === "enter") lane.stack.push(frame.text);
  if (frame.kind === "leave") lane.stack.length = Math.min(lane.stack.length, frame.depth);
  if (frame.kind === "end") Object.assign(lane, { ended: true, stack: [] });
}

const effects = {
  alloc: (state, lane, frame, c, i) =>
    state.blocks.set(c.seq, { ...c, step: frame.step, by: frame.lane, at: i, freed: null }),
  free: (state, lane, frame, c, i) => {
    const block = state.blocks.get(c.seq);
    if (block) Object.assign(block, { freed: frame.step, freer: c.by, at: i });
  },
  write: (state, lane, frame, c, i) => touch(state, c.seq, { bytes: c.bytes, area: c.area, at: i }),
  slots: (state, lane, frame, c, i) => touch(state, c.seq, { slots: c.slots, at: i }),
  note: (state, lane, frame, c, i) => touch(state, c.seq, { text: c.text, at: i }),
  send: (state, lane, frame, c, i) => state.sent.push({ message: c.message, at: i, lane: frame.lane }),
  queue: (state, lane, frame, c, i) => {
    const sock = state.socks.get(c.sock);
    sock.queue.push(c);
    sock.arrived++;
    sock.at = i;
  },
  leave: (state, lane, frame, c, i) => {
    const sock = state.socks.get(c.sock);
    const at = sock.queue.findIndex((queued) => queued.skb === c.skb);
    if (at < 0) return;
    sock.read.push(...sock.queue.splice(at, 1));
    sock.at = i;
  },
  tell: (state, lane, frame, c, i) => {
    const sock = state.socks.get(c.sock);
    sock.told.push({ step: frame.step, err: c.err });
    sock.at = i;
  },
  lock: (state, lane, frame, c) => lane && lane.locks.push(c.lock),
  unlock: (state, lane, frame, c) => {
    const at = lane ? lane.locks.lastIndexOf(c.lock) : -1;
    if (at >= 0) lane.locks.splice(at, 1);
  },
  task: (state, lane, frame, c) => state.tasks.set(c.pid, c.parent),
  broken: (state, lane, frame, c) => state.broken.push({ ...c, step: frame.step }),
};

const apply = (state, lane, frame, change, i) => effects[change.do](state, lane, frame, change, i);

function touch(state, seq, change) {
  const block = state.blocks.get(seq);
  if (block) Object.assign(block, change);
}

// ---------------------------------------------------------------- the line of time

const paper = matchMedia("print");
const BAND = 15;
const LEAST = 16;

/** Where each event stands: the events of a step share its width. */
function places(run) {
  const places = [];
  for (let i = 0; i < run.frames.length; ) {
    let end = i;
    while (end < run.frames.length && run.frames[end].step === run.frames[i].step) end++;
    for (let k = i; k < end; k++) places.push(run.frames[k].step + (k - i + 0.5) / (end - i));
    i = end;
  }
  return places;
}

/** Each lane's bars: from where a function is entered to where it is left. */
function bars(run) {
  const open = run.lanes.map(() => []);
  const bars = run.lanes.map(() => []);
  const close = (lane, depth, end) => {
    while (open[lane].length > depth) bars[lane].push({ ...open[lane].pop(), end });
  };
  run.frames.forEach((frame, i) => {
    if (frame.lane === null) return;
    if (frame.kind === "enter") open[frame.lane].push({ begin: i, depth: open[frame.lane].length, text: frame.text });
    if (frame.kind === "leave") close(frame.lane, frame.depth, i);
    if (frame.kind === "end") close(frame.lane, 0, i);
  });
  open.forEach((_, lane) => close(lane, 0, run.frames.length - 1));
  return bars;
}

class TimeLine {
  constructor(run, go) {
    this.run = run;
    this.at = places(run);
    this.steps = run.frames.length ? run.frames[run.frames.length - 1].step + 1 : 1;
    this.bars = bars(run);
    this.tops = [];
    let y = 8;
    for (const lane of this.bars) {
      this.tops.push(y);
      y += BAND * (1 + Math.max(0, ...lane.map((bar) => bar.depth + 1))) + 12;
    }
    this.height = y + 16;
    this.names = svg("svg", { height: this.height, "aria-hidden": "true" });
    this.svg = svg("svg", { height: this.height, role: "img", "aria-label": "the lanes on a line of time" });
    this.scroll = el("div", "scroll", this.svg);
    this.node = el("div", "time", el("div", "", this.names), this.scroll);
    this.svg.addEventListener("click", (event) => go(this.nearest(event.clientX - this.svg.getBoundingClientRect().left)));
  }

  x(place) {
    return 4 + place * this.unit;
  }

  /** The event nearest to a place on the screen. */
  nearest(x) {
    const place = (x - 4) / this.unit;
    let best = 0;
    this.at.forEach((at, i) => {
      if (Math.abs(at - place) < Math.abs(this.at[best] - place)) best = i;
    });
    return best + 1;
  }

  /** Draws everything for the width there is. */
  draw() {
    const room = this.scroll.clientWidth || 600;
    // Paper cannot be scrolled.
    this.unit = Math.max(paper.matches ? 1 : LEAST, (room - 8) / this.steps);
    const width = Math.max(room, 8 + this.steps * this.unit);
    this.svg.setAttribute("width", width);
    this.svg.setAttribute("viewBox", `0 0 ${width} ${this.height}`);
    this.svg.replaceChildren();
    this.ticks();
    this.run.lanes.forEach((_, lane) => this.lane(lane));
    this.marks();
    this.cursor = svg("line", { class: "cursor", y1: 0, y2: this.height - 14 });
    this.svg.append(this.cursor);
    this.label();
  }

  ticks() {
    const every = [1, 2, 5, 10, 20, 50, 100].find((n) => n * this.unit >= 28) || 200;
    for (let step = 0; step < this.steps; step += every) {
      const x = this.x(step);
      this.svg.append(svg("line", { class: "grid", x1: x, x2: x, y1: 0, y2: this.height - 14 }));
      this.svg.append(svg("text", { class: "tick", x: x + 2, y: this.height - 3 }, String(step)));
    }
    if (data.differs !== null) {
      const x = this.x(data.differs);
      this.svg.append(svg("line", { class: "part", x1: x, x2: x, y1: 0, y2: this.height }));
    }
  }

  label() {
    this.names.replaceChildren();
    let widest = 0;
    this.run.lanes.forEach((lane, i) => {
      const text = lane.pid === null ? lane.name : `${lane.name} ${lane.pid}`;
      widest = Math.max(widest, text.length);
      this.names.append(svg("text", { class: "name", x: 0, y: this.tops[i] + 9 }, text));
    });
    this.names.setAttribute("width", widest * 7.6 + 10);
  }

  lane(lane) {
    const y = this.tops[lane];
    const own = this.run.frames.map((frame, i) => i).filter((i) => this.run.frames[i].lane === lane);
    if (!own.length) return;
    const [first, last] = [this.x(this.at[own[0]]), this.x(this.at[own[own.length - 1]])];
    this.svg.append(svg("line", { class: "base", x1: first, x2: last, y1: y + 5, y2: y + 5 }));
    own.forEach((i, k) => {
      const frame = this.run.frames[i];
      const next = own[k + 1] === undefined ? this.x(this.steps) : this.x(this.at[own[k + 1]]);
      if (frame.kind === "wait") {
        this.svg.append(svg("line", { class: "waits", x1: this.x(this.at[i]), x2: next, y1: y + 5, y2: y + 5 }));
      }
    });
    const cpus = new Map(own.map((i) => [this.run.frames[i].step, this.run.frames[i].cpu]));
    for (const [step, cpu] of cpus) {
      const [x, width] = [this.x(step) + 1, Math.max(2, this.unit - 2)];
      const on = svg("rect", { class: `on cpu${cpu % 3}`, x, y: y + 2, width, height: 6, rx: 2 });
      on.append(svg("title", {}, `step ${step}, CPU${cpu}`));
      this.svg.append(on);
    }
    for (const bar of this.bars[lane]) this.bar(bar, y + BAND * (bar.depth + 1));
  }

  bar(bar, y) {
    const [x, end] = [this.x(this.at[bar.begin]), this.x(this.at[bar.end])];
    const width = Math.max(3, end - x);
    const rect = svg("rect", { class: "bar", x, y, width, height: BAND - 1, rx: 2 });
    rect.append(svg("title", {}, bar.text));
    this.svg.append(rect);
    const fits = Math.floor((width - 6) / 6.1);
    const name = bar.text.split("(")[0];
    if (fits >= 4) {
      const text = name.length <= fits ? name : name.slice(0, fits - 1) + "…";
      this.svg.append(svg("text", { class: "bar-text", x: x + 3, y: y + 10, "pointer-events": "none" }, text));
    }
  }

  marks() {
    this.run.frames.forEach((frame, i) => {
      if (frame.lane === null) return;
      const [x, y] = [this.x(this.at[i]), this.tops[frame.lane] + 5];
      const sends = (frame.changes || []).some((change) => change.do === "send");
      if (sends) this.svg.append(svg("path", { class: "mail", d: `M${x - 6} ${y - 5}h12v9h-12zl6 5 6-5` }));
      if (frame.kind === "broken" || frame.kind === "failed") {
        this.svg.append(svg("path", { class: "cross", d: `M${x - 5} ${y - 5}l10 10m0-10l-10 10` }));
      }
    });
  }

  /** What the signs mean, as far as there are such. */
  legend() {
    const cpus = [...new Set(this.run.frames.filter((frame) => frame.lane !== null).map((frame) => frame.cpu))].sort();
    const kinds = new Set(this.run.frames.map((frame) => frame.kind));
    const parts = cpus.map((cpu) => el("span", "", el("i", `cpu${cpu % 3}`), ` runs on CPU${cpu}`));
    parts.push(el("span", "", el("i", "call"), " is in a function"));
    if (kinds.has("wait")) parts.push(el("span", "", "┄ waits"));
    if (this.run.messages.length) parts.push(el("span", "message", "✉ sends a message"));
    if (kinds.has("broken") || kinds.has("failed")) parts.push(el("span", "bad", "✕ a failure, or a broken rule"));
    if (data.differs !== null) parts.push(el("span", "bad", "┆ here the two runs part"));
    return el("p", "legend signs", ...parts);
  }

  /** Shows n. */
  show(n) {
    const x = n === 0 ? 2 : this.x(this.at[n - 1]);
    this.cursor.setAttribute("x1", x);
    this.cursor.setAttribute("x2", x);
    const { scrollLeft, clientWidth } = this.scroll;
    if (x < scrollLeft + 20 || x > scrollLeft + clientWidth - 20) this.scroll.scrollLeft = x - clientWidth / 2;
  }
}

// ---------------------------------------------------------------- a run

class View {
  constructor(run, go) {
    this.run = run;
    this.n = 0;
    this.time = new TimeLine(run, go);
    this.rows = run.frames.map((frame, i) => this.row(frame, i, go));
    this.tree = el("ol", "tree mono", ...this.rows);
    this.state = el("div", "state");
    const verdict = { fails: ["bad", "This run breaks a rule"], passes: ["good", "The nearest run that passes"] }[run.label];
    const head = el("div", "head", verdict ? el("h2", verdict[0], verdict[1]) : null, replay(run.replay));
    const tree = el("section", "card", el("h3", "", "Calls"), this.tree);
    const time = el("section", "card", el("h3", "", "Lanes, step by step"), this.time.node, this.time.legend());
    this.node = el("article", "run", head, time, el("div", "body", tree, this.state));
  }

  row(frame, i, go) {
    const lane = frame.lane === null ? "" : this.run.lanes[frame.lane].name;
    const text = el("span", "", short(frame.text));
    text.style.paddingLeft = `${Math.min(frame.depth, 12)}em`;
    const sends = (frame.changes || []).find((change) => change.do === "send");
    if (sends) text.append(el("span", "send", short(this.run.messages[sends.message].text)));
    const row = el("li", frame.kind + (frame.quiet ? " quiet" : ""), el("span", "", frame.step), el("span", "", lane), text);
    row.addEventListener("click", () => go(i + 1));
    return row;
  }

  /** Shows the run after its first n events. */
  show(n) {
    this.n = n;
    this.rows.forEach((row, i) => {
      row.classList.toggle("later", i >= n);
      if (i === n - 1) row.setAttribute("aria-current", "step");
      else row.removeAttribute("aria-current");
    });
    const row = this.rows[Math.max(n - 1, 0)];
    if (row) this.tree.scrollTop = row.offsetTop - this.tree.clientHeight / 2;
    this.time.show(n);
    const state = stateAt(this.run, n);
    this.state.replaceChildren(...[found(state, this.run), lanes(state, this.run), memory(state, this.run, n), messages(state, this.run, n)].filter(Boolean));
  }

  /** How many events there are up to the nth of a step; all of them if n is that large. */
  count(step, nth) {
    const before = this.run.frames.findIndex((frame) => frame.step >= step);
    if (before < 0) return this.run.frames.length;
    let n = before;
    while (n < this.run.frames.length && this.run.frames[n].step === step && n - before < nth) n++;
    return n;
  }

  /** The step, which of its events, and of how many, is the last of the first n. */
  place(n) {
    if (n === 0) return { step: 0, nth: 0, of: 0 };
    const { step } = this.run.frames[n - 1];
    const before = this.run.frames.findIndex((frame) => frame.step === step);
    return { step, nth: n - before, of: this.count(step, Infinity) - before };
  }
}

const replay = (line) => el("code", "replay", `forklab replay '${line}'`);

function found(state, run) {
  if (!state.broken.length) return null;
  const parts = state.broken.map((broken) => {
    const lane = broken.lane === null ? "" : `lane ${run.lanes[broken.lane].name}, `;
    return el("div", "", el("p", "bad", `${lane}step ${broken.step}: ${broken.text}`), el("p", "soft", `rule: ${broken.rule}`));
  });
  return el("section", "card", el("h3", "", "Found"), ...parts);
}

function lanes(state, run) {
  const rows = state.lanes.map((lane, i) => {
    const name = run.lanes[i].pid === null ? run.lanes[i].name : `${run.lanes[i].name} ${run.lanes[i].pid}`;
    const current = state.last && state.last.lane === i;
    let says = "has not begun";
    if (lane.ended) says = "ended";
    else if (lane.waits) says = `waits for ${lane.waits}`;
    else if (current) says = `runs on CPU${lane.cpu}`;
    else if (lane.begun) says = `may go on, on CPU${lane.cpu}`;
    const inside = lane.stack.length ? el("span", "mono", lane.stack.map((call) => call.split("(")[0]).join(" › ")) : "";
    const holds = lane.locks.length ? el("div", "", `holds ${lane.locks.join(", ")}`) : null;
    return el("tr", current ? "new" : "", el("td", "", el("b", "", name)), el("td", "", says), el("td", "", inside, holds));
  });
  const head = el("tr", "", el("th", "", "lane"), el("th", "", "does"), el("th", "", "is in"));
  return el("section", "card lanes", el("h3", "", "Who is where"), el("table", "wide", head, ...rows));
}

// ---------------------------------------------------------------- memory

const FREED = 4;
const ALIKE = 3;

/** Of many blocks of one site the last ones, and how many more there are. */
function fold(blocks, row) {
  const of = new Map();
  for (const block of blocks) of.set(block.site, (of.get(block.site) || 0) + 1);
  const rows = [];
  for (const block of blocks) {
    const left = of.get(block.site);
    of.set(block.site, left - 1);
    if (left <= ALIKE) rows.push(row(block));
    else if (left === blocks.filter((other) => other.site === block.site).length) {
      rows.push(el("tr", "soft", el("td", ""), el("td", "mono", `… ${left - ALIKE} more of ${block.site}`)));
    }
  }
  return rows;
}

function memory(state, run, n) {
  const all = [...state.blocks.values()];
  const live = all.filter((block) => block.freed === null);
  const freed = all.filter((block) => block.freed !== null).sort((a, b) => a.at - b.at).slice(-FREED);
  const bytes = live.reduce((sum, block) => sum + block.size, 0);
  const row = (block) => {
    const gone = block.freed === null ? "" : `freed in step ${block.freed} by ${block.freer}()`;
    const by = block.by === null ? "" : run.lanes[block.by].name;
    const size = el("td", "n", block.size);
    const cls = (block.at === n - 1 ? "new " : "") + (block.freed === null ? "" : "freed");
    const says = el("td", "says", [block.text, gone].filter(Boolean).join("; "));
    const taken = el("td", "taken", `${by}, step ${block.step}`);
    return el("tr", cls, el("td", "n", `#${block.seq}`), el("td", "mono", block.site), size, taken, says);
  };
  const head = el("tr", "", ...["", "allocated for", "bytes", "by", "is"].map((text) => el("th", "", text)));
  const table = all.length ? el("table", "wide", head, ...fold(live, row), ...freed.map(row)) : null;
  const says = `${plural(live.length, "live allocation")} of this run, ${plural(bytes, "byte")}` +
    (freed.length ? "; those freed last are struck out" : "");
  const inside = live.filter((block) => block.slots || block.bytes !== undefined || block.site.endsWith(".data"));
  const blocks = inside.map((block) => content(block, n));
  return el("section", "card memory", el("h3", "", "Memory"), el("p", "soft", says), table, ...blocks);
}

/** What is in a block: slots, or bytes. */
function content(block, n) {
  const title = el("p", "", el("b", "mono", block.site), ` #${block.seq}, ${block.size} bytes` + (block.class ? ` from size class ${block.class}` : ""));
  const node = el("div", "block" + (block.at === n - 1 ? " new" : ""), title);
  if (block.slots) {
    node.append(el("table", "mono", ...block.slots.map((slot, i) => {
      const text = slot.text === null ? "NULL" : `"${short(slot.text)}"`;
      return el("tr", "", el("td", "n soft", `[${i}]`), el("td", "", text), el("td", "soft slot", slot.says));
    })));
    return node;
  }
  const bytes = (block.bytes || "").match(/../g) || [];
  if (block.area !== undefined && block.area !== null) node.append(areas(block, bytes.length));
  node.append(bytes.length ? el("pre", "", hexdump(bytes)) : el("p", "soft", "nothing written yet"));
  if (bytes.length > block.size) node.append(el("p", "bad", `${plural(bytes.length - block.size, "byte")} past its end`));
  return node;
}

/** An skb's data: message, tail room, shared info, the rest of the size class. */
function areas(block, length) {
  const whole = block.class || block.size;
  const parts = [["m", length, "message"], ["t", block.area - length, "tail room"], ["s", block.size - block.area, "skb_shared_info"], ["r", whole - block.size, "not asked for"]];
  const bar = el("div", "area");
  for (const [cls, size] of parts) {
    const part = el("span", cls);
    part.style.flexGrow = size;
    bar.append(part);
  }
  const legend = parts.map(([, size, name]) => `${name} ${size}`).join(" · ");
  return el("div", "", bar, el("div", "legend", legend));
}

/** As hexdump -C has it: a star stands for rows that repeat the one above. */
function hexdump(bytes) {
  const lines = [];
  let before = "";
  for (let at = 0; at < bytes.length; at += 16) {
    const row = bytes.slice(at, at + 16);
    const same = before === row.join("");
    before = row.join("");
    if (same) {
      if (lines[lines.length - 1] !== "*") lines.push("*");
      continue;
    }
    const hex = row.slice(0, 8).join(" ") + "  " + row.slice(8).join(" ");
    const text = row.map((byte) => parseInt(byte, 16)).map((code) => (code >= 32 && code < 127 ? String.fromCharCode(code) : "."));
    lines.push(`${at.toString(16).padStart(4, "0")}  ${hex.padEnd(48)}  |${text.join("")}|`);
  }
  return lines.join("\n");
}

// ---------------------------------------------------------------- messages and listeners

function messages(state, run, n) {
  const list = state.sent.map((sent) => {
    const message = run.messages[sent.message];
    const by = sent.lane === null ? "" : run.lanes[sent.lane].name;
    const text = el("td", "mono message", short(message.text, 400));
    const row = el("tr", sent.at === n - 1 ? "new" : "", el("td", "n", `${sent.message + 1}`), text, el("td", "soft taken", `${by}, step ${message.step}`));
    row.addEventListener("click", () => go(sent.at + 1, run));
    return row;
  });
  const sent = list.length ? el("table", "wide", ...list) : el("p", "soft", "none yet");
  const socks = run.socks.map((sock) => listener(sock, state.socks.get(sock.number), state, run, n));
  const none = socks.length ? null : el("p", "soft", "no socket gets a message in this run");
  return el("section", "card listeners", el("h3", "", "Messages"), sent, el("h3", "", "Listeners"), none, ...socks);
}

function listener(sock, state, all, run, n) {
  const counts = `${state.arrived} arrived, ${state.queue.length} waiting, ${state.read.length} read`;
  const head = el("p", "", el("b", "", sock.name), sock.name.startsWith("socket") ? "" : ` (socket ${sock.number})`, `: ${counts}`);
  const told = state.told.map((told) => el("p", "bad", `step ${told.step}: something was lost; the next read says ${told.err}`));
  const queue = state.queue.slice(0, 40).map((queued) => el("span", "mono", mail(queued, run)));
  if (state.queue.length > 40) queue.push(el("span", "", `… ${state.queue.length - 40} more`));
  const waiting = queue.length ? el("div", "queue", ...queue) : null;
  const node = el("div", "listener block" + (state.at === n - 1 ? " new" : ""), head, ...told, waiting);
  const tree = believed(state, all, run);
  if (tree) node.append(el("p", "soft", "the tree it believes in:"), tree);
  return node;
}

const mail = (queued, run) => (queued.message === null ? "a message" : `${queued.message + 1}: ${short(run.messages[queued.message].text, 70)}`);

/** The processes that a listener has heard of, and whether they are so. */
function believed(sock, all, run) {
  const heard = sock.read.map((queued) => queued.message === null ? null : run.messages[queued.message].pids).filter(Boolean);
  if (!heard.length) return null;
  const children = new Map();
  for (const [parent, child] of heard) children.set(parent, [...(children.get(parent) || []), child]);
  const born = new Set(heard.map(([, child]) => child));
  const lines = [];
  const walk = (pid, depth) => {
    if (depth > 30) return;
    const parent = all.tasks.get(pid);
    const wrong = depth > 0 && parent === undefined ? "  ← never was" : "";
    lines.push(el("span", wrong ? "bad" : "", `${"  ".repeat(depth)}${depth ? "└ " : ""}${pid}${wrong}\n`));
    for (const child of children.get(pid) || []) if (child !== pid) walk(child, depth + 1);
  };
  for (const parent of children.keys()) if (!born.has(parent)) walk(parent, 0);
  return el("pre", "", ...lines);
}

// ---------------------------------------------------------------- where we are

const views = data.runs.map((run) => new View(run, (n) => go(n, run)));
const main = document.querySelector("main");

/** The first run leads; the other one is where it was in the same step. */
function go(n, run = data.runs[0], keep = false) {
  const leader = views[data.runs.indexOf(run)];
  const { step, nth, of } = leader.place(Math.max(0, Math.min(n, leader.run.frames.length)));
  for (const view of views) {
    view.show(step === 0 ? 0 : view.count(step, view === leader || nth < of ? nth : Infinity));
  }
  const { n: at, run: first } = views[0];
  const place = views[0].place(at);
  $("slider").value = at;
  const which = place.of > 1 ? `, event ${place.nth} of ${place.of}` : "";
  $("where").textContent = at === 0 ? "before the first event" : `step ${place.step}${which}`;
  if (!keep) {
    // Followed by the number of the event, if that is not the last of its step.
    const hash = at === 0 ? "#step=0" : `#step=${place.step}${place.nth < place.of ? `.${place.nth}` : ""}`;
    history.replaceState(null, "", hash);
  }
  document.title = `forklab: ${data.title} (step ${place.step} of ${first.frames.length ? first.frames[first.frames.length - 1].step : 0})`;
}

/** Goes where the address says. */
function restore() {
  const place = /^#step=(\d+)(?:\.(\d+))?$/.exec(location.hash);
  if (!place) return false;
  const n = views[0].count(Number(place[1]), place[2] === undefined ? Infinity : Number(place[2]));
  go(Number(place[1]) === 0 ? 0 : n, data.runs[0], true);
  return true;
}

/** An event further on, or back, that is shown and fits. */
function find(direction, fits) {
  const { run, n } = views[0];
  for (let i = n - 1 + direction; i >= 0 && i < run.frames.length; i += direction) {
    const shown = main.classList.contains("all") || !run.frames[i].quiet;
    if (shown && fits(run.frames[i])) return i + 1;
  }
  return null;
}

function move(direction, fits = () => true) {
  const n = find(direction, fits);
  if (n !== null) go(n);
  else if (direction < 0 && fits.length === 0) go(0);
}

const lane = () => (views[0].n ? views[0].run.frames[views[0].n - 1].lane : null);
const has = (what) => (frame) => (frame.changes || []).some((change) => change.do === what);
const broken = () => views[0].run.frames.findIndex((frame) => frame.kind === "broken") + 1;

/** A whole step on, or back. */
function step(direction) {
  const { step } = views[0].place(views[0].n);
  const frames = views[0].run.frames;
  const other = direction > 0 ? frames.find((frame) => frame.step > step) : frames.findLast((frame) => frame.step < step);
  if (other) go(views[0].count(other.step, Infinity));
  else if (direction < 0) go(0);
}

/** To the step in which the runs part: what was decided just before it. */
function part() {
  if (data.differs !== null) go(views[0].count(Math.max(1, data.differs - 1), Infinity));
}

function toggleAll() {
  main.classList.toggle("all");
  go(views[0].n);
}

const keys = {
  ArrowRight: () => move(1), ArrowLeft: () => move(-1), ArrowDown: () => step(1), ArrowUp: () => step(-1),
  Home: () => go(0), End: () => go(Infinity),
  n: () => { const own = lane(); move(1, (frame) => frame.lane === own); },
  p: () => { const own = lane(); move(-1, (frame) => frame.lane === own); },
  m: () => move(1, has("send")), v: () => broken() && go(broken()), d: part, a: toggleAll, "?": () => $("keys").showModal(),
};

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || $("keys").open || !keys[event.key]) return;
  event.preventDefault();
  keys[event.key]();
});
addEventListener("hashchange", restore);
const redraw = () => views.forEach((view) => { view.time.draw(); view.time.show(view.n); });
addEventListener("resize", redraw);
paper.addEventListener("change", redraw);
$("slider").addEventListener("input", () => go(Number($("slider").value)));
for (const [id, does] of [["first", keys.Home], ["back", keys.ArrowLeft], ["forward", keys.ArrowRight], ["last", keys.End], ["wrong", keys.v], ["differs", part], ["help", keys["?"]]]) {
  $(id).addEventListener("click", does);
}

function begin() {
  document.querySelector("h1").textContent = data.title;
  const two = views.length > 1;
  const says = two
    ? `The run that fails, and beside it the nearest one that passes: they decide differently about step ${data.differs}.`
    : "One run of the simulated kernel.";
  $("about").append(says, " Step through it with ← and →; ? has all keys.");
  $("about").className = "soft";
  main.classList.toggle("two", two);
  main.append(...views.map((view) => view.node));
  $("slider").max = views[0].run.frames.length;
  $("wrong").hidden = !broken();
  $("differs").hidden = data.differs === null;
  views.forEach((view) => view.time.draw());
  if (!restore()) go(broken() || Math.min(1, views[0].run.frames.length));
}

begin();
