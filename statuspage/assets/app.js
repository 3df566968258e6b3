import { ask } from "./api.js";
import { Chart, trafficCharts } from "./chart.js";
import { announce, byId, setText } from "./dom.js";
import { clock } from "./format.js";
import * as hash from "./hash.js";
import { Detail } from "./detail.js";
import { List, pageSize } from "./list.js";
import { showDrains, showFailure, showFresh, showStatus } from "./status.js";

// The daemon is asked for its state twice a second. Everything else is asked for when that has changed, and
// now and then in any case: an idle daemon is not bothered.
const beat = 500; // ms
const anyway = 5000; // ms
const pauseOfTyping = 150; // ms
const shownDrains = 20;

let shown = hash.read();
let paused = false;
let seen = ""; // the state that everything shown is of
let asked = 0; // when the rest was asked for
let nextSample = 0;
let failures = 0;
let timer;
let beating = false;
const list = new List(() => shown);
const detail = new Detail();
const nodeCharts = [new Chart("Open connections", "", [{ name: "", value: (_, s) => s.open }], true), ...trafficCharts()];
let ownCharts = []; // of the Service in the panel
let latest; // status

// stateOf is what changes when anything does that the page shows besides.
function stateOf(s) {
  return JSON.stringify([s.lastSync?.ended, s.updated, s.phase, s.services, s.served, s.draining, s.virtualServers, s.addresses,
    s.entries, s.problems, s.recent.at(-1)]);
}

async function traffic() {
  const t = await ask("/v1/traffic");
  const sample = { ...t, at: Date.parse(t.at) / 1000, open: t.open ?? latest.connections };
  for (const chart of nodeCharts) chart.add(sample);
  const [namespace, name] = shown.service.split("/");
  if (!t.services || !name) return;
  const own = await ask("/v1/traffic", { namespace, name });
  if (shown.service !== `${namespace}/${name}`) return;
  if (!ownCharts.length) {
    ownCharts = trafficCharts();
    byId("detail-charts").replaceChildren(...ownCharts.map((c) => c.element));
  }
  for (const chart of ownCharts) chart.add({ ...own, at: Date.parse(own.at) / 1000 });
}

let question = 0;

// askList asks for the page of Services that is looked at. An answer that comes after the next question is void.
async function askList(tell) {
  const mine = ++question;
  const page = await ask("/v1/services", { search: shown.search, state: shown.state, limit: pageSize, offset: (shown.page - 1) * pageSize });
  if (mine !== question) return;
  const last = Math.max(1, Math.ceil(page.total / pageSize));
  if (shown.page > last) {
    shown.page = last;
    hash.replace(shown);
    await askList(tell);
    return;
  }
  list.show(page);
  if (tell) list.found(page.total);
}

async function askDetail() {
  const name = shown.service;
  detail.open(name);
  if (!name) return;
  try {
    const [e] = await ask("/v1/explain", { what: name });
    if (shown.service === name) detail.show(e, latest?.now ?? new Date().toISOString());
  } catch (error) {
    if (error.status !== 404) throw error;
    if (shown.service === name) detail.say(error.message);
  }
}

async function askDrains() {
  const total = latest.draining;
  const drains = total ? await ask("/v1/endpoints", { state: "draining", limit: shownDrains }) : [];
  showDrains(drains, Math.max(total, drains.length), latest.now, shown);
}

// round asks for everything that may have changed.
async function round() {
  latest = await ask("/v1/status");
  showStatus(latest, shown);
  const now = performance.now();
  const state = stateOf(latest);
  const work = [];
  if (state !== seen || now - asked > anyway) {
    seen = state;
    asked = now;
    work.push(askList(false), askDetail(), askDrains());
  }
  if (now > nextSample) {
    nextSample = now + 950;
    work.push(traffic().catch((error) => {
      if (!error.status) throw error; // the daemon has gone
      nextSample = now + 60000; // this node has no counters, or not yet
    }));
  }
  await Promise.all(work);
}

async function beatOnce() {
  clearTimeout(timer);
  if (paused || document.hidden || beating) return;
  beating = true;
  const began = performance.now();
  try {
    await round();
    if (failures) announce("The daemon answers again.");
    failures = 0;
    showFailure(null);
    showFresh(`Live · ${clock(latest.now)}`, false);
  } catch (error) {
    failures++;
    seen = "";
    const mine = !error.cause && !error.status;
    if (mine) console.error(error);
    const why = mine ? "This page has a mistake" : error.status ? `The daemon says: ${error.message}` : `The daemon ${error.message}`;
    showFailure(`${why}. What is shown may be out of date; the page goes on trying.`);
    showFresh(latest ? `Not live since ${clock(latest.now)}` : "Not live", true);
  }
  beating = false;
  const pause = failures ? Math.min(5000, 1000 * failures) : Math.max(50, beat - (performance.now() - began));
  timer = setTimeout(beatOnce, pause);
}

// now asks outside of the beat, for somebody who waits.
function now(question) {
  question.catch(() => beatOnce()); // which tells
}

function take() {
  const before = shown;
  shown = hash.read();
  if (byId("search").value !== shown.search) byId("search").value = shown.search;
  byId("state").value = shown.state;
  if (shown.service !== before.service) {
    ownCharts = [];
    byId("detail-charts").replaceChildren();
    now(askDetail());
    if (!shown.service) list.links.find((a) => a.closest("tr").dataset.key === before.service)?.focus();
  }
  now(askList(shown.search !== before.search || shown.state !== before.state));
  if (latest) showStatus(latest, shown);
}

let typing;

function search() {
  clearTimeout(typing);
  typing = setTimeout(() => {
    shown = { ...shown, search: byId("search").value.trim(), page: 1 };
    hash.replace(shown);
    now(askList(true));
  }, pauseOfTyping);
}

function pause() {
  paused = !paused;
  byId("pause").setAttribute("aria-pressed", String(paused));
  setText(byId("pause"), paused ? "Resume" : "Pause");
  if (paused) showFresh(latest ? `Paused at ${clock(latest.now)}` : "Paused", true);
  else beatOnce();
}

function key(event) {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const inField = event.target.matches("input, select, textarea");
  if (event.key === "/" && !inField) {
    event.preventDefault();
    byId("search").focus();
    byId("search").select();
  } else if (event.key === "Escape" && event.target.id === "search" && event.target.value) {
    event.preventDefault();
    event.target.value = "";
    search();
  } else if (event.key === "Escape" && shown.service) {
    event.preventDefault();
    hash.go({ ...shown, service: "" });
  } else if (event.key === "ArrowDown" && event.target.id === "search") {
    event.preventDefault();
    list.links[0]?.focus();
  }
}

function turn(to) {
  return (event) => {
    if (event.currentTarget.getAttribute("aria-disabled") === "true") return;
    hash.go({ ...shown, page: to() });
    byId("service-list").scrollIntoView({ block: "nearest" });
  };
}

byId("charts").replaceChildren(...nodeCharts.map((c) => c.element));
byId("search").addEventListener("input", search);
byId("state").addEventListener("change", () => hash.go({ ...shown, state: byId("state").value, page: 1 }));
byId("pause").addEventListener("click", pause);
byId("close").addEventListener("click", () => hash.go({ ...shown, service: "" }));
byId("skip").addEventListener("click", (event) => {
  event.preventDefault();
  byId("service-list").focus();
});
byId("first").addEventListener("click", turn(() => 1));
byId("previous").addEventListener("click", turn(() => shown.page - 1));
byId("next").addEventListener("click", turn(() => shown.page + 1));
byId("last").addEventListener("click", turn(() => list.last));
addEventListener("hashchange", take);
addEventListener("keydown", key);
document.addEventListener("visibilitychange", beatOnce);
byId("search").value = shown.search;
byId("state").value = shown.state;
detail.open(shown.service, false);
beatOnce();
