"use strict";
// The page around a lab: it shows the checks of a topology as they pass, what happens
// meanwhile, and lets people try something. #NAME in the address chooses the topology.

const at = id => document.getElementById(id);
const element = (tag, className, text) => {
  const e = document.createElement(tag);
  if (className) e.className = className;
  if (text !== undefined) e.textContent = text;
  return e;
};
const longestLog = 300; // lines

let lab, plan, drawing;

async function load() {
  const go = new Go();
  const program = await (await fetch("lab.wasm")).arrayBuffer();
  const { instance } = await WebAssembly.instantiate(program, go.importObject);
  go.run(instance);
  const topologies = await (await fetch("topologies.json")).json();
  for (const name of topologies) at("topology").append(new Option(name, name));
  const wanted = decodeURIComponent(location.hash.slice(1));
  at("topology").value = topologies.includes(wanted) ? wanted : "alibaba-clb";
  at("topology").onchange = () => { location.hash = at("topology").value; start(); };
  await start();
}

async function start() {
  ready(false);
  if (lab) await lab.close();
  lab = undefined;
  for (const id of ["packets", "events", "answer", "checks", "connections", "verdict"]) at(id).replaceChildren();
  try {
    const text = await (await fetch(`topologies/${at("topology").value}.yaml`)).text();
    lab = await plinksim.start(text, { packet: showPacket, event: showEvent, check: showCheck });
  } catch (error) {
    at("picture").replaceChildren(element("p", "bad", String(error)));
    return;
  }
  plan = JSON.parse(await lab.plan());
  at("from").replaceChildren(...plan.instances.map(name => new Option(name, name)));
  at("url").value = plan.endpoints.length ? `http://${plan.endpoints[0]}/` : "http://";
  await draw();
  ready(true);
  await check();
}

function ready(yes) {
  for (const button of document.querySelectorAll("button")) button.disabled = !yes;
}

async function check() {
  if (!plan.checks.length) return;
  at("run").disabled = true;
  const verdict = at("verdict");
  verdict.className = verdict.textContent = "";
  at("checks").replaceChildren(...plan.checks.map((name, i) => {
    const item = element("li", i ? "" : "running");
    item.append(element("span", "mark", i ? "·" : ""), element("span", "name", name), element("span", "took"), element("span", "does"));
    return item;
  }));
  await lab.check();
  const failed = at("checks").querySelectorAll(".failed").length;
  verdict.className = failed ? "failed" : "passed";
  verdict.textContent = failed ? `${failed} of ${plan.checks.length} failed` : `all ${plan.checks.length} passed`;
  at("run").disabled = false;
  await draw();
}

function showCheck(json) {
  const check = JSON.parse(json), item = at("checks").children[check.number - 1];
  item.className = check.passed ? "passed" : "failed";
  const [mark, , took, does] = item.children;
  mark.textContent = check.passed ? "✓" : "✗";
  took.textContent = `${(check.seconds * 1000).toFixed(0)} ms`;
  does.textContent = short(`${check.does}  →  ${check.got}` + (check.passed ? "" : `, and not ${check.expect}`));
  const next = item.nextElementSibling;
  if (next) { next.className = "running"; next.firstChild.textContent = ""; }
}

// Lines wait for the next frame: a lab sends thousands of packets in a second.
const waiting = new Map();
function log(id, ...parts) {
  const line = element("p");
  line.append(...parts);
  if (!waiting.size) requestAnimationFrame(flush);
  waiting.set(id, [...(waiting.get(id) || []), line].slice(-longestLog));
}

function flush() {
  for (const [id, lines] of waiting) {
    const box = at(id), atEnd = box.scrollTop + box.clientHeight > box.scrollHeight - 30;
    box.append(...lines);
    while (box.children.length > longestLog) box.firstChild.remove();
    if (atEnd) box.scrollTop = box.scrollHeight;
  }
  waiting.clear();
}

// Names of endpoints are long; people call them as the topology does.
const short = text => Object.entries(plan?.names || {}).reduce((text, [name, ref]) => text.replaceAll(name, ref), text);

function showPacket(json) {
  const p = JSON.parse(json);
  if (p.text === "arp") return;
  const note = element("span", p.note.startsWith("dropped") ? "dropped" : "note", p.note ? "   " + p.note : "");
  log("packets", `${p.time}  ${p.eni.padEnd(20)} ${p.sent ? ">" : "<"} ${p.text}`, note);
}

function showEvent(json) {
  const e = JSON.parse(json);
  log("events", element("span", "note", new Date(e.time).toTimeString().slice(0, 8) + "  "), e.text);
  clearTimeout(drawing);
  drawing = setTimeout(draw, 50);
}

async function draw() {
  if (!lab) return;
  const picture = new DOMParser().parseFromString(JSON.parse(await lab.picture()), "image/svg+xml").documentElement;
  at("picture").replaceChildren(picture);
  const now = JSON.parse(await lab.status());
  at("connections").replaceChildren(...now.endpoints.map(connection), ...zones(now).map(zone => zoneRow(zone, now)));
}

function row(what, state, kind, ...buttons) {
  const tr = element("tr"), cell = element("td"), last = element("td");
  cell.append(element("span", "state " + kind, state));
  last.append(...buttons);
  tr.append(element("td", "", what), cell, last);
  return tr;
}

function button(text, does) {
  const b = element("button", "quiet", text);
  b.onclick = async () => {
    b.disabled = true;
    try { await does(); } catch (error) { answer(element("span", "bad", error.message)); }
    await draw();
  };
  return b;
}

function connection(endpoint) {
  const open = /^(connected|available)$/i.test(endpoint.state);
  const operation = open ? "reject" : "accept";
  const act = button(operation[0].toUpperCase() + operation.slice(1), () => lab.do(operation, endpoint.service, endpoint.name));
  return row(`${endpoint.name} → ${endpoint.service}`, endpoint.state, open ? "open" : "", act);
}

const zones = now => [...new Set(now.endpoints.flatMap(endpoint => endpoint.zones.map(zone => zone.zone)))].sort();

function zoneRow(zone, now) {
  const mine = now.eni_faults.filter(fault => fault.name.endsWith("@" + zone));
  const down = mine.some(fault => fault.fault === "zone down");
  return row(`zone ${zone}`, down ? "down" : "up", down ? "shut" : "open",
    down ? button("Bring up", () => lab.up(zone)) : button("Take down", () => lab.down(zone)));
}

function answer(...parts) { at("answer").replaceChildren(...parts); }

at("run").onclick = check;
at("try").onsubmit = async event => {
  event.preventDefault();
  answer(element("span", "note", "…"));
  try {
    const got = JSON.parse(await lab.get(at("from").value, at("url").value));
    answer(element("span", "good", `${got.status}, ${got.ms} ms\n`), got.body);
  } catch (error) {
    await explain(element("span", "bad", short(error.message) + "\n"));
  }
};
at("explain").onclick = () => explain();

async function explain(...before) {
  let said;
  try {
    said = JSON.parse(await lab.explain(at("from").value, at("url").value.replace(/^http:\/\/([^/:]+)\/?$/, "$1:80").replace(/^http:\/\//, "").replace(/\/.*/, "")));
  } catch (error) {
    return answer(...before, element("span", "bad", error.message));
  }
  const lines = [...before];
  for (const station of [said.name, ...said.ways.flatMap(way => way.stations)]) {
    const line = element("div", "station");
    line.append(element("span", station.passes ? "good" : "bad", station.passes ? "ok" : "stop"),
      element("span", "", station.name), element("span", "", short(station.text)));
    lines.push(line);
    for (const remedy of station.remedies || []) {
      if (remedy.do) lines.push(element("div", "remedy", `to let it pass: ${remedy.do.verb} ${remedy.do.service || ""} ${remedy.do.endpoint || ""}`));
    }
  }
  answer(...lines);
}

load().catch(error => at("picture").replaceChildren(element("p", "bad", String(error))));
