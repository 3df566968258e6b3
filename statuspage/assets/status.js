import { announce, byId, el, keep, remake, setAttribute, setText } from "./dom.js";
import { clock, count, duration, isSet, plural, since } from "./format.js";
import * as hash from "./hash.js";

const shownRecent = 30;

function tiles(s) {
  const pending = (c) => (c.pending ? `${count(c.pending)} pending` : "all in force");
  const drift = s.drift.rulesAndEntries + s.drift.servers + s.drift.addresses;
  return [
    { name: "Services", value: count(s.served), note: `served, of ${count(s.services)}` },
    { name: "Virtual servers", value: count(s.virtualServers.total), note: pending(s.virtualServers), kind: s.virtualServers.pending && "info" },
    { name: "Real servers", value: count(s.realServers), note: "in the kernel" },
    { name: "VIPs", value: count(s.addresses.total), note: pending(s.addresses), kind: s.addresses.pending && "info" },
    { name: "Set entries", value: count(s.entries.total), note: pending(s.entries), kind: s.entries.pending && "info" },
    { name: "Lag", value: duration(s.waitingSeconds), note: s.waitingSeconds ? "oldest change" : "nothing waits", kind: s.waitingSeconds > 5 && "warn" },
    { name: "Last write", value: s.lastSync ? since(s.now, s.lastSync.ended) : "–", note: s.lastSync ? plural(s.lastSync.writes, "message") : "nothing to do" },
    { name: "Draining", value: count(s.draining), note: "real servers", kind: s.draining && "info" },
    { name: "Drift", value: count(drift), note: s.drift.last ? `last ${since(s.now, s.drift.last)}` : "none seen", kind: drift && "warn" },
    { name: "Audit", value: s.audit.ended ? since(s.now, s.audit.ended) : "–", note: `one in ${duration(s.audit.periodSeconds)}` },
  ];
}

function showTiles(s) {
  keep(byId("tiles"), tiles(s), (t) => t.name,
    (t) => el("div", {}, el("dt", {}, t.name), el("dd", { class: "big" }), el("dd", { class: "note" })),
    (node, t) => {
      setText(node.children[1], t.value);
      setText(node.children[2], t.note);
      node.className = t.kind || "";
    });
}

function healthOf(s) {
  if (!s.healthy) return ["bad", "!", "Not healthy"];
  return s.eligible ? ["ok", "✓", "Healthy"] : ["warn", "○", "Healthy, takes no new traffic"];
}

let said = "";

function showHealth(s) {
  const [kind, sign, text] = healthOf(s);
  const health = byId("health");
  health.className = `badge ${kind}`;
  remake(health, [sign, text], () => [el("span", { class: "sign", "aria-hidden": "true" }, sign), el("span", {}, text)]);
  setText(byId("node"), s.node);
  setText(byId("phase"), s.phase);
  document.title = `${s.healthy ? "" : "! "}${s.node} · Fairlead`;
  const now = `${text}, ${s.phase}`;
  if (said && said !== now) announce(`The daemon is ${now}.`);
  said = now;
}

// problemsOf lists what somebody should know, the worst first.
function problemsOf(s) {
  const list = [];
  if (s.lastError) {
    list.push({ kind: s.lastError.current ? "bad" : "quiet", sign: s.lastError.current ? "!" : "✓", at: s.lastError.at,
      text: s.lastError.current ? s.lastError.text : `put right: ${s.lastError.text}` });
  }
  for (const p of s.problems) list.push({ kind: "bad", sign: "!", text: `${p.reason}: ${plural(p.count, "problem")}`, state: "pending,impaired,lost" });
  for (const note of s.notes) list.push({ kind: "warn", sign: "!", text: note });
  const none = (n, what) => n && list.push({ kind: "warn", sign: "○", text: `${plural(n, "Service")} without an endpoint on this node for its ${what} policy Local` });
  none(s.noLocalEndpoints.external, "external traffic");
  none(s.noLocalEndpoints.internal, "internal traffic");
  return list;
}

const nothing = (text) => el("li", { class: "nothing" }, text);

function mark(kind, sign) {
  return el("span", { class: `sign ${kind}`, "aria-hidden": "true" }, sign);
}

function serviceLink(name, shown) {
  return el("a", { href: hash.link({ ...shown, service: name }) }, el("bdi", {}, name));
}

function showActivity(s, shown) {
  const problems = problemsOf(s);
  remake(byId("problems"), problems, () => problems.length === 0 ? [nothing("None.")] : problems.map((p) =>
    el("li", {}, mark(p.kind, p.sign), el("span", {}, p.at && el("time", { datetime: p.at }, clock(p.at), " "),
      p.state ? el("a", { href: hash.link({ state: p.state }) }, p.text) : p.text))));
  const recent = s.recent.toReversed().slice(0, shownRecent);
  remake(byId("recent"), [recent, shown], () => recent.length === 0 ? [nothing("Nothing so far.")] : recent.map((o) =>
    el("li", {}, el("time", { datetime: o.at, title: o.at }, clock(o.at)),
      el("span", {}, o.service && [serviceLink(o.service, shown), " "], o.text))));
}

// showStatus shows the daemon at a glance.
export function showStatus(s, shown) {
  showHealth(s);
  showTiles(s);
  showActivity(s, shown);
  setText(byId("about"), `Fairlead ${s.version} on Linux ${s.kernel}, from ${s.source}, up for ${since(s.now, s.started).replace(" ago", "")}`);
}

// showDrains shows real servers that drain; total is how many there are.
export function showDrains(list, total, now, shown) {
  setText(byId("drain-count"), total ? count(total) : "");
  const rows = list.map((e) => ({ ...e, service: e.name ? `${e.namespace}/${e.name}` : "" }));
  if (!rows.length) {
    remake(byId("drains"), "none", () => [nothing("No real server drains.")]);
    return;
  }
  const left = (e) => isSet(e.deadline) ? `${duration(Math.max(0, Math.round((Date.parse(e.deadline) - Date.parse(now)) / 1000)))} left at most` : "until its connections end";
  remake(byId("drains"), [rows.map((e) => [e.address, e.server, e.service]), total, shown], () => [...rows.map((e) =>
    el("li", {}, mark("info", "↓"), el("span", {}, el("code", {}, e.address), " of ", e.service ? serviceLink(e.service, shown) : "no Service any more",
      el("span", { class: "small-note" }, `${e.server}, `, el("span", { class: "left" }))))),
    total > rows.length && nothing(`and ${count(total - rows.length)} more`)]);
  byId("drains").querySelectorAll(".left").forEach((node, i) => setText(node, left(rows[i])));
}

// showFresh tells how fresh all of it is.
export function showFresh(text, stale) {
  setText(byId("fresh"), text);
  document.body.classList.toggle("stale", stale);
}

// showFailure tells that the daemon does not answer; null that it does again.
export function showFailure(text) {
  const banner = byId("banner");
  setText(banner, text ?? "");
  banner.hidden = text == null;
  setAttribute(banner, "data-kind", "bad");
}
