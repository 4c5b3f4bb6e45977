// The front panel. Whatever a meter says becomes text, never markup: textContent alone.
import { fixed, profilePlot, trendPlot } from "./plots.js";

const $ = (id) => document.getElementById(id);
const { unit, line } = document.body.dataset;
const named = (more = {}) => new URLSearchParams({ unit, ...(line ? { line } : {}), ...more });

function element(tag, text, className) {
  const made = document.createElement(tag);
  if (text !== undefined && text !== null) made.textContent = text;
  if (className) made.className = className;
  return made;
}

// Times come in the meter's own local time with its offset, and are shown as they come.
const day = (time) => time.slice(0, 10);
const clock = (time) => time.slice(11, 19);
const zone = (time) => time.match(/(Z|[+-]\d\d:\d\d(:\d\d)?)$/)[0].replace("Z", "+00:00");
const full = (time) => (time ? `${day(time)} ${clock(time)}` : "-");

const DECIMALS = { kWh: 1, kVARh: 1, kVAh: 1, kW: 3, kVAR: 3, kVA: 3, V: 1, A: 2, Hz: 2, "%": 2, "": 3 };
function shown(reading, withUnit = true) {
  if (!reading || reading.value === null) return "-";
  // A register that has just begun would stand still for minutes with one decimal.
  const small = /^k(W|VAR|VA)h$/.test(reading.unit) && Math.abs(reading.value) < 100;
  const text = fixed(reading.value, small || reading.kind === "interval energy" ? 3 : DECIMALS[reading.unit] ?? 3);
  return withUnit && reading.unit ? `${text} ${reading.unit}` : text;
}

// A table keeps its cells from second to second, so that selections, readers and the scroll stay.
function table(id, head, rows) {
  const target = $(id);
  const shape = JSON.stringify([head.map((each) => each.text ?? each), rows.length]);
  if (target.dataset.shape !== shape) {
    target.dataset.shape = shape;
    const tr = element("tr");
    for (const each of head) {
      const th = element("th", each.text ?? each, each.number ? "number" : "");
      th.scope = "col";
      tr.append(th);
    }
    const thead = element("thead"), tbody = element("tbody");
    thead.append(tr);
    for (const row of rows) {
      const made = element("tr");
      row.forEach((_, index) => {
        const first = index === 0;
        const cell = element(first ? "th" : "td", undefined, head[index].number ? "number" : head[index].wrap ? "wrap" : "");
        if (first) cell.scope = "row";
        cell.dataset.head = head[index].text ?? head[index]; // on a phone it stands by the cell
        made.append(cell);
      });
      tbody.append(made);
    }
    target.replaceChildren(thead, tbody);
  }
  rows.forEach((row, at) => row.forEach((text, index) => {
    const cell = target.tBodies[0].rows[at].cells[index], wanted = text === null || text === undefined ? "-" : String(text);
    if (cell.textContent !== wanted) cell.textContent = wanted;
  }));
}
const number = (text) => ({ text, number: true });
const wrapped = (text) => ({ text, wrap: true });

function facts(panel) {
  const said = [
    ["Power", panel.power ? "on" : "off", !panel.power],
    ["Source", panel.source, /silent|frozen/.test(panel.source)],
    ["Faults armed", panel.faults ? `${panel.faults} (iondlms ctl: faults)` : "none", panel.faults > 0],
    ["Unit ID", panel.line ? `${panel.unit} on ${panel.line}` : String(panel.unit)],
    ["Clock", `UTC${zone(panel.time)}, deviation ${panel.deviation} min${panel.dst ? ", daylight saving" : ""}${panel.valid ? "" : ", not known to be right"}`, !panel.valid],
    ["Serial number", panel.serial],
    ["Revision", panel.revision],
    ["Owner", panel.owner],
    ["Tag 1", panel.tag_1],
    ["Tag 2", panel.tag_2],
    ["Disk", panel.trouble, true],
  ].filter(([, text]) => text);
  $("state").replaceChildren(...said.flatMap(([name, text, bad]) => [
    element("dt", name), element("dd", text, bad ? "bad" : ""),
  ]));
}

const LARGE = [
  ["kW tot", "Active power"], ["Vln avg", "Volts, mean"], ["I avg", "Amperes, mean"], ["kVAR tot", "Reactive power"],
  ["kVA tot", "Apparent power"], ["PF sign tot", "Power factor"], ["Freq", "Frequency"],
  ["kWh del", "kWh delivered"], ["kWh rec", "kWh received"],
];
function large(by) {
  const target = $("large");
  if (!target.children.length) {
    for (const [name, title] of LARGE) {
      const box = element("div"), value = element("b"), unitOf = element("i");
      box.dataset.quantity = name;
      box.append(element("span", title), value, " ", unitOf);
      target.append(box);
    }
  }
  for (const box of target.children) {
    const reading = by.get(box.dataset.quantity);
    box.querySelector("b").textContent = shown(reading, false);
    box.querySelector("i").textContent = reading?.unit ?? "";
  }
}

function values(panel) {
  const by = new Map(panel.values.map((each) => [each.quantity, each]));
  large(by);
  const left = new Set(by.keys());
  const cell = (name) => {
    left.delete(name);
    return shown(by.get(name), false);
  };
  const phases = [["V ln", "Vln", "avg"], ["A", "I", "avg"], ["kW", "kW", "tot"], ["kVAR", "kVAR", "tot"],
    ["kVA", "kVA", "tot"], ["PF", "PF sign", "tot"]];
  table("present", ["", number("a"), number("b"), number("c"), number("all")], [
    ...phases.map(([title, stem, last]) => [title, ...["a", "b", "c", last].map((each) => cell(`${stem} ${each}`))]),
    ["V ll ab bc ca", ...["ab", "bc", "ca", "avg"].map((each) => cell(`Vll ${each}`))],
  ]);
  const ways = ["del", "rec", "del-rec", "del+rec"];
  table("energy", ["", number("delivered"), number("received"), number("del - rec"), number("del + rec")],
    ["", " int"].flatMap((suffix) => ["kWh", "kVARh", "kVAh"].map((stem) => [
      suffix ? `${stem}, last interval` : stem, ...ways.map((each) => cell(`${stem} ${each}${suffix}`)),
    ])));
  // What has no place above: demand, means, unbalance, quadrants, maxima and minima where they are recorded.
  const others = panel.values.filter((each) => left.has(each.quantity));
  table("others", ["", number("")], others.map((each) => [each.quantity, shown(each)]));
}

function lists(panel) {
  table("recorders", ["recorder", number("rows"), number("depth"), "every", "last row", "its status", "state"],
    panel.recorders.map((each) => [each.recorder, each.rows, each.depth, period(each.period_s), full(each.last),
      each.status === null ? "" : each.status_words || "0", each.full ? "full, stopped" : "recording"]));
  table("ports", ["port", "state", "client", number("opened"), number("refused"), number("frames"), number("errors"),
    number("noise"), number("time-outs"), number("repeats"), "URL"],
    panel.ports.map((each) => [each.port, each.state, each.connected || "none", each.opened, each.refused, each.frames,
      each.errors, each.noise, each.timeouts, each.repeats, each.url]));
  const select = $("recorder"), names = panel.recorders.map((each) => each.recorder);
  if (JSON.stringify([...select.options].map((each) => each.value)) !== JSON.stringify(names)) {
    const kept = select.value || "Load Profile";
    select.replaceChildren(...names.map((name) => new Option(name, name)));
    select.value = names.includes(kept) ? kept : names[0];
  }
}
function period(seconds) {
  if (!seconds) return "when pulsed";
  return seconds % 60 ? `${seconds} s` : seconds % 3600 ? `${seconds / 60} min` : `${seconds / 3600} h`;
}

async function json(path, more) {
  const answer = await fetch(`/api/${path}?${named(more)}`);
  if (!answer.ok) throw new Error(await answer.text());
  return answer.json();
}

let eventsSeen = null;
async function events(panel) {
  if (eventsSeen === panel.events) return;
  const told = await json("events", { most: 50 });
  eventsSeen = panel.events;
  $("events-note").textContent = "";
  table("events", ["time", "priority", wrapped("cause"), wrapped("effect")], told.events.reverse().map((each) => [
    full(each.time), each.priority_words ? `${each.priority_words} (${each.priority})` : each.priority, each.cause, each.effect,
  ]));
}

const MOST_PAGES = 5, MOST_ROWS = 5000, DAY_MS = 86_400_000;
let shownDay = { name: null, next: 0, count: 0, rows: [], told: null };
const profile = profilePlot($("profile"), $("hover"), $("units"));
// The last day of the chosen recorder; of one that is known already what has come since.
async function rows(panel) {
  const recorder = panel.recorders.find((each) => each.recorder === $("recorder").value);
  if (!recorder || (shownDay.name === recorder.recorder && shownDay.next === recorder.next && shownDay.count === recorder.rows)) return;
  // What a recorder has forgotten, or was cleared of, goes here too.
  const first = recorder.next - recorder.rows;
  let found = shownDay.name === recorder.recorder ? shownDay.rows.filter((each) => each.number >= first) : [], told = null;
  if (recorder.last) {
    const begin = Date.parse(recorder.last) - DAY_MS + 1;
    const span = { recorder: recorder.recorder, from: new Date(begin).toISOString(), to: new Date(recorder.last).toISOString() };
    for (let page = 0; page < MOST_PAGES && (page === 0 || told.more); page++) {
      told = await json("rows", { ...span, ...(found.length ? { after: found.at(-1).number } : {}) });
      found = found.concat(told.rows);
    }
    found = found.filter((each) => Date.parse(each.time) >= begin).slice(-MOST_ROWS);
  }
  shownDay = { name: recorder.recorder, next: recorder.next, count: recorder.rows, rows: found, told };
  const gaps = profile.show(told ? { ...told, rows: found } : null);
  const marked = found.filter((each) => each.status !== 0).length;
  $("profile-note").textContent = found.length
    ? `${found.length} rows, ${marked} with a status, ${gaps || "no"} ${gaps === 1 ? "gap" : "gaps"}${told.more || found.length === MOST_ROWS ? "; the day has more" : ""}` : "no rows yet";
  table("rows", ["time", wrapped("status"), ...(told?.columns ?? []).map((each) => number(`${each.quantity} (${each.unit || "1"})`))],
    found.slice(-200).reverse().map((each) => [`${full(each.time)} ${zone(each.time)}`, each.status_words || each.status, ...each.values.map((value) => fixed(value))]));
}
const trend = trendPlot($("trend"));
let last = null, again = false, busy = false;
async function details(panel) {
  if (busy) { again = true; return; }
  busy = true;
  try {
    await events(panel);
    await rows(panel);
  } catch { unanswered(); /* what did not come is asked for again with the next panel */ }
  busy = false;
  if (again) { again = false; await details(last); }
}

const NO_ANSWER = "The meter does not answer: this comes when it does again.";
// What is not there yet says why; what is there stays.
function unanswered() {
  if (eventsSeen === null) $("events-note").textContent = NO_ANSWER;
  if (shownDay.name === $("recorder").value && shownDay.name) return;
  shownDay = { name: null, next: 0, count: 0, rows: [], told: null };
  profile.show(null);
  $("rows").replaceChildren();
  delete $("rows").dataset.shape;
  $("profile-note").textContent = NO_ANSWER;
}

// An instant of this computer's clock, in its local time, with the offset.
function stamp(date) {
  const ahead = -date.getTimezoneOffset(), two = (value) => String(value).padStart(2, "0");
  const local = new Date(date.getTime() + ahead * 60_000).toISOString();
  return `${day(local)} ${clock(local)} UTC${ahead < 0 ? "-" : "+"}${two(Math.floor(Math.abs(ahead) / 60))}:${two(Math.abs(ahead) % 60)}`;
}

// There is no such meter: those that there are, as links.
const MOST_LINKS = 20;
let offered = null;
async function others(error) {
  if (offered === error) return;
  offered = error;
  let found;
  try {
    found = await json("meters");
  } catch { offered = null; return; } // with the next answer again
  const place = $("meters");
  place.replaceChildren(...found.meters.slice(0, MOST_LINKS).map((each) => {
    const item = element("li"), link = element("a", `${each.line ? `${each.line} / ` : ""}Unit ID ${each.unit}: ${each.model} ${each.device}`);
    link.href = `?${new URLSearchParams({ unit: each.unit, ...(each.line ? { line: each.line } : {}) })}`;
    item.append(link);
    return item;
  }));
  if (found.count > MOST_LINKS) place.append(element("li", `and ${found.count - MOST_LINKS} more`));
}
function noSuch(error, never) {
  $("absent").hidden = !error;
  if (!error) { offered = null; return; }
  others(error);
  if (!never) return; // there was one: its last values stay
  $("model").textContent = "No such meter";
  $("device").textContent = "";
  document.title = "No such meter - iondlms";
}

let silentSince = null;
// What is said above all else; the values are grey with no meter (stale), and with one that is dark.
function gone(text, state = "stale") {
  const target = $("gone");
  if (target.textContent !== text) target.textContent = text;
  target.hidden = !text;
  for (const each of ["stale", "dark"]) document.body.classList.toggle(each, Boolean(text) && each === state);
}

function take(told) {
  silentSince = null;
  if (told.trail) trend.begin(told.trail);
  else trend.add(told.at, told.gone ? null : told.panel?.values.find((each) => each.quantity === "kW tot")?.value ?? null);
  noSuch(told.gone?.no_such ? told.gone.error : "", !told.panel);
  document.body.classList.toggle("empty", !told.panel);
  if (told.gone?.no_such) gone(`There is no such meter: ${told.gone.error}.`);
  else if (told.gone) gone(`The meter does not answer since ${stamp(new Date(told.gone.since))}: ${told.gone.error}`);
  else gone(told.panel.power ? "" : "The meter has no power.", "dark");
  const panel = told.panel;
  if (!panel) return;
  last = panel;
  $("model").textContent = panel.model;
  $("device").textContent = `${panel.device}, Unit ID ${panel.unit}${panel.line ? ` on ${panel.line}` : ""}`;
  document.title = `${panel.model} ${panel.device} - iondlms`;
  $("clock").textContent = clock(panel.time);
  $("date").textContent = `${day(panel.time)} UTC${zone(panel.time)}`;
  facts(panel);
  if (panel.power) values(panel);
  lists(panel);
  if (told.gone) unanswered();
  else details(panel);
}

$("recorder").addEventListener("change", () => last && details(last));
$("choice")?.addEventListener("change", (event) => {
  const option = event.target.selectedOptions[0];
  location.search = new URLSearchParams({ unit: option.value, ...(option.dataset.line ? { line: option.dataset.line } : {}) });
});
const stream = new EventSource(`/api/stream?${named()}`);
stream.onmessage = (event) => take(JSON.parse(event.data));
stream.onerror = () => {
  silentSince ??= new Date();
  document.body.classList.toggle("empty", !last);
  const ended = stream.readyState === EventSource.CLOSED;
  gone(`The panel itself does not answer since ${stamp(silentSince)}${ended ? ": it may be full, or have no such meter; reload" : ""}.`);
  // A browser gives up after an answer that is no stream, as where too many look.
  if (ended) setTimeout(() => location.reload(), 15_000);
};
