// The page of a run: it shows what the launcher's page thread tells once a second, and says when that
// has ended. Text of the run is only ever set as text.
"use strict";

const token = new URLSearchParams(location.search).get("token");
const at = (path) => (token ? `${path}?token=${encodeURIComponent(token)}` : path);
const place = (id) => document.getElementById(id);
const SVG = "http://www.w3.org/2000/svg";
const AGAIN_MS = 3000;
const SILENT_MS = 6000;
const POINTS_MAX = 480;
const LINES_OF_CHART = 5;

function element(name, text, className) {
  const made = document.createElement(name);
  if (text !== undefined) made.textContent = text;
  if (className) made.className = className;
  return made;
}

function drawn(name, attributes, text) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text !== undefined) made.textContent = text;
  return made;
}

// Numbers as people read them.
const whole = (value) => Math.round(value).toLocaleString("en-US");
const rate = (value) => `${value > 0 && value < 9.95 ? value.toFixed(1) : whole(value)}/s`;
const percent = (share) => `${Math.round(share * 100)} %`;
const counted = (value, one, many) => `${whole(value)} ${value === 1 ? one : many}`;

function lasted(seconds) {
  if (seconds < 60) return `${Math.round(seconds)} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${Math.round(seconds % 60)} s`;
  return `${Math.floor(seconds / 3600)} h ${Math.floor((seconds / 60) % 60)} min`;
}

function took(ms) {
  if (ms === null || ms === undefined) return "–";
  if (ms < 1) return `${(ms * 1000).toPrecision(2)} µs`;
  if (ms < 1000) return `${Number(ms.toPrecision(2))} ms`;
  return `${Number((ms / 1000).toPrecision(3))} s`;
}

const clock = (date) => date.toLocaleTimeString("en-GB");

// Same text, same node: a reader's place and a screen reader's attention stay.
function say(id, text, className) {
  const node = place(id);
  if (node.textContent !== text) node.textContent = text;
  if (className !== undefined && node.className !== className) node.className = className;
}

const STATES = {
  starting: ["◌ starting", "badge"],
  running: ["▶ running", "badge good"],
  paused: ["❚❚ paused", "badge warn"],
  draining: ["▽ draining", "badge warn"],
  ending: ["■ ending", "badge"],
};

function show(picture) {
  const { run, status } = picture;
  say("name", run.name);
  document.title = `${run.name}: ${status.total ? percent(status.done / status.total) : whole(status.done)}`;
  if (picture.over === null) say("state", ...STATES[status.state]);
  showProgress(picture);
  showStages(picture);
  showWorkers(picture);
  showOldest(picture);
  showDead(picture);
  showLines(picture.lines);
  const since = new Date(run.since * 1000);
  say("places", [
    `since ${since.toLocaleString("en-GB")}`,
    run.topology,
    run.run_dir && `kept in ${run.run_dir}`,
    run.output && `output ${run.output}`,
  ].filter(Boolean).join(" · "));
}

function showProgress({ status, read, awaited }) {
  const bar = place("bar");
  bar.hidden = !status.total;
  bar.value = status.total ? status.done / status.total : 0;
  const figures = [
    ["done", status.total === null ? whole(status.done) : `${whole(status.done)} of ${whole(status.total)}`],
    ["rate", rate(status.rate)],
    ["time left", status.left_s === null ? "–" : lasted(status.left_s)],
    ["workers", whole(status.workers)],
    ["under way", whole(Math.max(0, read - status.done))],
    ["dead", whole(status.dead)],
    ...(status.service ? [
      ["clients", whole(status.service.clients)],
      ["waiting", whole(status.service.queued)],
      ["oldest waits", status.service.oldest_ms === null ? "–" : lasted(status.service.oldest_ms / 1000)],
      ["outcomes kept", whole(status.service.kept)],
    ] : []),
  ];
  if (awaited !== null) figures.push(["output waits for unit", whole(awaited)]);
  place("figures").replaceChildren(...figures.map(([name, value]) => {
    const box = element("div");
    box.append(element("dt", name), element("dd", value));
    return box;
  }));
}

function showStages({ stages, limits, run, read, status, over: code }) {
  if (code !== null) limits = null;
  const source = element("li");
  source.append(element("h3", "source"), element("p", `${whole(read)} read`));
  const sink = element("li");
  sink.append(element("h3", "sink"), element("p", `${whole(status.done)} recorded`));
  if (run.output) sink.append(element("p", run.output.split("/").pop(), "note"));
  place("flow").replaceChildren(source, ...stages.map((stage) => box(stage, limits)), sink);
  if (code !== null) say("limits", "");
  else say("limits", limits === null
    ? "No stage limits the run: the workers of each have time left."
    : `The stage ${limits} limits the run: its workers have no time left.`);
}

function box(stage, limits) {
  const made = element("li", undefined, stage.name === limits ? "limits" : "");
  made.append(element("h3", stage.name));
  if (stage.name === limits) made.append(element("p", "▲ limits the run", "tag"));
  made.append(element("p", rate(stage.rate), "rate"));
  const meter = element("div", undefined, "meter");
  const svg = drawn("svg", { viewBox: "0 0 100 1", preserveAspectRatio: "none", "aria-hidden": "true" });
  svg.append(drawn("rect", { width: Math.round(stage.busy * 100), height: 1 }));
  meter.append(svg);
  made.append(element("p", `${percent(stage.busy)} busy, ${counted(stage.workers, "worker", "workers")}`), meter);
  made.append(element("p", `${whole(stage.units)} executed, ${whole(stage.open)} open`, "note"));
  made.append(element("p", `p50 ${took(stage.p50_ms)}, p99 ${took(stage.p99_ms)}`, "note"));
  if (stage.failed > 0) {
    made.append(element("p", `✗ ${whole(stage.failed)} failed: ${whole(stage.retried)} retried, ${whole(stage.dead)} dead`, "bad"));
  }
  return made;
}

// Columns are [head, kind]; a kind is a class of cells.
function table(id, columns, rows) {
  const node = place(id);
  node.hidden = rows.length === 0;
  const head = element("tr");
  for (const [name, kind] of columns) {
    const cell = element("th", name, kind);
    cell.scope = "col";
    head.append(cell);
  }
  const body = rows.map((row) => {
    const line = element("tr");
    row.forEach((cell, index) => line.append(element("td", cell, columns[index][1])));
    return line;
  });
  const top = element("thead");
  top.append(head);
  const rest = element("tbody");
  rest.append(...body);
  node.replaceChildren(top, rest);
}

const FEW_WORKERS = 12;
let folded;

function showWorkers({ workers, stages, status }) {
  const order = new Map(stages.map(({ name }, index) => [name, index]));
  workers.sort((a, b) => order.get(a.stage) - order.get(b.stage)
    || a.name.localeCompare(b.name, "en", { numeric: true }));
  const shown = workers.length < status.workers ? `; the first ${workers.length} are listed` : "";
  const busy = workers.map((worker) => worker.busy).sort((a, b) => a - b);
  const spread = busy.length === 0 ? "" :
    `, busy ${percent(busy[0])} to ${percent(busy[busy.length - 1])}, in the median ${percent(busy[busy.length >> 1])}`;
  say("workers-note", `${counted(status.workers, "worker", "workers")}${spread}${shown}`);
  if (folded === undefined && workers.length > 0) {
    folded = workers.length > FEW_WORKERS;
    place("workers-fold").open = !folded;
  }
  const columns = [["worker", "text"], ["stage", ""], ["units", "number"], ["busy", "number"]];
  table("workers", columns, workers.map((worker) =>
    [worker.name, worker.stage, whole(worker.units), percent(worker.busy)]));
}

function showOldest({ oldest }) {
  say("oldest-note", oldest.length === 0 ? "None: no worker of the first stage has any." :
    "What the workers of the first stage have had longest.");
  table("oldest", [["unit", "number"], ["worker", "text"], ["sent to it", "number"]],
    oldest.map((open) => [whole(open.unit), open.worker, `${lasted(open.ms / 1000)} ago`]));
}

function showDead({ dead_letters: letters, run, status }) {
  say("dead-note", status.dead === 0 ? "None." :
    `${counted(status.dead, "unit has", "units have")} failed for good; all are in ${run.dead}`);
  const columns = [["unit", "number"], ["stage", ""], ["attempts", "number"], ["error", "text"], ["input", "text"]];
  table("dead", columns, letters.map((letter) =>
    [whole(letter.unit), letter.stage, whole(letter.attempts), letter.error, letter.input]));
}

function showLines(lines) {
  say("lines-note", lines.length === 0 ? "Nothing was written yet." : "");
  const node = place("lines");
  node.hidden = lines.length === 0;
  const isAtEnd = node.scrollTop + node.clientHeight >= node.scrollHeight - 4;
  say("lines", lines.map((line) =>
    `${line.process}${line.unit ? `[unit ${line.unit}]` : ""}: ${line.text}`).join("\n"));
  if (isAtEnd) node.scrollTop = node.scrollHeight;
}

// ---- over time

let points = [];

function point(picture) {
  return {
    // When the launcher has said it.
    at: Date.now() / 1000 - picture.age_s, done: picture.status.done,
    stages: picture.stages.map(({ name, p50_ms, p99_ms }) => ({ name, p50_ms, p99_ms })),
  };
}

function showCharts() {
  const names = points.length ? points[points.length - 1].stages.map((stage) => stage.name).slice(0, LINES_OF_CHART) : [];
  const rates = points.slice(1).map((now, index) => {
    const before = points[index];
    return { at: now.at, value: Math.max(0, now.done - before.done) / Math.max(now.at - before.at, 0.001) };
  });
  const late = names.map((name, index) => ({
    name: `${name}, p99`, className: `s${index}`,
    values: points.map((now) => ({ at: now.at, value: now.stages[index] ? now.stages[index].p99_ms : null })),
  }));
  place("charts").replaceChildren(
    chart("Units a second", [{ name: "done", className: "s0", values: rates }], rate),
    chart("Time of a unit in the function", late, took),
  );
}

function chart(title, series, told) {
  const [width, height, left, bottom] = [440, 150, 58, 22];
  const known = series.flatMap((one) => one.values).filter((one) => one.value !== null && one.value !== undefined);
  const figure = element("figure");
  figure.append(element("figcaption", title));
  if (known.length < 2) {
    figure.append(element("p", "Not enough is known yet.", "note"));
    return figure;
  }
  const times = known.map((one) => one.at);
  const [first, last] = [Math.min(...times), Math.max(...times)];
  const top = Math.max(...known.map((one) => one.value)) * 1.1 || 1;
  const x = (time) => left + ((time - first) / Math.max(last - first, 0.001)) * (width - left - 10);
  const y = (value) => 8 + (1 - value / top) * (height - bottom - 8);
  const now = series.map((one) => `${one.name} ${told((one.values.filter((value) => value.value !== null).pop() || { value: 0 }).value)}`);
  const svg = drawn("svg", { viewBox: `0 0 ${width} ${height}`, class: "chart", role: "img", "aria-label": `${title}, now: ${now.join("; ")}` });
  for (const part of [0, 0.5, 1]) {
    const level = y(top * part);
    svg.append(drawn("line", { class: "axis", x1: left, x2: width - 10, y1: level, y2: level }));
    svg.append(drawn("text", { x: left - 5, y: level + 4, "text-anchor": "end" }, told(top * part)));
  }
  svg.append(drawn("text", { x: left, y: height - 5 }, `${lasted(last - first)} ago`));
  svg.append(drawn("text", { x: width - 10, y: height - 5, "text-anchor": "end" }, "now"));
  const key = element("ul", undefined, "key");
  series.forEach((one, index) => {
    const values = one.values.filter((value) => value.value !== null && value.value !== undefined);
    const path = values.map((value) => `${x(value.at).toFixed(1)},${y(value.value).toFixed(1)}`);
    svg.append(drawn("polyline", { class: one.className, points: path.join(" ") }));
    const entry = element("li");
    const sample = drawn("svg", { viewBox: "0 0 32 8", "aria-hidden": "true" });
    sample.append(drawn("line", { class: one.className, x1: 0, x2: 32, y1: 4, y2: 4 }));
    entry.append(sample, document.createTextNode(` ${now[index]}`));
    key.append(entry);
  });
  figure.append(svg, key);
  return figure;
}

// ---- the way to the launcher

let heard = null;
let isOver = false;
let stream = null;
let retry = null;

function take(picture) {
  heard = new Date();
  show(picture);
  const now = point(picture);
  if (points.length === 0 || now.at - points[points.length - 1].at > 0.2) points.push(now);
  if (points.length > POINTS_MAX) points = points.filter((_, index) => index % 2 === 0);
  showCharts();
  const isOld = picture.age_s > SILENT_MS / 1000;
  say("connection", isOld
    ? `ventilator and sink have said nothing for ${lasted(picture.age_s)}`
    : "up to date: renewed once a second", isOld ? "warn" : "");
}

function over(picture) {
  isOver = true;
  take(picture);
  const code = picture.over;
  say("state", code === 0 ? "✓ ended" : `✗ ended, exit code ${code}`, code === 0 ? "badge good" : "badge bad");
  say("connection", `the run has ended with exit code ${code} at ${clock(heard)}; this page shows its last state, and the next run at this address once there is one`, "");
}

function silent() {
  if (isOver) return;
  const since = heard === null ? "" : ` since ${clock(heard)}`;
  say("connection", `no answer from the launcher${since}; trying again every ${AGAIN_MS / 1000} s`, "bad");
}

async function connect() {
  clearTimeout(retry);
  try {
    const answer = await fetch(at("api/history"));
    if (!answer.ok) {
      say("connection", (await answer.text()).trim(), "bad");
      retry = setTimeout(connect, AGAIN_MS);
      return;
    }
    points = (await answer.json()).points;
  } catch {
    silent();
    retry = setTimeout(connect, AGAIN_MS);
    return;
  }
  isOver = false;
  if (stream) stream.close();
  stream = new EventSource(at("events"));
  stream.addEventListener("run", (event) => take(JSON.parse(event.data)));
  stream.addEventListener("over", (event) => {
    stream.close();
    over(JSON.parse(event.data));
    retry = setTimeout(connect, AGAIN_MS);
  });
  stream.onerror = () => {
    stream.close();
    silent();
    clearTimeout(retry);
    retry = setTimeout(connect, AGAIN_MS);
  };
}

// A launcher that was stopped keeps its connection, and says nothing.
setInterval(() => {
  if (heard !== null && Date.now() - heard.getTime() > SILENT_MS) silent();
}, 1000);

place("json").href = at("api/run");
place("metrics").href = at("metrics");
connect();
